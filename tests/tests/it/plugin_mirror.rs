//! The plugin type `Mirror`, with both planes.

use std::time::Duration;

use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use weir_tests::client::full;
use weir_tests::cluster::Weir;
use weir_tests::manifest::{backend, pool};
use weir_tests::port::free_address;
use weir_tests::{Backend, Client, RawClient, eventually, within};

const MIRROR: &str = "plugins: [{type: Mirror, param: {pool: shadow}}]";
const HIDDEN: &str = "match: [{hosts: [shadow.invalid]}]";

/// A Pool `web` with this specification, and the one that it mirrors to.
fn manifest(spec: &str, server: &Backend, shadow: impl std::fmt::Display) -> String {
    [
        pool("web", spec),
        backend("web-1", "web", server.address(), ""),
        pool("shadow", HIDDEN),
        backend("shadow-1", "shadow", shadow, ""),
    ]
    .concat()
}

/// A proxy of one worker before two servers, the second of which gets copies.
async fn rig(spec: &str) -> (Weir, [Backend; 2]) {
    let servers = Backend::start_many::<2>("s").await;
    let manifest = manifest(spec, &servers[0], servers[1].address());
    (Weir::builder().workers(1).file("web.yaml", &manifest).start().await, servers)
}

/// Sends requests, each of which must be answered by the first server.
async fn send(weir: &Weir, requests: usize) {
    let mut client = weir.client().await;
    for _ in 0..requests {
        let answer = within("an answer", client.get("/")).await.unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "s-1"));
    }
}

async fn post(weir: &Weir, body: Vec<u8>) -> u16 {
    let request = Request::post("/").body(full(body)).unwrap();
    weir_tests::send(weir.address(), request).await.unwrap().status
}

/// Copies sent, and requests that were not copied, by reason.
async fn counts(weir: &Weir) -> (f64, Vec<(String, f64)>) {
    let dropped = weir.samples("weir_mirror_dropped_total").await.into_iter();
    let reason = |labels: String| labels.split('"').nth(3).unwrap().to_owned();
    (weir.metric("weir_mirrored_total").await, dropped.map(|(labels, n)| (reason(labels), n)).collect())
}

async fn counts_are(weir: &Weir, mirrored: f64, dropped: &[(&str, f64)]) {
    let expected = (mirrored, dropped.iter().map(|(reason, n)| ((*reason).to_owned(), *n)).collect());
    eventually(&format!("{expected:?}"), async || (counts(weir).await == expected).then_some(())).await;
}

/// Waits until a server has got so many requests, all of which are answered.
async fn has_got(server: &Backend, requests: u64) {
    let got = || server.requests() == requests && server.counts().in_flight() == 0;
    eventually("the copies arrive", async || got().then_some(())).await;
}

#[tokio::test]
async fn t1_each_request_is_copied_once_and_every_counter_says_so() {
    let (weir, [server, shadow]) = rig(MIRROR).await;
    send(&weir, 50).await;
    counts_are(&weir, 50.0, &[]).await;
    has_got(&shadow, 50).await;
    assert_eq!(server.requests(), 50);
    for (pool, requests) in [("web", 50.0), ("shadow", 50.0)] {
        let labels = format!("backend=\"{pool}-1\",code=\"2xx\",pool=\"test/{pool}\"");
        eventually("all are counted", async || {
            (weir.sample("weir_requests_total", &labels).await? == requests).then_some(())
        })
        .await;
    }
    let answered = |pool: &str| format!("pool=\"test/{pool}\"");
    assert_eq!(weir.sample("weir_request_duration_seconds_count", &answered("web")).await, Some(50.0));
    eventually("no connection is open", async || (weir.metric("weir_connections_active").await == 0.0).then_some(()))
        .await;
}

/// Answers one request, and gives its head and body.
async fn capture(listener: TcpListener) -> (String, String) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    stream.write_all(b"HTTP/1.1 500 no\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    (head, String::from_utf8(body).unwrap())
}

#[tokio::test]
async fn p1_a_copy_is_the_request_as_the_plugins_before_have_made_it() {
    let server = Backend::start("s-1").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let headers = |value: &str| format!("{{type: RequestHeaders, param: {{set: {{x-seen: {value}}}}}}}");
    let mirror = "{type: Mirror, param: {pool: shadow}}";
    let spec = format!("plugins: [{}, {mirror}, {}]", headers("before"), headers("after"));
    let weir = Weir::start(&manifest(&spec, &server, listener.local_addr().unwrap())).await;
    let captured = tokio::spawn(capture(listener));
    let request = Request::post("/a?b=c").header("host", "shop").header("expect", "100-continue");
    let answer = weir_tests::send(weir.address(), request.body(full("hello")).unwrap()).await.unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "s-1"), "whatever the copy's answer is");
    let (head, body) = within("the copy", captured).await.unwrap();
    assert!(head.starts_with("POST /a?b=c HTTP/1.1\r\n") && body == "hello", "{head}{body}");
    for line in ["host: shop", "x-seen: before", "x-weir-mirrored-from: test/web", "x-forwarded-host: shop"] {
        assert!(head.lines().any(|known| known == line), "{line}: {head}");
    }
    assert!(!head.contains("expect") && head.matches("x-seen").count() == 1, "{head}");
}

