//! S1-S6: how resources reach the proxy, and what happens when something on the way is missing.

use std::time::Duration;

use weir_tests::manifest::{backend, pool, web};
use weir_tests::{Backend, Behaviour, DataPlane, Load, RawClient, Weir, eventually, get};

#[tokio::test]
async fn s1_a_bad_resource_is_refused_alone_and_its_last_good_version_stays() {
    let [a, b] = Backend::start_many("web").await;
    let good = web("debugHeaders: true", &[a.address()]);
    let weir = Weir::start(&good).await;
    let broken = good.replace("debugHeaders: true", "debugHeaders: perhaps");
    let other =
        pool("other", "match: [{path: {type: Exact, value: /other}}]") + &backend("o", "other", b.address(), "");
    weir.write("web.yaml", &(broken + &other)).await;
    assert_eq!(weir.get("/other").await.text(), "web-2");
    let kept = weir.get("/").await;
    assert_eq!((kept.text().as_str(), kept.header("x-weir-pool")), ("web-1", "test/web"));
    weir.write("web.yaml", &good.replace("debugHeaders: true", "")).await;
    assert_eq!(weir.get("/").await.header("x-weir-pool"), "");
}

#[tokio::test]
async fn s1_the_reason_is_in_the_status_of_the_refused_resource() {
    let server = Backend::start("web-1").await;
    let weir = Weir::start(&web("balance: {method: Guess}", &[server.address()])).await;
    let all = get(weir.control_admin(), "/api/v1/resources").await.unwrap().text();
    assert!(all.contains("Guess") && all.contains("RoundRobin"), "it names the methods there are: {all}");
}

#[tokio::test]
async fn s2_rule_2_without_control_plane_the_proxy_serves_on_and_stays_ready() {
    let server = Backend::start("web-1").await;
    let mut weir = Weir::start(&web("", &[server.address()])).await;
    weir.stop_control_plane().await;
    eventually("the proxy notices", async || (weir.metric("weir_control_plane_connected").await == 0.0).then_some(()))
        .await;
    assert_eq!(weir.get("/").await.text(), "web-1");
    assert_eq!(get(weir.admin(), "/readyz").await.unwrap().status, 200);
}

#[tokio::test]
async fn s2_on_reconnect_only_what_changed_is_sent() {
    let [a, b] = Backend::start_many("web").await;
    let mut weir = Weir::start(&web("", &[a.address()])).await;
    weir.stop_control_plane().await;
    weir.edit("web.yaml", &web("", &[b.address()]));
    weir.start_control_plane().await;
    eventually("the change arrives", async || (weir.get("/").await.text() == "web-2").then_some(())).await;
    assert_eq!(weir.control_metric("weir_sent_resources_total").await, 1.0, "one backend has changed");
}

#[tokio::test]
async fn s2_with_a_cache_the_proxy_starts_without_a_control_plane() {
    let server = Backend::start("web-1").await;
    let cache = tempfile::tempdir().unwrap();
    let text = web("", &[server.address()]);
    let weir = Weir::builder().cache(cache.path()).file("web.yaml", &text).start().await;
    let gone = weir.grpc();
    weir.stop().await;
    let alone = DataPlane::builder(gone).cache(cache.path()).start().await;
    assert_eq!(get(alone.address(), "/").await.unwrap().text(), "web-1");
    assert_eq!(get(alone.admin(), "/readyz").await.unwrap().status, 200);
    alone.stop().await;
}

