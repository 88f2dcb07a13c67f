//! HTTP/2 from clients: everything that holds for a request of HTTP/1.1 holds for one of its streams.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderMap, HeaderValue, Method, Request, Version};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::ext::Protocol;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_stream::iter;
use weir_data_plane::limits::Limits;
use weir_tests::authority::{Authority, YEAR};
use weir_tests::client::full;
use weir_tests::manifest::{backend, pool, web};
use weir_tests::{Backend, Behaviour, Client, Reply, TlsClient, Weir, eventually, within};

use super::plugin_builtin::received;
use super::tls::pair_secret;

async fn start(spec: &str, limits: Limits) -> (Weir, Backend) {
    let server = Backend::start("web-1").await;
    let weir = Weir::builder().limits(limits).file("web.yaml", &web(spec, &[server.address()])).start().await;
    (weir, server)
}

async fn echoing() -> (Weir, Backend, Client) {
    let (weir, server) = start("", Limits::default()).await;
    server.set(Behaviour::Echo);
    let client = Client::connect_http2(weir.address()).await.unwrap();
    (weir, server, client)
}

#[tokio::test]
async fn m3_u3_a_request_reaches_a_backend_of_http1_as_one_of_its_own() {
    let (_weir, _server, mut client) = echoing().await;
    let request = Request::get("http://Shop.Example.com:80/a/../b?q=1")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .header("te", "trailers")
        .body(full(""));
    let echo = client.send(request.unwrap()).await.unwrap();
    let echo = (assert_eq!((echo.status, echo.header("via")), (200, "1.1 weir")), echo.json()).1;
    assert_eq!((&echo["method"], &echo["target"]), (&"GET".into(), &"/b?q=1".into()));
    for (name, value) in [
        ("host", "Shop.Example.com:80"),
        ("x-forwarded-host", "Shop.Example.com:80"),
        ("x-forwarded-proto", "http"),
        ("via", "2 weir"),
        ("cookie", "a=1; b=2"),
        ("te", "trailers"),
    ] {
        assert_eq!(received(&echo, name), [value], "{name}");
    }
    assert_eq!(received(&echo, "transfer-encoding"), [""; 0]);
}

#[tokio::test]
async fn streams_are_balanced_one_by_one_and_not_by_connection() {
    let servers: [Backend; 3] = Backend::start_many("web").await;
    let addresses = servers.each_ref().map(Backend::address);
    let weir = Weir::builder().file("web.yaml", &web("", &addresses)).start().await;
    let client = Client::connect_http2(weir.address()).await.unwrap();
    let sends = (0..90).map(|_| {
        let mut client = client.beside();
        async move { client.get("/").await.unwrap().status }
    });
    assert!(join_all(sends).await.iter().all(|status| *status == 200));
    assert_eq!(servers.each_ref().map(Backend::requests), [30, 30, 30]);
}

#[tokio::test]
async fn u3_bodies_and_trailers_pass_both_ways() {
    let (_weir, server, mut client) = echoing().await;
    let large = Bytes::from("x".repeat(10 << 20));
    let response = client.send(Request::post("/").body(full(large.clone())).unwrap()).await.unwrap();
    assert_eq!(response.json()["body"].as_str().unwrap().len(), large.len());

    let sum = HeaderMap::from_iter([("x-sum".parse().unwrap(), HeaderValue::from_static("42"))]);
    let frames = [Ok(Frame::data(Bytes::from("hello"))), Ok(Frame::trailers(sum))];
    let request = Request::post("/").header("trailer", "x-sum").body(StreamBody::new(iter(frames)).boxed()).unwrap();
    let echo = client.send(request).await.unwrap().json();
    assert_eq!((&echo["body"], &echo["trailers"]), (&"hello".into(), &serde_json::json!([["x-sum", "42"]])));

    server.set(Reply::text("bye").trailer("x-sum", "7"));
    let request = Request::get("/").header("te", "trailers").body(full("")).unwrap();
    let response = client.send(request).await.unwrap();
    assert_eq!((response.text().as_str(), &response.trailers["x-sum"]), ("bye", &HeaderValue::from_static("7")));
}

