//! U3, U4, A5: what Weir adds to, takes from and passes on with a message.

use http::Request;
use serde_json::Value;
use weir_tests::client::{Body, full};
use weir_tests::manifest::{backend, pool, web};
use weir_tests::{Backend, Behaviour, RawClient, Reply, Weir, send};

struct Echo {
    weir: Weir,
    server: Backend,
}

impl Echo {
    async fn start(spec: &str) -> Self {
        let server = Backend::start("web-1").await;
        server.set(Behaviour::Echo);
        Self { weir: Weir::start(&web(spec, &[server.address()])).await, server }
    }

    async fn send(&self, request: Request<Body>) -> Told {
        Told(send(self.weir.address(), request).await.unwrap().json())
    }
}

/// What the upstream says that it received.
struct Told(Value);

impl Told {
    fn values(&self, name: &str) -> Vec<&str> {
        let headers = self.0["headers"].as_array().unwrap();
        headers.iter().filter(|pair| pair[0] == name).map(|pair| pair[1].as_str().unwrap()).collect()
    }
}

#[tokio::test]
async fn u3_forwarded_headers_are_appended_and_set() {
    let echo = Echo::start("").await;
    let request = Request::get("/")
        .header("host", "shop.test")
        .header("x-forwarded-for", "10.0.0.9")
        .header("x-forwarded-proto", "https")
        .header("x-forwarded-host", "evil.test");
    let told = echo.send(request.body(full("")).unwrap()).await;
    assert_eq!(told.values("x-forwarded-for").join(", "), "10.0.0.9, 127.0.0.1");
    assert_eq!(told.values("x-forwarded-proto"), ["http"]);
    assert_eq!(told.values("x-forwarded-host"), ["shop.test"]);
    assert_eq!(told.values("host"), ["shop.test"]);
    assert_eq!(told.values("via").len(), 1);
}

#[tokio::test]
async fn u3_hop_by_hop_headers_never_pass() {
    let echo = Echo::start("").await;
    let request = Request::get("/")
        .header("connection", "keep-alive, x-mine")
        .header("x-mine", "1")
        .header("keep-alive", "timeout=5")
        .header("proxy-authorization", "Basic eA==")
        .header("proxy-connection", "keep-alive")
        .header("x-passes", "1");
    let told = echo.send(request.body(full("")).unwrap()).await;
    for name in ["connection", "x-mine", "keep-alive", "proxy-authorization", "proxy-connection"] {
        assert_eq!(told.values(name), Vec::<&str>::new(), "{name}");
    }
    assert_eq!(told.values("x-passes"), ["1"]);

    echo.server.set(
        Reply::text("").header("connection", "x-theirs").header("x-theirs", "1").header("keep-alive", "timeout=5"),
    );
    let response = echo.weir.get("/").await;
    assert_eq!((response.header("x-theirs"), response.header("keep-alive")), ("", ""));
}

#[tokio::test]
async fn u3_trailers_pass_both_ways() {
    let echo = Echo::start("").await;
    let mut client = RawClient::connect(echo.weir.address()).await.unwrap();
    client
        .send(
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\nconnection: close\r\n\r\n\
             2\r\nhi\r\n0\r\nx-sum: 7\r\n\r\n",
        )
        .await
        .unwrap();
    let response = client.read_to_end().await;
    assert!(response.contains(r#""trailers":[["x-sum","7"]]"#), "{response}");

    echo.server.set(Reply::text("hi").trailer("x-end", "8"));
    let request = Request::get("/").header("te", "trailers").body(full("")).unwrap();
    let response = send(echo.weir.address(), request).await.unwrap();
    assert_eq!((response.text().as_str(), &response.trailers["x-end"]), ("hi", &http::HeaderValue::from_static("8")));
}

#[tokio::test]
async fn u3_expect_100_continue_passes() {
    let echo = Echo::start("").await;
    let mut client = RawClient::connect(echo.weir.address()).await.unwrap();
    client
        .send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    assert!(client.read_head().await.unwrap().starts_with("HTTP/1.1 100"));
    client.send("ok").await.unwrap();
    let response = client.read_to_end().await;
    assert!(response.starts_with("HTTP/1.1 200") && response.contains(r#""body":"ok""#), "{response}");
}

#[tokio::test]
async fn u3_upgraded_connections_pass_bytes_both_ways() {
    let echo = Echo::start("").await;
    let mut client = RawClient::connect(echo.weir.address()).await.unwrap();
    let head = "GET /chat HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
                sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n";
    client.send(head).await.unwrap();
    let answer = client.read_head().await.unwrap().to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 101") && answer.contains("upgrade: websocket"), "{answer}");
    for message in ["one;", "two;"] {
        client.send(message).await.unwrap();
        assert_eq!(client.read_until(";").await.unwrap(), message);
    }
}

#[tokio::test]
async fn u3_an_idle_upgraded_connection_is_closed() {
    let echo = Echo::start("timeouts: {idle: 100ms}").await;
    let mut client = RawClient::tunnel(echo.weir.address()).await.unwrap();
    assert_eq!(client.read_to_end().await, "");
}

#[tokio::test]
async fn u4_debug_headers_name_pool_backend_and_attempts() {
    let [a, b] = Backend::start_many("web").await;
    a.stop().await;
    let weir =
        Weir::start(&web("debugHeaders: true, balance: {method: FirstAlive}", &[a.address(), b.address()])).await;
    let response = weir.get("/").await;
    let named = ["x-weir-pool", "x-weir-backend", "x-weir-attempts"].map(|name| response.header(name));
    assert_eq!(named, ["test/web", "web-2", "2"]);
    let plain = Weir::start(&web("", &[b.address()])).await.get("/").await;
    assert_eq!(plain.header("x-weir-backend"), "");
}

#[tokio::test]
async fn a5_each_503_and_504_of_weir_says_when_to_come_back() {
    let server = Backend::start("web-1").await;
    server.set(Behaviour::Silent);
    let silent = backend("b", "web", server.address(), "");
    for (spec, expected) in [("", "10"), ("retryAfter: 3s", "3"), ("retryAfter: 0s", "")] {
        let empty = Weir::start(&pool("web", spec)).await.get("/").await;
        assert_eq!((empty.status, empty.header("retry-after")), (503, expected), "{spec}");
        let comma = if spec.is_empty() { "" } else { ", " };
        let late = pool("web", &format!("{spec}{comma}timeouts: {{read: 50ms}}")) + &silent;
        let late = Weir::start(&late).await.get("/").await;
        assert_eq!((late.status, late.header("retry-after")), (504, expected), "{spec}");
    }
}

#[tokio::test]
async fn a5_a_503_of_the_upstream_is_left_alone() {
    let server = Backend::start("web-1").await;
    server.set(Reply::status(503));
    let response = Weir::start(&web("", &[server.address()])).await.get("/").await;
    assert_eq!((response.status, response.header("retry-after")), (503, ""));
}

#[tokio::test]
async fn a6_a_disabled_pool_is_passed_over_and_503_if_alone() {
    let [a, b] = Backend::start_many("web").await;
    let first = pool("first", "enabled: false") + &backend("first-1", "first", a.address(), "");
    let second = pool("second", "priority: 1") + &backend("second-1", "second", b.address(), "");
    let weir = Weir::start(&(first.clone() + &second)).await;
    assert_eq!(weir.get("/").await.text(), "web-2");
    assert_eq!(Weir::start(&first).await.get("/").await.status, 503);
}