#[tokio::test]
async fn s2_a_full_disk_for_the_cache_stops_nothing_and_is_counted() {
    let server = Backend::start("web-1").await;
    let cache = tempfile::tempdir().unwrap();
    // What is written first, before it takes the place of the last table.
    std::os::unix::fs::symlink("/dev/full", cache.path().join("table.pb.tmp")).unwrap();
    let weir = Weir::builder().cache(cache.path()).file("web.yaml", &web("", &[server.address()])).start().await;
    assert_eq!(weir.get("/").await.text(), "web-1");
    assert_eq!(get(weir.admin(), "/readyz").await.unwrap().status, 200);
    eventually("the failure is counted", async || {
        (weir.metric("weir_cache_write_failures_total").await >= 1.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn s3_a_proxy_is_not_ready_before_its_first_table() {
    let nobody = Backend::start("nobody").await;
    nobody.stop().await;
    let proxy = DataPlane::builder(nobody.address()).start_unready();
    let answer = get(proxy.admin(), "/readyz").await.unwrap();
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("first table"), "it says what is missing: {}", answer.text());
    assert_eq!(get(proxy.address(), "/").await.unwrap().status, 503, "nobody knows whether there is a route");
    assert_eq!(get(proxy.admin(), "/healthz").await.unwrap().status, 200);
    proxy.stop().await;
}

#[tokio::test]
async fn s4_the_control_plane_knows_what_each_proxy_holds() {
    let server = Backend::start("web-1").await;
    let weir = Weir::start(&web("", &[server.address()])).await;
    let second = DataPlane::builder(weir.grpc()).start().await;
    let proxies = eventually("both are known", async || {
        let proxies = get(weir.control_admin(), "/api/v1/proxies").await.ok()?.json();
        (proxies["proxies"].as_array()?.len() == 2).then_some(proxies)
    })
    .await;
    let versions: Vec<_> = proxies["proxies"].as_array().unwrap().iter().map(|p| p["version"].clone()).collect();
    assert!(versions[0].is_string() && versions[0] == versions[1], "{proxies}");
    second.stop().await;
}

#[tokio::test]
async fn s5_streams_outlive_any_change() {
    let server = Backend::start("web-1").await;
    server.set(Behaviour::Echo);
    let weir = Weir::start(&web("", &[server.address()])).await;
    let mut client = RawClient::tunnel(weir.address()).await.unwrap();
    weir.write("web.yaml", &pool("other", "")).await;
    client.send("still there;").await.unwrap();
    assert_eq!(client.read_until(";").await.unwrap(), "still there;");
}

/// Seconds of load; `WEIR_TEST_SOAK=60` for the whole minute.
fn soak() -> Duration {
    let seconds = std::env::var("WEIR_TEST_SOAK").map_or(10, |text| text.parse().unwrap());
    Duration::from_secs(seconds)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s5_no_request_fails_while_a_file_is_edited_every_50_ms() {
    let servers: [Backend; 4] = Backend::start_many("web").await;
    let weir = Weir::builder().workers(2).file("web.yaml", &version_of_web(0, &servers)).start().await;
    let load = Load::start(weir.address(), 8);
    let end = tokio::time::Instant::now() + soak();
    let mut clock = tokio::time::interval(Duration::from_millis(50));
    let mut edits = 0;
    while tokio::time::Instant::now() < end {
        clock.tick().await;
        edits += 1;
        weir.edit("web.yaml", &version_of_web(edits, &servers));
    }
    let tally = load.stop().await;
    println!("{edits} edits, {} requests, {} failed", tally.answered, tally.failures.len());
    assert_eq!(tally.failures, Vec::<String>::new());
    assert!(tally.answered > 1_000, "{}", tally.answered);
    assert!(servers.iter().all(|s| s.requests() > 0), "every backend was in use");
}

/// Another method, other weights, and one backend more or less each time.
fn version_of_web(edit: usize, servers: &[Backend]) -> String {
    let methods = ["RoundRobin", "Random", "LeastConnections", "PowerOfTwo", "PeakEwma", "FirstAlive", "Rotate"];
    let mut text = pool("web", &format!("balance: {{method: {}}}", methods[edit % methods.len()]));
    for (i, server) in servers.iter().enumerate().filter(|(i, _)| i % 4 != edit % 5) {
        let weight = 1 + (edit + i) % 3;
        text += &backend(&format!("web-{i}"), "web", server.address(), &format!("weight: {weight}"));
    }
    text
}

/// Pools whose rules make the build of a table take its time.
fn many_pools() -> String {
    (0..300)
        .map(|i| pool(&format!("r{i}"), &format!("match: [{{path: {{type: Regex, value: '^/r{i}/[a-z]+(x|y)*$'}}}}]")))
        .collect()
}

/// Writes these manifests in turns under load.
async fn no_request_fails_between(one: &str, other: &str) {
    let weir = Weir::builder().file("web.yaml", one).file("many.yaml", &many_pools()).start().await;
    let load = Load::start(weir.address(), 8);
    for text in [other, one].repeat(10) {
        weir.write("web.yaml", text).await;
    }
    let tally = load.stop().await;
    assert_eq!(tally.failures, Vec::<String>::new());
    assert!(tally.answered > 100, "{}", tally.answered);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s5_no_request_fails_when_a_pool_takes_the_place_of_another() {
    let [a, b] = Backend::start_many("web").await;
    let of = |name: &str, server: &Backend| pool(name, "") + &backend(&format!("{name}-1"), name, server.address(), "");
    no_request_fails_between(&of("old", &a), &of("new", &b)).await;
    no_request_fails_between(&of("old", &a), &of("new", &a)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s5_no_request_fails_when_backends_move_to_a_new_pool_of_the_chain() {
    let server = Backend::start("web-1").await;
    let of = |pool: &str| backend("web-1", pool, server.address(), "");
    let (first, both) = (pool("old", ""), pool("old", "") + &pool("new", "priority: 1"));
    no_request_fails_between(&(first + &of("old")), &(both + &of("new"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s5_no_request_fails_when_a_new_pool_takes_over_from_a_disabled_backend() {
    let [a, b] = Backend::start_many("web").await;
    let old = |enabled: bool| pool("old", "") + &backend("old-1", "old", a.address(), &format!("enabled: {enabled}"));
    let new = pool("new", "priority: 1") + &backend("new-1", "new", b.address(), "");
    no_request_fails_between(&old(true), &(old(false) + &new)).await;
}

#[tokio::test]
async fn s6_h6_a_backend_that_is_disabled_or_of_weight_0_drains_and_says_how_many_requests_are_left() {
    let [a, b] = Backend::start_many("web").await;
    let text = |more: &str| {
        web("balance: {method: FirstAlive}", &[])
            + &backend("web-1", "web", a.address(), more)
            + &backend("web-2", "web", b.address(), "")
    };
    let weir = Weir::start(&text("")).await;
    let says = async || {
        let backend = weir.backend("test/web", "web-1").await;
        (backend["state"].as_str().unwrap().to_owned(), backend["inFlight"]["current"].as_u64().unwrap())
    };
    for (more, done) in [("enabled: false", "Disabled"), ("weight: 0", "Draining")] {
        a.hold();
        let get = async || get(weir.address(), "/").await.unwrap().text();
        let (answers, ()) = tokio::join!(async { tokio::join!(get(), get()) }, async {
            eventually("two requests are at web-1", async || (says().await.1 == 2).then_some(())).await;
            weir.write("web.yaml", &text(more)).await;
            assert_eq!(says().await, ("Draining".into(), 2), "{more}");
            assert_eq!(weir.get("/").await.text(), "web-2");
            a.release();
        });
        assert_eq!(answers, ("web-1".into(), "web-1".into()));
        eventually("nothing is left", async || (says().await == (done.to_owned(), 0)).then_some(())).await;
        weir.write("web.yaml", &text("")).await;
        assert_eq!(weir.get("/").await.text(), "web-1");
    }
}

#[tokio::test]
async fn s6_a_deleted_backend_finishes_its_requests_and_is_gone() {
    let [a, b] = Backend::start_many("web").await;
    let weir = Weir::start(&web("balance: {method: FirstAlive}", &[a.address(), b.address()])).await;
    a.hold();
    let mut client = weir.client().await;
    let held = tokio::spawn(async move { client.get("/").await.unwrap().text() });
    eventually("a request is at web-1", async || (a.counts().in_flight() == 1).then_some(())).await;
    weir.write("web.yaml", &(pool("web", "") + &backend("web-2", "web", b.address(), ""))).await;
    assert_eq!(weir.backend("test/web", "web-1").await["state"], "Draining");
    assert_eq!(weir.get("/").await.text(), "web-2");
    a.release();
    assert_eq!(held.await.unwrap(), "web-1");
    eventually("web-1 is gone from the state", async || {
        weir.backend("test/web", "web-1").await.is_null().then_some(())
    })
    .await;
}