#[tokio::test]
async fn answers_without_content_have_none() {
    let (weir, server) = start("match: [{path: {type: Prefix, value: /web}}]", Limits::default()).await;
    let mut client = Client::connect_http2(weir.address()).await.unwrap();
    let head = |path: &str| Request::head(path).body(full("")).unwrap();
    for (path, status) in [("/web", 200), ("/nowhere", 404)] {
        let response = client.send(head(path)).await.unwrap();
        assert_eq!((response.status, response.body.len()), (status, 0), "{path}");
        assert_ne!(response.header("content-length"), "0", "{path}: that of the answer to a GET");
    }
    server.set(Reply::status(204));
    assert_eq!(client.get("/web").await.unwrap().status, 204);
    assert_eq!(client.get("/nowhere").await.unwrap().text(), "no rule matches this request\n");
}

#[tokio::test]
async fn within_tls_it_is_agreed_on_and_a_host_with_another_certificate_is_misdirected() {
    let (authority, server) = (Authority::new(), Backend::start("s").await);
    server.set(Behaviour::Echo);
    let (shop, bank) = (authority.site(&["*.shop.com"], YEAR), authority.site(&["bank.com"], YEAR));
    let site = |name: &str, host: &str, pair| {
        pool(name, &format!("match: [{{hosts: ['{host}']}}], tls: {{secretName: {name}-tls}}"))
            + &backend(name, name, server.address(), "")
            + &pair_secret(&format!("{name}-tls"), pair)
    };
    let text = site("shop", "*.shop.com", &shop) + &site("bank", "bank.com", &bank);
    let weir = Weir::builder().https().file("web.yaml", &text).start().await;
    let secure = TlsClient::trusting(&authority).offering(&["h2", "http/1.1"]);
    let secure = secure.connect(weir.https_address(), "a.shop.com").await.unwrap();
    assert_eq!(secure.protocol(), Some(&b"h2"[..]));
    let mut client = secure.http2("a.shop.com").await.unwrap();
    assert_eq!(received(&client.get("/").await.unwrap().json(), "x-forwarded-proto"), ["https"]);
    let mut get = async |host: &str| client.get(&format!("https://{host}/")).await.unwrap().status;
    assert_eq!((get("b.shop.com").await, get("bank.com").await), (200, 421));
    assert_eq!((get("a.shop.com").await, get("elsewhere.org").await), (200, 404));
}

#[tokio::test]
async fn a_websocket_passes_and_what_is_none_is_refused() {
    let (_weir, server, client) = echoing().await;
    let connect = |path: &str, protocol: &'static str| {
        let mut request = Request::new(full(""));
        *request.method_mut() = Method::CONNECT;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = path.parse().unwrap();
        request.extensions_mut().insert(Protocol::from_static(protocol));
        request.headers_mut().insert("sec-websocket-version", HeaderValue::from_static("13"));
        request
    };
    // The server's settings say whether it may be asked at all.
    client.beside().get("/").await.unwrap();
    let response = client.beside().begin(connect("/chat", "websocket")).await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(!response.headers().contains_key("sec-websocket-accept"));
    let mut stream = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    stream.write_all(b"hello").await.unwrap();
    let mut echo = [0; 5];
    within("the echo", stream.read_exact(&mut echo)).await.unwrap();
    assert_eq!(&echo, b"hello");
    assert_eq!(client.beside().send(connect("/", "connect-udp")).await.unwrap().status, 501);
    // A 2xx that does not switch would look like an open WebSocket.
    server.set(Reply::text("no WebSocket"));
    assert_eq!(client.beside().send(connect("/chat", "websocket")).await.unwrap().status, 502);
    server.set(Reply::status(403));
    assert_eq!(client.beside().send(connect("/chat", "websocket")).await.unwrap().status, 403);
    stream.shutdown().await.unwrap();
    assert_eq!(within("the end", stream.read(&mut echo)).await.unwrap(), 0);
}

