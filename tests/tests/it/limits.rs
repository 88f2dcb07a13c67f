//! Limits on what clients may ask: each has its status or ends the connection, and is counted by its reason.

use std::time::Duration;

use tokio::net::TcpStream;
use weir_data_plane::limits::Limits;
use weir_tests::manifest::{backend, pool, web};
use weir_tests::php::scripts;
use weir_tests::raw::{exchange, status};
use weir_tests::{Backend, Php, RawClient, Weir, eventually, within};

async fn start(limits: Limits) -> (Weir, Backend) {
    let server = Backend::start("web-1").await;
    let weir = Weir::builder().limits(limits).file("web.yaml", &web("", &[server.address()])).start().await;
    (weir, server)
}

/// How many requests were too large, whatever of them was.
async fn too_large(weir: &Weir) -> f64 {
    let samples = weir.samples("weir_dropped_total").await;
    samples.iter().filter(|(labels, _)| labels.contains("reason=\"too_large\"")).map(|(_, count)| count).sum()
}

/// How many connections were closed for this reason.
async fn refused(weir: &Weir, reason: &str) -> f64 {
    let labels = format!("listener=\"http\",reason=\"{reason}\"");
    weir.sample("weir_connections_refused_total", &labels).await.unwrap()
}

#[tokio::test]
async fn heads_have_limits_of_target_headers_and_their_number() {
    let limits = Limits { max_target_size: 32, max_header_size: 64, max_headers: 3, ..Limits::default() };
    let (weir, server) = start(limits).await;
    let long = "x".repeat(40);
    for (text, expected) in [
        (format!("GET /{long} HTTP/1.1\r\nhost: a\r\n\r\n"), 414),
        (format!("GET / HTTP/1.1\r\nhost: a\r\nx-long: {long}{long}\r\n\r\n"), 431),
        ("GET / HTTP/1.1\r\nhost: a\r\na: 1\r\nb: 2\r\nc: 3\r\n\r\n".to_owned(), 431),
    ] {
        assert_eq!(status(&exchange(weir.address(), &text).await.unwrap()), expected, "{text}");
    }
    assert_eq!(server.requests(), 0);
    assert_eq!(too_large(&weir).await, 3.0);
    let most = format!("GET /{} HTTP/1.1\r\nhost: a\r\na: 1\r\nb: 2\r\nconnection: close\r\n\r\n", "x".repeat(31));
    assert_eq!(status(&exchange(weir.address(), &most.replace("b: 2\r\n", "")).await.unwrap()), 200);
}

#[tokio::test]
async fn a_pool_may_take_larger_or_smaller_bodies_than_the_proxy_says() {
    let server = Backend::start("web-1").await;
    let of = |name: &str, size: &str| {
        let text = format!("match: [{{path: {{type: Prefix, value: /{name}}}}}]{size}");
        pool(name, &text) + &backend(&format!("{name}-1"), name, server.address(), "")
    };
    let text = of("as-told", "") + &of("small", ", maxBodySize: '4'") + &of("any", ", maxBodySize: '0'");
    let limits = Limits { max_body_size: 8, ..Limits::default() };
    let weir = Weir::builder().limits(limits).file("web.yaml", &text).start().await;
    for (path, most) in [("as-told", 8), ("small", 4)] {
        assert_eq!(upload(&weir, path, most).await, [200, 200], "{path}");
        let before = server.requests();
        assert_eq!(upload(&weir, path, most + 1).await, [413, 413], "{path}");
        assert!(server.requests() <= before + 1, "what says its length is not begun");
    }
    assert_eq!(upload(&weir, "any", 100_000).await, [200, 200]);
    assert_eq!(too_large(&weir).await, 4.0);
    assert_eq!(weir.metric("weir_backend_fails_total").await, 0.0, "it is nobody's fault upstream");
}

/// The statuses of a POST of so many bytes, with its length and in chunks.
async fn upload(weir: &Weir, path: &str, bytes: usize) -> [u16; 2] {
    let body = "x".repeat(bytes);
    let head = format!("POST /{path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n");
    let sized = format!("{head}content-length: {bytes}\r\n\r\n{body}");
    let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n{bytes:x}\r\n{body}\r\n0\r\n\r\n");
    let mut statuses = [0; 2];
    for (status_of, text) in statuses.iter_mut().zip([sized, chunked]) {
        *status_of = status(&within("an answer", exchange(weir.address(), text)).await.unwrap());
    }
    statuses
}

