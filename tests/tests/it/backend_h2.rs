//! HTTP/2 to backends: streams, what bounds them, and connections that their servers leave.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use http::{HeaderMap, HeaderValue, Request};
use http_body_util::BodyExt;
use http_body_util::channel::Channel;
use tokio::task::JoinHandle;
use weir_tests::authority::{Authority, YEAR};
use weir_tests::client::full;
use weir_tests::http2::{Act, Http2Server};
use weir_tests::load::bodies;
use weir_tests::manifest::{backend, pool, secret};
use weir_tests::{Backend, Behaviour, Client, Load, RawClient, Reply, Response, Speech, Weir, eventually, get, send};

use super::plugin_builtin::received;

const ANY: &str = "127.0.0.1:0";

async fn server(name: &str) -> Backend {
    Backend::start_speaking(ANY, name, Speech::http2()).await
}

/// A Pool `web` with this spec, whose Backends `web-1` and so on speak HTTP/2.
fn web(spec: &str, addresses: &[SocketAddr]) -> String {
    let one = |(i, address)| backend(&format!("web-{}", i + 1), "web", address, "protocol: H2");
    pool("web", spec) + &addresses.iter().enumerate().map(one).collect::<String>()
}

/// One worker: connections are those of all requests.
async fn weir(text: &str) -> Weir {
    Weir::builder().workers(1).file("web.yaml", text).start().await
}

fn ask(address: SocketAddr, count: usize) -> Vec<JoinHandle<anyhow::Result<Response>>> {
    (0..count).map(|_| tokio::spawn(async move { get(address, "/").await })).collect()
}

async fn in_flight(server: &Backend, count: u64) {
    eventually(&format!("{count} at once"), async || (server.counts().in_flight() == count).then_some(())).await;
}

#[tokio::test]
async fn u1_many_requests_share_a_connection_and_are_balanced_one_by_one() {
    let [one, two] = [server("one").await, server("two").await];
    let weir = weir(&web("", &[one.address(), two.address()])).await;
    let mut client = weir.client().await;
    let mut names = Vec::new();
    for _ in 0..10 {
        names.push(client.get("/").await.unwrap().text());
    }
    assert_eq!(names.iter().filter(|name| *name == "one").count(), 5, "of one connection of a client");
    one.hold();
    two.hold();
    let asked = ask(weir.address(), 60);
    in_flight(&one, 30).await;
    in_flight(&two, 30).await;
    assert_eq!(weir.backend("test/web", "web-1").await["inFlight"]["current"], 30);
    one.release();
    two.release();
    for response in join_all(asked).await {
        assert_eq!(response.unwrap().unwrap().status, 200);
    }
    assert_eq!((one.counts().connections(), two.counts().connections()), (1, 1));
}

#[tokio::test]
async fn u1_within_tls_http2_is_agreed_on_by_alpn() {
    let authority = Authority::new();
    let speech = Speech::http2_tls(&authority.site(&["web.internal"], YEAR));
    let server = Backend::start_speaking(ANY, "s", speech.clone()).await;
    server.set(Behaviour::Echo);
    let tls = "protocol: H2, tls: {serverName: web.internal, ca: {secretName: ca}}";
    let text = pool("web", "health: {passive: {maxFails: 0}}")
        + &backend("web-1", "web", server.address(), tls)
        + &secret("ca", &[("ca.crt", authority.pem())]);
    let weir = weir(&text).await;
    assert_eq!(weir.get("/a?b").await.json()["target"], format!("https://{}/a?b", weir.address()));
    server.speak(Speech::tls(&authority.site(&["web.internal"], YEAR)));
    server.stop().await;
    server.restart();
    assert_eq!(weir.get("/").await.status, 502);
    assert_eq!(weir.backend("test/web", "web-1").await["lastFailure"]["reason"], "tls_no_overlap");
}