#[tokio::test]
async fn calls_of_grpc_are_answered_in_its_own_statuses() {
    let servers: [Backend; 2] = Backend::start_many("s").await;
    let of = |name: &str, spec: &str, server: &Backend| {
        pool(name, &format!("match: [{{path: {{type: Prefix, value: /{name}}}}}]{spec}"))
            + &backend(&format!("{name}-1"), name, server.address(), "")
    };
    let text = of("slow", ", timeouts: {request: 50ms}", &servers[0]) + &of("gone", "", &servers[1]);
    let weir = Weir::builder().file("web.yaml", &text).start().await;
    let mut client = Client::connect_http2(weir.address()).await.unwrap();
    let mut call = async |path: &str| {
        let request = Request::post(path).header("content-type", "application/grpc+proto").header("te", "trailers");
        let response = client.send(request.body(full("")).unwrap()).await.unwrap();
        assert_eq!((response.status, response.header("content-type")), (200, "application/grpc"), "{path}");
        assert!(response.body.is_empty(), "{path}");
        (response.header("grpc-status").to_owned(), response.header("grpc-message").to_owned())
    };
    assert_eq!(call("/nowhere").await, ("12".to_owned(), "no rule matches this request".to_owned()));
    servers[0].set(Behaviour::Silent);
    assert_eq!(call("/slow").await.0, "4");
    servers[1].stop().await;
    assert_eq!(call("/gone").await, ("14".to_owned(), "no backend could be connected to".to_owned()));
}

#[tokio::test]
async fn r1_a_proxy_that_leaves_lets_streams_end_and_takes_no_more() {
    let (weir, server) = start("match: [{path: {type: Prefix, value: /web}}]", Limits::default()).await;
    let client = Client::connect_http2(weir.address()).await.unwrap();
    server.hold();
    let running = tokio::spawn({
        let mut client = client.beside();
        async move { client.get("/web").await }
    });
    eventually("the request is there", async || (server.requests() == 1).then_some(())).await;
    let stopping = tokio::spawn(weir.stop());
    eventually("no more streams are taken", async || client.beside().get("/nowhere").await.is_err().then_some(()))
        .await;
    server.release();
    assert_eq!(running.await.unwrap().unwrap().status, 200);
    within("the end of the proxy", stopping).await.unwrap();
}

#[tokio::test]
async fn r7_streams_are_limited_and_a_stream_that_stalls_ends_alone() {
    let limits = Limits { http2_max_streams: 2, send_timeout: Duration::from_millis(300), ..Limits::default() };
    let (weir, server) = start("", limits).await;
    server.set(Reply::text(&"x".repeat(3 << 20)));
    let mut client = Client::connect_http2(weir.address()).await.unwrap();
    // Its body is not read: what there is room for is less than the body, and more than what the others need.
    let stalled = client.beside().begin(Request::get("/").body(full("")).unwrap()).await.unwrap();
    server.set(Reply::text("quick"));
    assert_eq!(client.get("/").await.unwrap().text(), "quick");
    eventually("the stream is given up", async || (weir.metric("weir_requests_active").await == 0.0).then_some(()))
        .await;
    let error = within("the end of the stream", stalled.into_body().collect()).await.unwrap_err();
    assert!(format!("{error:?}").contains("CANCEL"), "{error:?}");
    assert_eq!(client.get("/").await.unwrap().text(), "quick");
}

#[tokio::test]
async fn an_idle_connection_is_told_before_it_ends() {
    let limits = Limits { idle_timeout: Duration::from_secs(1), ..Limits::default() };
    let (weir, _server) = start("", limits).await;
    let mut client = Client::connect_http2(weir.address()).await.unwrap();
    assert_eq!(client.get("/").await.unwrap().status, 200);
    eventually("the connection ends", async || client.is_closed().then_some(())).await;
    assert_eq!(weir.metric("weir_http2_faults_total").await, 0.0);
}

#[tokio::test]
async fn a_connection_takes_as_many_requests_as_it_may() {
    let (weir, _server) = start("", Limits { max_requests_per_connection: 3, ..Limits::default() }).await;
    let mut client = Client::connect_http2(weir.address()).await.unwrap();
    for _ in 0..3 {
        assert_eq!(client.get("/").await.unwrap().status, 200);
    }
    eventually("the connection ends", async || client.is_closed().then_some(())).await;
}