#[tokio::test]
async fn r7_a_body_that_trickles_is_answered_408_and_one_that_is_fast_enough_goes_on() {
    let (weir, _server) = start(Limits { min_body_rate: 1000, ..Limits::default() }).await;
    let (slow, fast) = tokio::join!(trickle(&weir, 1), trickle(&weir, 500));
    assert_eq!((slow, fast), (408, 200));
    assert_eq!(weir.sample("weir_dropped_total", "reason=\"too_slow\"").await, Some(1.0));
    assert_eq!(weir.metric("weir_backend_fails_total").await, 0.0, "it is nobody's fault upstream");
}

/// The status of a POST whose body comes in 70 pieces of so many bytes, ten a second, or as far as it was read.
async fn trickle(weir: &Weir, bytes: usize) -> u16 {
    let mut client = RawClient::connect(weir.address()).await.unwrap();
    let head = format!("POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", 70 * bytes);
    client.send(head).await.unwrap();
    for _ in 0..70 {
        tokio::time::sleep(Duration::from_millis(100)).await; // the pace is what is tested
        if client.send("x".repeat(bytes)).await.is_err() {
            break;
        }
    }
    status(&client.read_to_end().await)
}

#[tokio::test]
async fn an_upload_to_fastcgi_has_the_same_limit() {
    let php = Php::start(1).await;
    let spec = format!("protocol: FastCGI, fastcgi: {{documentRoot: {}}}", scripts().display());
    let text = pool("web", "maxBodySize: '4'") + &backend("php", "web", php.address(), &spec);
    let weir = Weir::start(&text).await;
    assert_eq!(upload(&weir, "none.php", 5).await, [413, 413]);
    assert_eq!(too_large(&weir).await, 2.0);
}

#[tokio::test]
async fn a_listener_and_a_client_have_so_many_connections() {
    let of_listener = Limits { max_connections: 2, ..Limits::default() };
    let of_client = Limits { max_connections_per_client: 2, ..Limits::default() };
    for (limits, reason) in [(of_listener, "listener"), (of_client, "client")] {
        let (weir, _server) = start(limits).await;
        let (mut one, mut two) = (weir.client().await, weir.client().await);
        assert_eq!([one.get("/").await.unwrap().status, two.get("/").await.unwrap().status], [200, 200]);
        let mut third = RawClient::connect(weir.address()).await.unwrap();
        assert_eq!(within("its end", third.read_to_end()).await, "");
        assert_eq!(refused(&weir, reason).await, 1.0);
        drop(one);
        eventually("there is room again", async || (weir.metric("weir_connections_active").await == 1.0).then_some(()))
            .await;
        assert_eq!(weir.get("/").await.status, 200);
        assert_eq!(two.get("/").await.unwrap().status, 200, "who is there stays");
    }
}

#[tokio::test]
async fn a_connection_serves_so_many_requests() {
    let (weir, _server) = start(Limits { max_requests_per_connection: 3, ..Limits::default() }).await;
    let mut client = weir.client().await;
    for last in ["", "", "close"] {
        let answer = client.get("/").await.unwrap();
        assert_eq!((answer.status, answer.header("connection")), (200, last));
    }
    eventually("it is closed", async || client.is_closed().then_some(())).await;
}

#[tokio::test]
async fn r7_silent_and_slow_clients_have_the_times_that_flags_say() {
    let second = Duration::from_secs(1);
    let limits = Limits { header_timeout: second, idle_timeout: second, ..Limits::default() };
    let (weir, _server) = start(limits).await;
    for sent in ["", "GET / HTTP/1.1\r\nhost: "] {
        let mut client = RawClient::connect(weir.address()).await.unwrap();
        client.send(sent).await.unwrap();
        assert_eq!(within("its end", client.read_to_end()).await, "", "{sent:?}");
    }
    let unlimited = Limits { idle_timeout: Duration::ZERO, header_timeout: second, ..Limits::default() };
    let (weir, _server) = start(unlimited).await;
    let idle = TcpStream::connect(weir.address()).await.unwrap();
    let mut slow = RawClient::connect(weir.address()).await.unwrap();
    slow.send("GET").await.unwrap();
    slow.read_to_end().await;
    assert_eq!(weir.metric("weir_connections_active").await, 1.0, "zero is no limit");
    drop(idle);
}
