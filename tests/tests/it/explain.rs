//! `weir explain` and its API, with the real programs: what is said of a request, as a tree, as JSON, and live.

use std::process::Output;

use serde_json::{Value, json};
use weir_tests::client::full;
use weir_tests::manifest::{backend, pool, web};
use weir_tests::program::{Program, run};
use weir_tests::{Backend, Client, Response, Weir, eventually, get, send};

fn explain(weir: &Weir, arguments: &[&str]) -> Output {
    let admin = weir.admin().to_string();
    run("weir", &[&["explain", "--admin", &admin], arguments].concat())
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

async fn post(weir: &Weir, body: &str) -> Response {
    let request = http::Request::post("/api/v1/explain").body(full(body.to_owned())).unwrap();
    send(weir.admin(), request).await.unwrap()
}

async fn explained(weir: &Weir, question: Value) -> Value {
    let response = post(weir, &question.to_string()).await;
    assert_eq!(response.status, 200, "{}", response.text());
    response.json()
}

/// A pool for everything, and one for canaries.
fn two_pools(servers: &[&Backend; 2]) -> String {
    pool("web", "match: [{hosts: [a.test]}]")
        + &backend("web-1", "web", servers[0].address(), "weight: 2")
        + &backend("web-2", "web", servers[1].address(), "")
        + &backend("web-3", "web", servers[1].address(), "enabled: false")
        + &pool("canary", "match: [{hosts: [a.test], headers: [{name: x-env, type: Exact, value: canary}]}]")
        + &backend("canary-1", "canary", servers[1].address(), "")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m8_c1_the_command_says_why_as_a_tree_that_is_plain_in_a_pipe() {
    let [a, b] = Backend::start_many("web").await;
    let weir = Weir::start(&two_pools(&[&a, &b])).await;
    let output = explain(&weir, &["GET", "http://a.test/api"]);
    let tree = text(&output);
    assert_eq!(output.status.code(), Some(0), "{tree}");
    for line in [
        "|  |- a.test Prefix \"/\" (test/web): matches",
        "header x-env: Exact \"canary\" is wanted, but there is none",
        "test/web (priority 0, weight 1): taken",
        "of test/web: taken out by hand",
        "of test/web: not chosen by RoundRobin",
    ] {
        assert!(tree.contains(line), "{line}: {tree}");
    }
    assert!(
        tree.ends_with(&format!("goes to web-1 {} of test/web\n", a.address())) && !tree.contains('\u{1b}'),
        "{tree}"
    );
    let canary = text(&explain(&weir, &["GET", "/", "-H", "host: a.test", "-H", "x-env: canary"]));
    assert!(canary.contains("goes to canary-1"), "{canary}");
    assert_eq!(a.requests() + b.requests(), 0, "nobody was asked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c3_round_robin_goes_on_where_it_was_whatever_was_explained() {
    let [a, b] = Backend::start_many("web").await;
    let weir = Weir::start(&two_pools(&[&a, &b])).await;
    let mut client = weir.client().await;
    for _ in 0..9 {
        let question = json!({"url": "http://a.test/"});
        let first = explained(&weir, question.clone()).await;
        assert_eq!(explained(&weir, question).await["choice"], first["choice"], "asked twice");
        let request = http::Request::get("/").header("host", "a.test").body(full("")).unwrap();
        let answered = client.send(request).await.unwrap().text();
        assert_eq!((&first["choice"]["backend"], &first["certain"]), (&json!(answered), &json!(true)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exit_codes_say_whether_the_proxy_or_the_question_is_wrong() {
    let weir = Weir::start(&pool("web", "")).await;
    let wrong = explain(&weir, &["GET", "http://a.test/", "--listener", "nowhere"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong).contains("listener: there is no \"nowhere\": there are http"), "{}", text(&wrong));
    assert_eq!(explain(&weir, &["GET"]).status.code(), Some(2));
    assert_eq!(explain(&weir, &["GET", "/", "--pool", "web"]).status.code(), Some(2));
    let nobody = weir_tests::port::free_address().to_string();
    let away = run("weir", &["explain", "--admin", &nobody, "GET", "http://a.test/"]);
    assert_eq!(away.status.code(), Some(1));
    assert!(text(&away).contains("is there a proxy?"), "{}", text(&away));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_refuses_with_the_field_and_has_a_bound() {
    let weir = Weir::start(&pool("web", "")).await;
    for (body, status, field) in [
        ("{\"url\": 1}", 400, "url"),
        ("{\"url\": \"/\", \"client\": \"x\"}", 400, "client"),
        ("{\"url\": \"/\", \"headers\": [{\"name\": \"a b\", \"value\": \"\"}]}", 400, "headers[0].name"),
        (&"x".repeat(70_000), 413, "body"),
    ] {
        let response = post(&weir, body).await;
        assert_eq!((response.status, &response.json()["field"]), (status, &json!(field)), "{}", response.text());
    }
    assert_eq!(get(weir.admin(), "/api/v1/explain").await.unwrap().status, 405);
    assert_eq!(get(weir.admin(), "/api/v1/explain/live?only=all").await.unwrap().status, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m8_a6_what_weir_would_answer_itself_is_said_with_its_reason() {
    let manifest =
        pool("off", "enabled: false, match: [{hosts: [off.test]}]") + &pool("none", "match: [{hosts: [none.test]}]");
    let weir = Weir::start(&manifest).await;
    for (host, status, reason) in
        [("nowhere.test", 404, "no_route"), ("off.test", 503, "disabled"), ("none.test", 503, "no_backend")]
    {
        let answer = explained(&weir, json!({"url": format!("http://{host}/")})).await["answer"].take();
        assert_eq!((&answer["status"], &answer["reason"]), (&json!(status), &json!(reason)), "{host}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f1_live_requests_are_shown_with_the_tries_that_came_to_nothing() {
    let [dead, good] = Backend::start_many("web").await;
    let spec = "balance: {method: FirstAlive}, health: {passive: {maxFails: 0}}";
    let weir = Weir::start(&web(spec, &[dead.address(), good.address()])).await;
    dead.stop().await;
    let admin = weir.admin().to_string();
    let mut watching =
        Program::start("weir", &["explain", "--admin", &admin, "--live", "--pool", "web", "--count", "2"]);
    // It is heard from some request on.
    eventually("two requests are shown", async || {
        weir.get("/shown?a=b").await;
        (watching.output().lines().count() >= 2).then_some(())
    })
    .await;
    assert_eq!(watching.exit_code().await, 0);
    let line = watching.line("/shown?a=b").await;
    let tried = format!("web-1 {} (connect_failure), then web-2 {} of test/web", dead.address(), good.address());
    assert!(line.contains(" 200 GET ") && line.contains(&tried), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t2_a_seventeenth_listener_is_refused_until_one_leaves() {
    let weir = Weir::start(&pool("web", "")).await;
    let listen = async || {
        let mut client = Client::connect(weir.admin()).await.unwrap();
        let request = http::Request::get("/api/v1/explain/live").body(full("")).unwrap();
        client.begin(request).await.unwrap()
    };
    let mut all = Vec::new();
    for _ in 0..16 {
        let response = listen().await;
        assert_eq!(response.status(), 200);
        all.push(response);
    }
    assert_eq!(listen().await.status(), 503);
    all.pop();
    eventually("there is room again", async || (listen().await.status() == 200).then_some(())).await;
}
