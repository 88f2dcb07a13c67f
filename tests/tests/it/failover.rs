//! F1-F4, F6: retries, failover, and clients that leave.

use std::time::Duration;

use http::Request;
use weir_tests::client::full;
use weir_tests::manifest::{backend, pool, web};
use weir_tests::raw::status;
use weir_tests::{Backend, Behaviour, FullListener, RawClient, Reply, Weir, eventually, send};

/// A port that refuses connections, held by a stopped backend.
async fn refusing() -> Backend {
    let server = Backend::start("refusing").await;
    server.stop().await;
    server
}

#[tokio::test]
async fn f1_each_endpoint_is_tried_once_and_each_failure_counted_once() {
    let [a, b, c] = [refusing().await, refusing().await, Backend::start("c").await];
    let weir = Weir::start(&web("balance: {method: FirstAlive}", &[a.address(), b.address(), c.address()])).await;
    assert_eq!(weir.get("/").await.text(), "c");
    for name in ["web-1", "web-2"] {
        assert_eq!(weir.backend("test/web", name).await["fails"], 1, "{name}");
    }
    assert_eq!(weir.state("test/web").await.unwrap()["retries"], 2);
}

#[tokio::test]
async fn f1_attempts_bound_the_tries_in_one_pool_then_the_next_pool_has_its_own() {
    let dead = [refusing().await, refusing().await, refusing().await];
    let good = Backend::start("good").await;
    let never = Backend::start("never").await;
    let addresses = [dead[0].address(), dead[1].address(), never.address()];
    let text = web("balance: {method: FirstAlive}, retry: {attempts: 1}", &addresses)
        + &pool("next", "priority: 1, balance: {method: FirstAlive}, retry: {attempts: 1}")
        + &backend("next-1", "next", dead[2].address(), "")
        + &backend("next-2", "next", good.address(), "");
    let weir = Weir::start(&text).await;
    assert_eq!(weir.get("/").await.text(), "good");
    assert_eq!(never.requests(), 0);
}

#[tokio::test]
async fn f2_idempotent_requests_are_tried_again_on_a_reset_and_others_are_not() {
    let [bad, good] = Backend::start_many("web").await;
    bad.set(Behaviour::CloseEarly);
    let weir = Weir::start(&web(
        "balance: {method: FirstAlive}, health: {passive: {maxFails: 0}}",
        &[bad.address(), good.address()],
    ))
    .await;
    assert_eq!(weir.get("/").await.text(), "web-2");
    let put = Request::put("/").body(full("x")).unwrap();
    assert_eq!(send(weir.address(), put).await.unwrap().text(), "web-2");
    let post = Request::post("/").body(full("x")).unwrap();
    assert_eq!(send(weir.address(), post).await.unwrap().status, 502);
}

#[tokio::test]
async fn f2_listed_methods_are_tried_again_with_their_body() {
    let [bad, good] = Backend::start_many("web").await;
    bad.set(Behaviour::CloseEarly);
    good.set(Behaviour::Echo);
    let spec = "balance: {method: FirstAlive}, retry: {methods: [POST]}";
    let weir = Weir::start(&web(spec, &[bad.address(), good.address()])).await;
    let body = "replay me ".repeat(1000);
    let post = Request::post("/").body(full(body.clone())).unwrap();
    assert_eq!(send(weir.address(), post).await.unwrap().json()["body"], body);
}

#[tokio::test]
async fn f2_a_body_over_the_limit_is_not_replayed() {
    let [bad, good] = Backend::start_many("web").await;
    bad.set(Reply::status(502));
    let spec = "balance: {method: FirstAlive}, retry: {statuses: ['502'], bufferLimit: 1Ki}";
    let weir = Weir::start(&web(spec, &[bad.address(), good.address()])).await;
    let put = |size| Request::put("/").body(full("x".repeat(size))).unwrap();
    assert_eq!(send(weir.address(), put(1024)).await.unwrap().text(), "web-2");
    assert_eq!(send(weir.address(), put(1025)).await.unwrap().status, 502);
}

#[tokio::test]
async fn f2_status_masks_are_tried_again() {
    let [bad, good] = Backend::start_many("web").await;
    bad.set(Reply::status(503));
    for (mask, status) in [("503", 200), ("50x", 200), ("5xx", 200), ("502", 503)] {
        let spec = format!("balance: {{method: FirstAlive}}, retry: {{statuses: ['{mask}']}}");
        let weir = Weir::start(&web(&spec, &[bad.address(), good.address()])).await;
        assert_eq!(weir.get("/").await.status, status, "{mask}");
    }
}

