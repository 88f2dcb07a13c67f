//! T2: the web page, in a real browser.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, timeout};
use weir_tests::browser::Browser;
use weir_tests::load::bodies;
use weir_tests::manifest::{backend, pool, web};
use weir_tests::{Backend, Weir, eventually, get};

const ACTIVE: &str = "match: [{path: {type: Prefix, value: /}}], health: {active: {type: HTTP, path: /, interval: 200ms, timeout: 100ms}}";

/// The row of a Backend of `test/web`, cell by cell.
async fn row(browser: &Browser, name: &str) -> Option<Vec<String>> {
    let script = format!(
        "const row = document.querySelector('[aria-label=\"Pool test/web\"] tr[data-key^=\"{name} \"]');
         return row && [...row.children].map((cell) => cell.textContent);"
    );
    serde_json::from_value(browser.run(&script).await).ok()
}

async fn state(browser: &Browser, name: &str) -> Option<String> {
    Some(row(browser, name).await?[2].clone())
}

async fn shows(browser: &Browser, name: &str, wanted: &str) {
    let what = format!("{name} is shown as {wanted}");
    eventually(&what, async || (state(browser, name).await.as_deref() == Some(wanted)).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t2_the_page_shows_what_the_api_tells_and_a_dead_backend_within_two_seconds() {
    let [a, b] = Backend::start_many("web").await;
    let weir = Weir::start(&web(ACTIVE, &[a.address(), b.address()])).await;
    let browser = Browser::start(1280, 900).await;
    browser.open(&format!("http://{}/", weir.admin())).await;
    for name in ["web-1", "web-2"] {
        shows(&browser, name, "Up").await;
    }
    bodies(weir.address(), "/", 40, 2).await.unwrap();
    let told = weir.state("test/web").await.unwrap();
    let cells = row(&browser, "web-1").await.unwrap();
    let backend = &told["backends"][0];
    assert_eq!(cells[..2], [backend["name"].as_str().unwrap(), backend["address"].as_str().unwrap()]);
    assert_eq!((cells[5].as_str(), cells[6].as_str()), ("1", "Active"));
    let rate = "#tile-rate .value";
    eventually("requests are shown", async || browser.text(rate).await.filter(|text| !text.starts_with('0'))).await;
    let up = "[aria-label=\"Pool test/web\"] .figure .up";
    assert_eq!(browser.text(up).await.as_deref(), Some("2 of 2"));

    let died = Instant::now();
    drop(a);
    timeout(Duration::from_secs(20), shows(&browser, "web-1", "Down")).await.unwrap();
    // Probes every 200 ms find it out, and the page asks each second.
    assert!(died.elapsed() < Duration::from_secs(2), "{:?}", died.elapsed());
    let class = "return document.querySelector('tr[data-key^=\"web-1 \"]').className";
    assert_eq!(browser.run(class).await, "bad");
    eventually("the event is shown", async || browser.text("#events .bad").await.filter(|text| text == "Down")).await;
    assert_eq!(browser.console().await, Vec::<String>::new());
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_texts_of_resources_as_text() {
    let evil = "/<img src=x onerror=document.title='broken'><script>document.title='broken'</script>";
    let spec = format!("match: [{{path: {{type: Regex, value: {}}}}}]", serde_json::json!(evil));
    let weir = Weir::start(&(pool("web", &spec) + &backend("web-1", "web", "127.0.0.1:1", ""))).await;
    let browser = Browser::start(1280, 900).await;
    browser.open(&format!("http://{}/", weir.admin())).await;
    shows(&browser, "web-1", "Up").await;
    browser.click("[aria-label=\"Pool test/web\"] summary").await;
    let facts = browser.text("[aria-label=\"Pool test/web\"] ul").await.unwrap();
    assert!(facts.contains("<img src=x onerror=") && facts.contains("<script>"), "{facts}");
    assert_eq!(browser.run("return document.title").await, "Weir");
    assert_eq!(browser.run("return document.querySelectorAll('main script, main img[src=x]').length").await, 0);
    assert_eq!(browser.console().await, Vec::<String>::new());
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_stays_where_it_is_on_every_screen() {
    let [a, b] = Backend::start_many("web").await;
    let weir = Weir::start(&web(ACTIVE, &[a.address(), b.address()])).await;
    for (width, colours) in [(1280, "light"), (1280, "dark"), (390, "light")] {
        let browser = Browser::start(width, 900).await;
        browser.prefer(colours).await;
        browser.open(&format!("http://{}/", weir.admin())).await;
        shows(&browser, "web-1", "Up").await;
        browser
            .run(
                "window.shifts = []; new PerformanceObserver((list) => window.shifts.push(...list.getEntries()))
                 .observe({type: 'layout-shift'});
                 window.looks = performance.getEntriesByType('resource').length;",
            )
            .await;
        bodies(weir.address(), "/", 100, 4).await.unwrap();
        let looks = "return performance.getEntriesByType('resource').length - window.looks";
        eventually("some more looks", async || (browser.run(looks).await.as_u64()? >= 6).then_some(())).await;
        // By the measure of Web Vitals, where 0.1 is still good.
        let shifts = browser
            .run("return window.shifts.map((shift) => [shift.value, ...shift.sources.map((s) => s.node?.outerHTML)])")
            .await;
        let sum: f64 = shifts.as_array().unwrap().iter().filter_map(|shift| shift[0].as_f64()).sum();
        assert!(sum < 0.01, "{width} {colours}: {shifts:#}");
        let scrolls = browser.run("return document.documentElement.scrollWidth > innerWidth").await;
        assert_eq!(scrolls, Value::Bool(false), "{width}");
        let back = browser.run("return getComputedStyle(document.body).backgroundColor").await;
        assert_eq!(back == "rgb(16, 23, 28)", colours == "dark", "{back}");
        assert_eq!(browser.console().await, Vec::<String>::new());
        browser.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_the_control_plane_shows_its_proxies_and_searches_their_pools() {
    let weir = Weir::start(&(pool("web", "") + &pool("other", "priority: 1"))).await;
    let browser = Browser::start(1280, 900).await;
    browser.open(&format!("http://{}/", weir.control_admin())).await;
    let pools = "return [...document.querySelectorAll('.pool .title')].map((title) => title.textContent)";
    let shown = async || serde_json::from_value::<Vec<String>>(browser.run(pools).await).unwrap();
    eventually("both pools", async || (shown().await == ["test/other", "test/web"]).then_some(())).await;
    let proxies = get(weir.control_admin(), "/api/v1/proxies").await.unwrap().json();
    let options = browser.run("return [...document.querySelectorAll('#proxy option')].map((o) => o.value)").await;
    assert_eq!(options[1], proxies["proxies"][0]["id"]);
    browser.fill("#search", "oth").await;
    eventually("one pool", async || (shown().await == ["test/other"]).then_some(())).await;
    assert_eq!(browser.console().await, Vec::<String>::new());
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h6_a_backend_is_disabled_and_weighed_on_the_page_after_a_question() {
    let [a, b] = Backend::start_many("web").await;
    let weir = Weir::start(&web("", &[a.address(), b.address()])).await;
    let browser = Browser::start(1280, 900).await;
    browser.open(&format!("http://{}/", weir.control_admin())).await;
    shows(&browser, "web-1", "Up").await;
    let button = |key: &str| format!("tr[data-key^=\"web-1 \"] button[data-key=\"{key}\"]");
    browser.click(&button("Disable")).await;
    let question = browser.text("#ask-title").await.unwrap();
    assert_eq!(question, "Disable web-1 of test/web?");
    browser.click("#ask-no").await;
    assert_eq!(state(&browser, "web-1").await.as_deref(), Some("Up"), "who says no changes nothing");

    browser.click(&button("Disable")).await;
    browser.click("#ask-yes").await;
    shows(&browser, "web-1", "Disabled").await;
    assert_eq!(weir.state("test/web").await.unwrap()["backends"][0]["enabled"], false);
    for _ in 0..6 {
        assert_eq!(weir.get("/").await.text(), "web-2");
    }
    browser.click(&button("Enable")).await;
    browser.click("#ask-yes").await;
    shows(&browser, "web-1", "Up").await;

    browser.click(&button("Weight")).await;
    browser.fill("#ask-weight", "70000").await;
    browser.click("#ask-yes").await;
    assert_eq!(row(&browser, "web-1").await.unwrap()[5], "1", "the browser knows the limit");
    browser.fill("#ask-weight", "7").await;
    browser.click("#ask-yes").await;
    let weighed = async || (row(&browser, "web-1").await?[5] == "7").then_some(());
    eventually("the weight is shown", weighed).await;
    assert_eq!(browser.console().await, Vec::<String>::new());
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_explains_where_a_request_would_go() {
    let [a, b] = Backend::start_many("web").await;
    let weir = Weir::start(&web("balance: {method: FirstAlive}", &[a.address(), b.address()])).await;
    let browser = Browser::start(1280, 900).await;
    for admin in [weir.admin(), weir.control_admin()] {
        browser.open(&format!("http://{admin}/")).await;
        shows(&browser, "web-1", "Up").await;
        browser.fill("#explain-url", "http://shop.example/x?v=2").await;
        browser.fill("#explain-headers", "x-env: canary").await;
        browser.click("#explain button").await;
        let wanted = format!("Goes to test/web \u{2192} web-1 ({})", a.address());
        let explained = async || browser.text("#explained .summary").await.filter(|text| text.starts_with(&wanted));
        eventually("what explain says", explained).await;
        browser.fill("#explain-headers", "no header").await;
        browser.click("#explain button").await;
        let refused = async || browser.text("#explained .bad").await.filter(|text| text.contains("write name: value"));
        eventually("what is wrong with a header", refused).await;
    }
    assert_eq!(browser.console().await, Vec::<String>::new());
    browser.close().await;
}