#[tokio::test]
async fn p1_a_share_of_the_requests_is_copied() {
    let (weir, [_server, shadow]) = rig("plugins: [{type: Mirror, param: {pool: shadow, percent: 50}}]").await;
    const REQUESTS: usize = 400;
    send(&weir, REQUESTS).await;
    let copies = eventually("every copy is answered", async || {
        let (mirrored, dropped) = counts(&weir).await;
        (dropped.is_empty() && shadow.requests() as f64 == mirrored).then_some(mirrored)
    })
    .await;
    let (mean, sigma) = (REQUESTS as f64 / 2.0, (REQUESTS as f64).sqrt() / 2.0);
    assert!((copies - mean).abs() < 5.0 * sigma, "{copies} of {REQUESTS}");
}

#[tokio::test]
async fn p7_a_dead_pool_hurts_no_request() {
    let server = Backend::start("s-1").await;
    let weir = Weir::start(&manifest(MIRROR, &server, free_address())).await;
    send(&weir, 20).await;
    counts_are(&weir, 20.0, &[]).await;
    eventually("the failures are the other pool's", async || {
        weir.sample("weir_backend_fails_total", "pool=\"test/shadow\"").await
    })
    .await;
    assert_eq!(weir.sample("weir_backend_fails_total", "pool=\"test/web\"").await, None);
    assert_eq!(server.requests(), 20);
}

#[tokio::test]
async fn p7_a_slow_pool_hurts_no_request_and_what_is_too_much_is_dropped_and_counted() {
    const MOST: u64 = 128;
    let (weir, [server, shadow]) = rig(MIRROR).await;
    shadow.hold();
    send(&weir, 150).await;
    counts_are(&weir, 128.0, &[("busy", 22.0)]).await;
    eventually("the copies wait", async || (shadow.counts().in_flight() == MOST).then_some(())).await;
    assert_eq!(server.requests(), 150);
    shadow.release();
    has_got(&shadow, MOST).await;
    send(&weir, 1).await;
    counts_are(&weir, 129.0, &[("busy", 22.0)]).await;
}

#[tokio::test]
async fn p7_a_body_is_copied_up_to_a_limit() {
    let (weir, [server, shadow]) = rig(MIRROR).await;
    assert_eq!(post(&weir, vec![b'x'; 64 << 10]).await, 200);
    has_got(&shadow, 1).await;
    assert_eq!(post(&weir, vec![b'x'; (64 << 10) + 1]).await, 200);
    counts_are(&weir, 1.0, &[("too_large", 1.0)]).await;
    assert_eq!((server.requests(), shadow.requests()), (2, 1));
}

#[tokio::test]
async fn p7_what_never_comes_to_its_end_or_changes_its_protocol_is_not_copied() {
    let (weir, [_server, shadow]) = rig(MIRROR).await;
    let mut client = RawClient::connect(weir.address()).await.unwrap();
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nhalf").await.unwrap();
    eventually("the request is there", async || {
        (weir.backend("test/web", "web-1").await["inFlight"]["current"] == 1).then_some(())
    })
    .await;
    drop(client);
    counts_are(&weir, 0.0, &[("incomplete", 1.0)]).await;
    let upgrade = Request::get("/").header("connection", "upgrade").header("upgrade", "x").body(full("")).unwrap();
    weir_tests::send(weir.address(), upgrade).await.unwrap();
    counts_are(&weir, 0.0, &[("incomplete", 1.0), ("upgrade", 1.0)]).await;
    assert_eq!(shadow.requests(), 0);
}

#[tokio::test]
async fn p8_a_copy_is_never_copied_again() {
    let (weir, [server, shadow]) = rig(MIRROR).await;
    let back = pool("shadow", &format!("{HIDDEN}, plugins: [{{type: Mirror, param: {{pool: web}}}}]"));
    let text = manifest(MIRROR, &server, shadow.address()).replace(&pool("shadow", HIDDEN), &back);
    weir.write("web.yaml", &text).await;
    send(&weir, 20).await;
    has_got(&shadow, 20).await;
    counts_are(&weir, 20.0, &[]).await;
    assert_eq!(server.requests(), 20);
}

#[tokio::test]
async fn s5_requests_go_on_when_the_other_pool_is_gone() {
    let (weir, [server, shadow]) = rig(MIRROR).await;
    send(&weir, 1).await;
    has_got(&shadow, 1).await;
    let text = manifest(MIRROR, &server, shadow.address());
    weir.write("web.yaml", &text.replace(&pool("shadow", HIDDEN), "")).await;
    let page = weir_tests::get(weir.control_admin(), "/api/v1/resources").await.unwrap().text();
    assert!(page.contains("PoolNotFound") && page.contains("spec.plugins[0].param.pool"), "{page}");
    send(&weir, 5).await;
    counts_are(&weir, 1.0, &[("no_pool", 5.0)]).await;
    weir.write("web.yaml", &text).await;
    send(&weir, 1).await;
    has_got(&shadow, 2).await;
}

#[tokio::test]
async fn s5_a_proxy_that_leaves_waits_for_no_copy() {
    let servers = Backend::start_many::<2>("s").await;
    let text = manifest(MIRROR, &servers[0], servers[1].address());
    let hour = Duration::from_hours(1);
    let weir = Weir::builder().file("web.yaml", &text).drain_timeout(hour).start().await;
    servers[1].hold();
    let mut client = Client::connect(weir.address()).await.unwrap();
    assert_eq!(client.get("/").await.unwrap().text(), "s-1");
    eventually("the copy waits", async || (servers[1].counts().in_flight() == 1).then_some(())).await;
    drop(client);
    weir.stop().await;
}