#[tokio::test]
async fn f2_causes_that_are_not_listed_are_not_tried_again() {
    let [bad, good] = Backend::start_many("web").await;
    bad.set(Behaviour::CloseEarly);
    let spec = "balance: {method: FirstAlive}, retry: {causes: [connect-failure]}";
    let weir = Weir::start(&web(spec, &[bad.address(), good.address()])).await;
    assert_eq!(weir.get("/").await.status, 502);
    assert_eq!(good.requests(), 0);
}

#[tokio::test]
async fn f2_a_budget_keeps_retries_from_becoming_a_storm() {
    let [bad, good] = Backend::start_many("web").await;
    bad.set(Reply::status(502));
    let spec = "balance: {method: FirstAlive}, retry: {statuses: ['502'], budgetPercent: 0}";
    let weir = Weir::start(&web(spec, &[bad.address(), good.address()])).await;
    let mut client = weir.client().await;
    let mut refused = 0;
    for _ in 0..200 {
        refused += u32::from(client.get("/").await.unwrap().status == 502);
    }
    // 0% leaves the floor of 10 per second.
    assert!(good.requests() >= 10, "{}", good.requests());
    assert!(refused > 0, "no request was refused its retry");
}

#[tokio::test]
async fn f3_a_dead_idle_connection_is_replaced_unnoticed_and_not_counted() {
    let server = Backend::start("web-1").await;
    let weir = Weir::start(&web("", &[server.address()])).await;
    let mut client = weir.client().await;
    for _ in 0..5 {
        assert_eq!(client.get("/").await.unwrap().status, 200);
        server.stop().await;
        server.restart();
    }
    let post = Request::post("/").body(full("x")).unwrap();
    assert_eq!(client.send(post).await.unwrap().status, 200, "even a POST, as it was never read");
    assert_eq!(weir.backend("test/web", "web-1").await["fails"], 0);
    assert_eq!(weir.state("test/web").await.unwrap()["retries"], 0);
}

#[tokio::test]
async fn f4_the_last_failure_decides_between_502_503_and_504() {
    let server = Backend::start("web-1").await;
    let spec = "timeouts: {read: 100ms}, retry: {attempts: 0}, health: {passive: {maxFails: 0}}";
    let weir = Weir::start(&web(spec, &[server.address()])).await;
    server.set(Behaviour::Silent);
    assert_eq!(weir.get("/").await.status, 504);
    server.set(Behaviour::CloseEarly);
    assert_eq!(weir.get("/").await.status, 502);
    server.set(Behaviour::raw("nonsense\r\n\r\n"));
    assert_eq!(weir.get("/").await.status, 502);
    server.stop().await;
    assert_eq!(weir.get("/").await.status, 504, "nobody to connect to");
    let empty = Weir::start(&pool("web", "")).await;
    assert_eq!(empty.get("/").await.status, 503);
}

#[tokio::test]
async fn f4_an_upstream_that_cannot_be_connected_to_in_time_is_504() {
    let busy = FullListener::start().await;
    let weir = Weir::start(&web("timeouts: {connect: 100ms}", &[busy.address()])).await;
    assert_eq!(weir.get("/").await.status, 504);
    assert_eq!(weir.backend("test/web", "web-1").await["lastFailure"]["reason"], "connect_timeout");
}

#[tokio::test]
async fn f4_a_response_that_breaks_off_is_cut_off_for_the_client_too() {
    let server = Backend::start("web-1").await;
    server.set(Behaviour::raw("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort"));
    let weir = Weir::start(&web("", &[server.address()])).await;
    let mut client = RawClient::connect(weir.address()).await.unwrap();
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let response = client.read_to_end().await;
    assert!(response.starts_with("HTTP/1.1 200") && response.ends_with("short"), "{response}");
}

#[tokio::test]
async fn f4_the_whole_request_has_a_limit() {
    let [a, b] = Backend::start_many("web").await;
    a.set(Behaviour::Silent);
    b.set(Behaviour::Silent);
    let weir = Weir::start(&web("timeouts: {request: 200ms, read: 10s}", &[a.address(), b.address()])).await;
    assert_eq!(weir.get("/").await.status, 504);
    assert_eq!(a.requests() + b.requests(), 1);
}

