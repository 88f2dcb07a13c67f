//! The harness does what the other tests rely on.

use std::net::Ipv4Addr;

use http::Request;
use serde_json::json;
use weir_tests::client::full;
use weir_tests::{Backend, Behaviour, Client, Dns, Load, RawClient, Reply, eventually, get, send};

#[tokio::test]
async fn a_backend_answers_counts_and_keeps_connections() {
    let backend = Backend::start("web-1").await;
    let mut client = Client::connect(backend.address()).await.unwrap();
    for _ in 0..3 {
        assert_eq!(client.get("/").await.unwrap().text(), "web-1");
    }
    assert_eq!((backend.requests(), backend.counts().connections()), (3, 1));
}

#[tokio::test]
async fn a_stopped_backend_refuses_and_comes_back_on_its_port() {
    let backend = Backend::start("web-1").await;
    let mut kept = Client::connect(backend.address()).await.unwrap();
    kept.get("/").await.unwrap();
    backend.stop().await;
    assert!(get(backend.address(), "/").await.is_err());
    assert!(kept.get("/").await.is_err());
    backend.restart();
    assert_eq!(get(backend.address(), "/").await.unwrap().text(), "web-1");
}

#[tokio::test]
async fn a_backend_tells_what_it_received() {
    let backend = Backend::start("web-1").await;
    backend.set(Behaviour::Echo);
    let request = Request::post("/a?b=c").header("x-one", "1").body(full("hello")).unwrap();
    let told = send(backend.address(), request).await.unwrap().json();
    assert_eq!((&told["method"], &told["target"], &told["body"]), (&json!("POST"), &json!("/a?b=c"), &json!("hello")));
    assert!(told["headers"].as_array().unwrap().contains(&json!(["x-one", "1"])));
}

#[tokio::test]
async fn a_backend_misbehaves_as_told() {
    let backend = Backend::start("web-1").await;
    backend.set(Behaviour::CloseEarly);
    assert!(get(backend.address(), "/").await.is_err());
    backend.set(Behaviour::raw("what?\r\n"));
    assert!(get(backend.address(), "/").await.is_err());
    backend.set(Reply::status(503).header("x-why", "test").trailer("x-end", "now"));
    let request = Request::get("/").header("te", "trailers").body(full("")).unwrap();
    let response = send(backend.address(), request).await.unwrap();
    assert_eq!((response.status, response.header("x-why")), (503, "test"));
    assert_eq!(response.trailers["x-end"], "now");
}

#[tokio::test]
async fn a_backend_notices_clients_that_leave() {
    let backend = Backend::start("web-1").await;
    backend.hold();
    let mut client = RawClient::connect(backend.address()).await.unwrap();
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    eventually("the request is there", async || (backend.counts().in_flight() == 1).then_some(())).await;
    drop(client);
    eventually("the request is gone", async || (backend.counts().aborted() == 1).then_some(())).await;
    assert_eq!(backend.counts().in_flight(), 0);
}

#[tokio::test]
async fn load_counts_answers_and_keeps_failures() {
    let backend = Backend::start("web-1").await;
    let load = Load::start(backend.address(), 2);
    eventually("some requests", async || (backend.requests() > 20).then_some(())).await;
    backend.set(Reply::status(500));
    let seen = backend.requests();
    eventually("some failures", async || (backend.requests() > seen + 20).then_some(())).await;
    let tally = load.stop().await;
    assert!(tally.answered >= 20 && tally.failures.len() >= 20);
    assert_eq!(tally.answered + tally.failures.len() as u64, backend.requests());
}

#[tokio::test]
async fn a_dns_server_answers_what_it_was_told() {
    let dns = Dns::start().await;
    dns.set("web.test", &[Ipv4Addr::LOCALHOST.into()]);
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(dns.address()).await.unwrap();
    // A query with id 1 for the A records of web.test, written out by hand.
    let query = b"\0\x01\x01\0\0\x01\0\0\0\0\0\0\x03web\x04test\0\0\x01\0\x01";
    socket.send(query).await.unwrap();
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer).await.unwrap();
    assert!(answer[..length].ends_with(&[127, 0, 0, 1]));
    assert_eq!(dns.queries(), 1);
}
