//! The plugin type `Compress`, with both planes and real decoders.

use std::time::Duration;

use http::{Method, Request};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use weir_tests::client::full;
use weir_tests::decode::{decoded, readable};
use weir_tests::manifest::web;
use weir_tests::{Backend, Client, Reply, Response, Weir, within};

const CODINGS: [&str; 3] = ["gzip", "br", "zstd"];
const COMPRESS: &str = "plugins: [{type: Compress}]";

/// A page of many lines.
fn page() -> String {
    (0..20_000).map(|number| format!("line {number} of a page\n")).collect()
}

fn html(body: &str) -> Reply {
    Reply::text(body).header("content-type", "text/html; charset=utf-8")
}

/// A proxy before a server that answers so.
async fn rig(spec: &str, reply: Reply) -> (Weir, Backend) {
    let server = Backend::start("web").await;
    server.set(reply);
    let manifest = web(spec, &[server.address()]);
    // One worker, so that one connection to the server is enough.
    (Weir::builder().workers(1).file("web.yaml", &manifest).start().await, server)
}

async fn ask(weir: &Weir, method: Method, accepted: &str) -> Response {
    let request = Request::builder().method(method).uri("/").header("accept-encoding", accepted);
    weir_tests::send(weir.address(), request.body(full("")).unwrap()).await.unwrap()
}

#[tokio::test]
async fn p4_each_client_gets_what_the_upstream_sent_in_a_coding_that_it_takes() {
    let reply = html(&page()).header("etag", "\"abc\"").header("accept-ranges", "bytes").header("vary", "origin");
    let (weir, server) = rig(COMPRESS, reply).await;
    for coding in CODINGS {
        for method in [Method::GET, Method::HEAD] {
            let is_get = method == Method::GET;
            let answer = ask(&weir, method, coding).await;
            assert_eq!((answer.status, answer.header("content-encoding")), (200, coding));
            assert_eq!((answer.header("etag"), answer.header("vary")), ("W/\"abc\"", "origin, Accept-Encoding"));
            assert_eq!((answer.header("content-length"), answer.header("accept-ranges")), ("", ""));
            let text = if is_get { decoded(coding, &answer.body) } else { answer.body.to_vec() };
            assert_eq!(String::from_utf8(text).unwrap(), if is_get { page() } else { String::new() }, "{coding}");
            assert!(answer.body.len() < page().len() / 2);
        }
    }
    assert_eq!(ask(&weir, Method::GET, "gzip, br;q=0.9").await.header("content-encoding"), "gzip");
    assert_eq!(server.counts().connections(), 1, "connections are used again");
}

#[tokio::test]
async fn p4_what_may_not_change_or_is_not_worth_it_goes_out_as_it_is() {
    for (reply, accepted, vary) in [
        (html(&page()), "identity", "Accept-Encoding"),
        (html(&page()), "gzip;q=0.5, identity", "Accept-Encoding"),
        (html("short"), "gzip", "Accept-Encoding"),
        (html(&page()).with_status(206), "gzip", "Accept-Encoding"),
        (html(&page()).header("content-encoding", "x-own"), "gzip", "Accept-Encoding"),
        (html(&page()).header("cache-control", "no-transform"), "gzip", "Accept-Encoding"),
        (Reply::text(&page()).header("content-type", "image/png"), "gzip", ""),
        (Reply::text(&page()), "gzip", ""),
    ] {
        let reply = reply.header("etag", "\"abc\"");
        let (weir, _server) = rig(COMPRESS, reply.clone()).await;
        let answer = ask(&weir, Method::GET, accepted).await;
        assert_eq!((answer.status, answer.body), (reply.status, reply.body.clone()), "{reply:?}");
        let header = |name: &str| answer.headers.get(name).map_or("", |value| value.to_str().unwrap());
        assert_eq!((header("etag"), header("vary")), ("\"abc\"", vary));
        assert_eq!(header("content-length"), reply.body.len().to_string());
    }
}

#[tokio::test]
async fn p4_settings_say_what_is_compressed_and_how() {
    let spec = "plugins: [{type: Compress, param: {types: [image/*], minSize: '4', algorithms: [gzip, br], level: 9}}]";
    let (weir, server) = rig(spec, Reply::text("<svg/>").header("content-type", "image/svg+xml")).await;
    let answer = ask(&weir, Method::GET, "zstd, br, gzip").await;
    assert_eq!((answer.header("content-encoding"), decoded("gzip", &answer.body)), ("gzip", b"<svg/>".to_vec()));
    server.set(html(&page()));
    assert_eq!(ask(&weir, Method::GET, "gzip").await.header("content-encoding"), "");
}