#[tokio::test]
async fn f4_the_limit_of_the_whole_request_ends_a_response_that_trickles() {
    let server = Backend::start("web-1").await;
    server.set(Reply::text(&"x".repeat(1000)).trickling(Duration::from_millis(50)));
    let weir = Weir::start(&web("timeouts: {request: 300ms}", &[server.address()])).await;
    let mut client = RawClient::connect(weir.address()).await.unwrap();
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert_eq!(status(&client.read_head().await.unwrap()), 200);
    let body = client.read_to_end().await;
    assert!((1..=6).contains(&body.len()), "{} bytes", body.len());
    assert_eq!(weir.backend("test/web", "web-1").await["lastFailure"]["reason"], "timeout");
}

#[tokio::test]
async fn f4_per_try_limit_leads_to_the_next_endpoint() {
    let [slow, good] = Backend::start_many("web").await;
    slow.set(Behaviour::Silent);
    let spec = "balance: {method: FirstAlive}, retry: {perTry: 100ms}";
    let weir = Weir::start(&web(spec, &[slow.address(), good.address()])).await;
    assert_eq!(weir.get("/").await.text(), "web-2");
}

#[tokio::test]
async fn f6_a_client_that_leaves_takes_its_upstream_request_with_it() {
    let server = Backend::start("web-1").await;
    let weir = Weir::start(&web("onClientAbort: Close", &[server.address()])).await;
    leave(&weir, &server).await;
    eventually("the upstream request is cancelled", async || (server.counts().aborted() == 1).then_some(())).await;
}

#[tokio::test]
async fn f6_with_ignore_the_upstream_request_goes_on() {
    let server = Backend::start("web-1").await;
    let weir = Weir::start(&web("onClientAbort: Ignore", &[server.address()])).await;
    leave(&weir, &server).await;
    // Nothing shows that Weir does nothing: a moment in which `Close` would long have cancelled it.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!((server.counts().aborted(), server.counts().in_flight()), (0, 1));
    server.release();
    eventually("it is answered", async || (server.counts().in_flight() == 0).then_some(())).await;
    assert_eq!(server.counts().aborted(), 0);
}

#[tokio::test]
async fn f6_with_ignore_a_failure_after_the_client_left_is_counted_once() {
    let server = Backend::start("web-1").await;
    let weir = Weir::start(&web("onClientAbort: Ignore", &[server.address()])).await;
    leave(&weir, &server).await;
    server.set(Behaviour::CloseEarly);
    server.release();
    until_over(&weir).await;
    assert_eq!(weir.backend("test/web", "web-1").await["fails"], 1);
    assert_eq!(server.requests(), 1, "nobody waits for another try");
}

#[tokio::test]
async fn f6_with_ignore_a_response_that_breaks_off_after_the_client_left_is_counted_once() {
    let server = Backend::start("web-1").await;
    server.set(Reply::text("never").head_first());
    server.hold();
    let text = web("onClientAbort: Ignore, match: [{path: {type: Exact, value: /}}]", &[server.address()]);
    let weir = Weir::builder().workers(1).file("web.yaml", &text).start().await;
    let mut client = RawClient::connect(weir.address()).await.unwrap();
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    client.read_head().await.unwrap();
    drop(client);
    // One worker takes what happens in its order: when it has answered this, it knows that the client left.
    assert_eq!(weir.get("/other").await.status, 404);
    assert_eq!(weir.backend("test/web", "web-1").await["inFlight"]["current"], 1);
    server.stop().await;
    until_over(&weir).await;
    assert_eq!(weir.backend("test/web", "web-1").await["fails"], 1);
}

async fn until_over(weir: &Weir) {
    eventually("the upstream request is over", async || {
        (weir.backend("test/web", "web-1").await["inFlight"]["current"] == 0).then_some(())
    })
    .await;
}

/// Sends a request that the server holds, and goes away.
async fn leave(weir: &Weir, server: &Backend) {
    server.hold();
    let mut client = RawClient::connect(weir.address()).await.unwrap();
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    eventually("the request is upstream", async || (server.counts().in_flight() == 1).then_some(())).await;
    drop(client);
}