#[tokio::test]
async fn u3_a_request_is_told_as_http2_has_it_and_trailers_pass_both_ways() {
    let server = server("s").await;
    let weir = weir(&web("", &[server.address()])).await;
    server.set(Behaviour::Echo);
    let (mut sender, body) = Channel::new(4);
    let request = Request::post("/a/b?c=d")
        .header("host", "shop.example.com")
        .header("connection", "te, x-hop")
        .header("te", "trailers")
        .header("x-hop", "1")
        .header("x-end", "2")
        .header("cookie", "a=b")
        .header("trailer", "x-sum")
        .body(body.boxed())
        .unwrap();
    let mut client = Client::connect(weir.address()).await.unwrap();
    let asking = tokio::spawn(async move { client.send(request).await });
    sender.send_data("hello".into()).await.unwrap();
    sender.send_trailers(HeaderMap::from_iter([("x-sum".parse().unwrap(), HeaderValue::from(5))])).await.unwrap();
    drop(sender);
    let echo = asking.await.unwrap().unwrap().json();
    assert_eq!(
        (echo["target"].as_str(), echo["body"].as_str()),
        (Some("http://shop.example.com/a/b?c=d"), Some("hello"))
    );
    assert_eq!(echo["trailers"], serde_json::json!([["x-sum", "5"]]));
    for (name, values) in [
        ("te", vec!["trailers"]),
        ("x-end", vec!["2"]),
        ("cookie", vec!["a=b"]),
        ("x-forwarded-host", vec!["shop.example.com"]),
        ("x-hop", vec![]),
        ("connection", vec![]),
        ("host", vec![]),
        ("transfer-encoding", vec![]),
    ] {
        assert_eq!(received(&echo, name), values, "{name}");
    }
    server.set(Reply::text("hello").trailer("x-end", "now"));
    let request = Request::get("/").header("te", "trailers").body(full("")).unwrap();
    let response = send(weir.address(), request).await.unwrap();
    assert_eq!((response.text().as_str(), &response.trailers["x-end"]), ("hello", &HeaderValue::from_static("now")));
}

#[tokio::test]
async fn u2_beyond_the_streams_that_a_server_takes_another_connection_is_made() {
    let server = Backend::start_speaking(ANY, "s", Speech::http2().with_streams(10)).await;
    let weir = weir(&web("", &[server.address()])).await;
    weir.get("/").await;
    server.hold();
    let asked = ask(weir.address(), 35);
    in_flight(&server, 35).await;
    assert_eq!(server.counts().connections(), 4);
    server.release();
    for response in join_all(asked).await {
        assert_eq!(response.unwrap().unwrap().status, 200);
    }
    assert_eq!(weir.sample("weir_backend_fails_total", "backend=\"web-1\"").await.unwrap_or_default(), 0.0);
}

#[tokio::test]
async fn f3_a_stream_that_was_refused_or_came_too_late_is_sent_again_even_if_it_is_a_post_and_fails_nobody() {
    for (act, at) in [(Act::Refuse, 4), (Act::GoAway, 1)] {
        let script = move |connection, stream| if (connection, stream) == (1, at) { act } else { Act::Answer };
        let server = Http2Server::start(script).await;
        let weir = weir(&web("retry: {attempts: 0}", &[server.address()])).await;
        for number in 1..=6 {
            let request = Request::post("/").body(full(format!("order {number}"))).unwrap();
            let response = send(weir.address(), request).await.unwrap();
            assert_eq!((response.status, response.text()), (200, format!("order {number}")), "{act:?}");
        }
        assert_eq!(server.answered(), 6, "{act:?}: none twice");
        let state = weir.backend("test/web", "web-1").await;
        assert!(state["state"] == "Up" && state["lastFailure"].is_null(), "{act:?}: {state}");
    }
}

#[tokio::test]
async fn f3_a_stream_that_failed_is_not_sent_again_if_it_is_a_post() {
    let server = Http2Server::start(|_, stream| if stream == 2 { Act::Fail } else { Act::Answer }).await;
    let weir = weir(&web("", &[server.address()])).await;
    let order = async || send(weir.address(), Request::post("/").body(full("order")).unwrap()).await.unwrap().status;
    assert_eq!((order().await, order().await, order().await), (200, 502, 200));
    assert_eq!(weir.backend("test/web", "web-1").await["lastFailure"]["reason"], "reset");
}

#[tokio::test]
async fn s6_servers_that_leave_each_connection_after_a_while_fail_no_request() {
    let server = Http2Server::start(|_, stream| if stream == 20 { Act::Leave } else { Act::Answer }).await;
    let weir = weir(&web("", &[server.address()])).await;
    let load = Load::start(weir.address(), 8);
    eventually("many connections were left", async || (server.connections() > 20).then_some(())).await;
    let tally = load.stop().await;
    assert!(tally.failures.is_empty(), "{:?}", tally.failures);
    assert!(weir.backend("test/web", "web-1").await["lastFailure"].is_null());
}

