//! F2, F4, U3: requests whose body is still on its way when the upstream answers, or goes.

use http::Request;
use weir_tests::client::full;
use weir_tests::manifest::web;
use weir_tests::raw::status;
use weir_tests::{Backend, Behaviour, RawClient, Reply, Weir, eventually, send};

/// A body of this size without a part that occurs twice, so that a lost or doubled part shows.
fn body_of(size: usize) -> String {
    (0..size.div_ceil(8)).map(|i| format!("{i:07} ")).collect()
}

/// The ways in which a body's length is told.
const FRAMINGS: [&str; 2] = ["content-length", "transfer-encoding"];

/// PUT of `body` with its length told by this header.
async fn put(weir: &Weir, framing: &str, body: &str) -> weir_tests::Response {
    let value = if framing == "content-length" { body.len().to_string() } else { "chunked".to_owned() };
    let request = Request::put("/").header(framing, value).body(full(body.to_owned())).unwrap();
    send(weir.address(), request).await.unwrap()
}

/// Two backends of which the second tells what it received.
async fn start(spec: &str, first: impl Into<Behaviour>) -> (Weir, Backend, Backend) {
    let [bad, good] = Backend::start_many("web").await;
    bad.set(first);
    good.set(Behaviour::Echo);
    let spec = format!("balance: {{method: FirstAlive}}, health: {{passive: {{maxFails: 0}}}}, {spec}");
    let weir = Weir::start(&web(&spec, &[bad.address(), good.address()])).await;
    (weir, bad, good)
}

#[tokio::test]
async fn f2_an_upload_answered_early_gets_that_answer_or_is_replayed_complete() {
    let body = body_of(1 << 20);
    let early = "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 5\r\n\r\nearly";
    for limit in ["64Ki", "4Mi"] {
        let spec = format!("retry: {{statuses: ['502'], bufferLimit: {limit}}}");
        for first in [Behaviour::raw(early), Reply::text("early").with_status(502).head_first().into()] {
            let (weir, _bad, good) = start(&spec, first).await;
            let mut replayed = 0;
            for framing in FRAMINGS.repeat(3) {
                let response = put(&weir, framing, &body).await;
                if response.status == 502 {
                    assert_eq!(response.text(), "early");
                } else {
                    replayed += 1;
                    assert!(response.json()["body"] == body.as_str(), "{framing}: the body lost something");
                }
                assert_eq!(good.requests(), replayed, "{framing}: a part of the body went to the second backend");
            }
        }
    }
}

#[tokio::test]
async fn f2_half_an_upload_is_not_sent_to_a_second_backend() {
    let early = Reply::text("early").with_status(502).head_first();
    let (weir, _bad, good) = start("retry: {statuses: ['502'], bufferLimit: 4Mi}", early).await;
    let mut client = RawClient::connect(weir.address()).await.unwrap();
    let half = body_of(16 << 10);
    let head = format!("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", 2 * half.len());
    client.send(head + &half).await.unwrap();
    assert_eq!(status(&client.read_head().await.unwrap()), 502);
    assert_eq!(client.read_until("early").await.unwrap(), "early");
    assert_eq!(good.requests(), 0);
}

#[tokio::test]
async fn f2_a_small_body_that_was_read_is_replayed_identically() {
    let (weir, bad, _good) = start("retry: {statuses: ['502']}", Reply::status(502)).await;
    let body = body_of(32 << 10);
    for framing in FRAMINGS {
        assert!(put(&weir, framing, &body).await.json()["body"] == body.as_str(), "{framing}");
    }
    assert_eq!(bad.requests(), 2);
}

#[tokio::test]
async fn f2_a_post_to_a_backend_that_hangs_up_is_never_executed_twice() {
    let (weir, _bad, good) = start("", Behaviour::Hangup).await;
    let mut executed = 0;
    for _ in 0..50 {
        let post = Request::post("/").body(full("once")).unwrap();
        let response = send(weir.address(), post).await.unwrap();
        executed += u64::from(response.status == 200);
        assert!(matches!(response.status, 200 | 502), "{}", response.status);
        assert_eq!(good.requests(), executed, "each answer is of one execution, and a 502 of none");
    }
}

#[tokio::test]
async fn f4_an_answer_before_the_end_of_an_upload_reaches_the_client() {
    let server = Backend::start("web-1").await;
    server.set(Behaviour::raw("HTTP/1.1 413 Content Too Large\r\ncontent-length: 7\r\n\r\ntoo big"));
    let weir = Weir::start(&web("", &[server.address()])).await;
    let body = body_of(8 << 20);
    for _ in 0..20 {
        let mut client = RawClient::connect(weir.address()).await.unwrap();
        client.send(format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", body.len())).await.unwrap();
        // Nobody reads the whole of it, so sending may fail.
        let _ = client.send(&body).await;
        assert_eq!(status(&client.read_head().await.unwrap()), 413);
        assert_eq!(client.read_until("g").await.unwrap(), "too big");
    }
    let backend = weir.backend("test/web", "web-1").await;
    assert_eq!((&backend["fails"], &backend["lastFailure"]), (&0.into(), &serde_json::Value::Null));
}

#[tokio::test]
async fn u3_a_final_answer_in_place_of_100_continue_arrives_whole() {
    let server = Backend::start("web-1").await;
    server.set(Reply::text("who are you?").with_status(401).head_first());
    server.hold();
    let weir = Weir::start(&web("", &[server.address()])).await;
    let mut client = RawClient::connect(weir.address()).await.unwrap();
    let head = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n";
    client.send(head).await.unwrap();
    let answer = client.read_head().await.unwrap();
    assert_eq!(status(&answer), 401, "{answer}");
    server.release();
    assert_eq!(client.read_until("?").await.unwrap(), "who are you?");
    eventually("the request is over", async || {
        (weir.backend("test/web", "web-1").await["inFlight"]["current"] == 0).then_some(())
    })
    .await;
    assert_eq!(weir.backend("test/web", "web-1").await["fails"], 0);
}