#[tokio::test]
async fn p2_answers_of_plugins_are_compressed_too() {
    let respond = format!("{{type: Respond, param: {{body: {:?}}}}}", "teapot ".repeat(500));
    let (weir, server) = rig(&format!("plugins: [{{type: Compress}}, {respond}]"), html("")).await;
    let answer = ask(&weir, Method::GET, "br").await;
    assert_eq!(decoded(answer.header("content-encoding"), &answer.body), "teapot ".repeat(500).as_bytes());
    let head = ask(&weir, Method::HEAD, "br").await;
    assert_eq!((head.header("content-encoding"), head.header("content-length")), ("br", ""));
    assert_eq!(server.requests(), 0);
}

#[tokio::test]
async fn u3_trailers_pass_after_a_compressed_body() {
    let (weir, _server) = rig(COMPRESS, html(&page()).trailer("x-sum", "42")).await;
    for coding in CODINGS {
        let request = Request::get("/").header("accept-encoding", coding).header("te", "trailers");
        let answer = weir_tests::send(weir.address(), request.body(full("")).unwrap()).await.unwrap();
        assert_eq!(decoded(coding, &answer.body), page().as_bytes());
        assert_eq!(answer.trailers["x-sum"], "42");
    }
}

/// An upstream that sends an event whenever it is told to.
struct Events(TcpStream);

impl Events {
    async fn accept(listener: &TcpListener) -> Self {
        let (mut stream, _) = within("a request", listener.accept()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(within("a request head", stream.read_u8()).await.unwrap());
        }
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        Self(stream)
    }

    async fn send(&mut self, event: &str) {
        self.0.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await.unwrap();
    }
}

/// Reads until the client can read `text`.
async fn read_until(body: &mut Incoming, coding: &str, got: &mut Vec<u8>, text: &str) {
    while readable(coding, got) != text.as_bytes() {
        let frame = within(text, body.frame()).await.expect("more of the body").unwrap();
        got.extend(frame.into_data().unwrap());
    }
}

#[tokio::test]
async fn p4_each_event_of_a_stream_arrives_when_it_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let weir = Weir::start(&web(COMPRESS, &[listener.local_addr().unwrap()])).await;
    for coding in CODINGS {
        let mut client = Client::connect(weir.address()).await.unwrap();
        let request = Request::get("/").header("accept-encoding", coding).body(full("")).unwrap();
        let (answer, mut events) = tokio::join!(client.begin(request), Events::accept(&listener));
        let mut body = answer.unwrap().into_body();
        let (mut sent, mut got) = (String::new(), Vec::new());
        for number in 0..5 {
            let event = format!("data: {number}\n\n");
            events.send(&event).await;
            sent += &event;
            // The next one is sent only when this one is there.
            read_until(&mut body, coding, &mut got, &sent).await;
        }
    }
}

#[tokio::test]
async fn p5_bytes_are_those_that_the_client_gets() {
    let metrics = "{type: Metrics, param: {name: size, help: Bytes., type: histogram, value: bytes}}";
    let (weir, _server) = rig(&format!("plugins: [{{type: Compress}}, {metrics}]"), html(&page())).await;
    let mut total = 0;
    for coding in CODINGS {
        total += ask(&weir, Method::GET, coding).await.body.len();
    }
    weir_tests::eventually("all bytes are counted", async || {
        let counted = weir.metric("weir_custom_size_sum").await;
        (weir.metric("weir_custom_size_count").await == 3.0).then(|| assert_eq!(counted, total as f64))
    })
    .await;
}

#[tokio::test]
async fn f6_a_client_that_leaves_a_compressed_answer_frees_its_upstream() {
    let slow = html(&page()).trickling(Duration::from_millis(1));
    let (weir, server) = rig(COMPRESS, slow).await;
    let mut client = Client::connect(weir.address()).await.unwrap();
    let request = Request::get("/").header("accept-encoding", "gzip").body(full("")).unwrap();
    let answer = client.begin(request).await.unwrap();
    drop((answer, client));
    weir_tests::eventually("nothing is in flight", async || {
        (weir.backend("test/web", "web-1").await["inFlight"]["current"] == 0).then_some(())
    })
    .await;
    assert_eq!(server.requests(), 1);
}