#[tokio::test]
async fn f6_a_client_that_leaves_ends_its_stream_and_no_other() {
    let server = server("s").await;
    let weir = weir(&web("", &[server.address()])).await;
    server.hold();
    let asked = ask(weir.address(), 1);
    let mut client = RawClient::connect(weir.address()).await.unwrap();
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    in_flight(&server, 2).await;
    drop(client);
    eventually("its stream is reset", async || (server.counts().aborted() == 1).then_some(())).await;
    server.release();
    assert_eq!(join_all(asked).await.remove(0).unwrap().unwrap().text(), "s");
    assert_eq!(server.counts().connections(), 1);
}

/// More than the window of the connection, to clients that read nothing.
#[tokio::test]
async fn clients_that_do_not_read_stop_no_other_stream_of_their_connection() {
    let server = server("s").await;
    let weir = weir(&web("", &[server.address()])).await;
    server.set(Reply::text(&"x".repeat(10 << 20)));
    let mut idle = Vec::new();
    for _ in 0..20 {
        let mut client = RawClient::connect(weir.address()).await.unwrap();
        client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        idle.push(client);
    }
    in_flight(&server, 0).await;
    let response = weir.get("/").await;
    assert_eq!((response.status, response.body.len()), (200, 10 << 20));
    server.set(Behaviour::Echo);
    let request = Request::post("/").body(full("y".repeat(10 << 20))).unwrap();
    let echo = send(weir.address(), request).await.unwrap().json();
    assert_eq!(echo["body"].as_str().map(str::len), Some(10 << 20));
    assert_eq!(server.counts().connections(), 1);
}

#[tokio::test]
async fn u2_connections_close_when_they_are_idle_or_their_backend_goes() {
    let [one, two] = [server("one").await, server("two").await];
    let weir = weir(&web("keepalive: {idleTimeout: 100ms}", &[one.address()])).await;
    let closed = async || {
        eventually("none is open", async || (one.counts().open() == 0).then_some(())).await;
    };
    assert_eq!(weir.get("/").await.text(), "one");
    closed().await;
    assert_eq!(weir.get("/").await.text(), "one");
    assert_eq!(one.counts().connections(), 2);
    weir.write("web.yaml", &web("keepalive: {idleTimeout: 1h}", &[one.address()])).await;
    assert_eq!(weir.get("/").await.text(), "one");
    weir.write("web.yaml", &web("keepalive: {idleTimeout: 1h}", &[two.address()])).await;
    closed().await;
    assert_eq!(weir.get("/").await.text(), "two");
}

#[tokio::test]
async fn h1_what_is_no_http2_is_a_bad_response() {
    let (bad, good) = (Backend::start("bad").await, server("good").await);
    // As servers of HTTP/1.1 answer to a preface.
    bad.set(Behaviour::raw("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"));
    let weir = weir(&web("health: {passive: {maxFails: 0}}", &[bad.address(), good.address()])).await;
    assert_eq!(bodies(weir.address(), "/", 6, 1).await.unwrap()["good"], 6);
    assert_eq!(weir.backend("test/web", "web-1").await["lastFailure"]["reason"], "bad_response");
    bad.stop().await;
    assert_eq!(bodies(weir.address(), "/", 6, 1).await.unwrap()["good"], 6);
    assert_eq!(weir.backend("test/web", "web-1").await["lastFailure"]["reason"], "connect_failure");
}

#[tokio::test]
async fn h2_probes_of_a_backend_of_http2_speak_it() {
    let server = server("s").await;
    let active = "health: {active: {interval: 50ms, healthyThreshold: 1}, passive: {maxFails: 0}}";
    let weir = weir(&web(active, &[server.address()])).await;
    let until = async |state: &str| {
        eventually(state, async || (weir.backend("test/web", "web-1").await["state"] == state).then_some(())).await;
    };
    until("Up").await;
    let (before, connections) = (server.requests(), server.counts().connections());
    eventually("more probes", async || (server.requests() > before + 5).then_some(())).await;
    assert_eq!(server.counts().connections(), connections, "on one connection");
    server.set(Reply::status(503));
    until("Down").await;
    server.set(Reply::text("s"));
    until("Up").await;
}

#[tokio::test]
async fn t2_the_read_timeout_holds_for_each_stream_by_itself() {
    let server = server("s").await;
    let weir = weir(&web("timeouts: {read: 300ms}, retry: {attempts: 0}", &[server.address()])).await;
    server.set(Behaviour::Silent);
    assert_eq!(weir.get("/").await.status, 504);
    server.set(Reply::text("s").after(Duration::from_millis(10)));
    assert_eq!(weir.get("/").await.text(), "s");
    assert_eq!(server.counts().connections(), 1, "the connection is as good as before");
}
