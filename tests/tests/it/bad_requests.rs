//! Requests that are wrong: each gets a clear answer and harms nobody else.

use weir_tests::manifest::web;
use weir_tests::raw::{exchange, status};
use weir_tests::{Backend, Behaviour, RawClient, Weir};

async fn start() -> (Weir, Backend) {
    let server = Backend::start("web-1").await;
    (Weir::start(&web("", &[server.address()])).await, server)
}

/// The status, after checking that the request did not get through and that the next one does.
async fn refused(request: impl AsRef<[u8]>) -> u16 {
    let (weir, server) = start().await;
    let answer = exchange(weir.address(), request).await.unwrap();
    assert_eq!(server.requests(), 0, "it got through: {answer}");
    assert_eq!(weir.get("/").await.status, 200);
    status(&answer)
}

#[tokio::test]
async fn two_hosts_are_400() {
    assert_eq!(refused("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n").await, 400);
}

#[tokio::test]
async fn no_host_is_400() {
    assert_eq!(refused("GET / HTTP/1.1\r\n\r\n").await, 400);
}

#[tokio::test]
async fn content_length_beside_transfer_encoding_is_400() {
    let request = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(refused(request).await, 400);
    let other_way = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n";
    assert_eq!(refused(other_way).await, 400);
}

#[tokio::test]
async fn transfer_codings_besides_chunked_are_501() {
    for codings in ["gzip, chunked", "identity", "chunked, gzip", "gzip\r\ntransfer-encoding: chunked"] {
        let request = format!("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: {codings}\r\n\r\n0\r\n\r\n");
        let status = refused(request).await;
        // What does not end in chunks has no length and may be told to be malformed as well.
        let malformed = !codings.ends_with("chunked") && status == 400;
        assert!(status == 501 || malformed, "{codings:?}: {status}");
    }
}

#[tokio::test]
async fn two_content_lengths_are_400() {
    assert_eq!(refused("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx").await, 400);
}

#[tokio::test]
async fn a_header_over_the_limit_is_431() {
    let request = format!("GET / HTTP/1.1\r\nhost: a\r\nx-long: {}\r\n\r\n", "x".repeat(1 << 20));
    assert_eq!(refused(request).await, 431);
}

#[tokio::test]
async fn too_many_headers_are_431() {
    let request = format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(5_000));
    assert_eq!(refused(request).await, 431);
}

#[tokio::test]
async fn a_request_line_over_the_limit_is_414() {
    let request = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "x".repeat(100_000));
    assert_eq!(refused(request).await, 414);
}

#[tokio::test]
async fn garbage_is_400() {
    assert_eq!(refused("hello, is this HTTP?\r\n\r\n").await, 400);
}

#[tokio::test]
async fn a_broken_chunk_is_400_or_ends_the_connection() {
    let (weir, server) = start().await;
    server.set(Behaviour::Echo);
    let request = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n";
    let answer = exchange(weir.address(), request).await.unwrap();
    assert!(answer.is_empty() || status(&answer) == 400, "{answer}");
    assert_eq!(weir.get("/").await.status, 200);
}

#[tokio::test]
async fn a_client_that_breaks_off_inside_its_body_is_nobodys_failure() {
    let (weir, _server) = start().await;
    let mut client = RawClient::connect(weir.address()).await.unwrap();
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf").await.unwrap();
    drop(client);
    assert_eq!(weir.get("/").await.status, 200);
    assert_eq!(weir.backend("test/web", "web-1").await["fails"], 0);
}
