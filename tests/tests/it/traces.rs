//! Traces: spans of each request at a real collector, and what backends are told of them.

use std::time::Duration;

use http::Request;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use serde_json::Value;
use tokio::time::Instant;
use weir_tests::client::full;
use weir_tests::collector::{attribute, value};
use weir_tests::fastcgi::Application;
use weir_tests::load::bodies;
use weir_tests::manifest::{backend, pool, web};
use weir_tests::port::free_address;
use weir_tests::{Backend, Behaviour, Client, Collector, Reply, Speech, Weir, eventually, get, within};

use super::plugin_builtin::received;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

fn parent(flags: &str) -> String {
    format!("00-{TRACE}-{SPAN}-{flags}")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn names(spans: &[Span]) -> Vec<&str> {
    spans.iter().map(|span| span.name.as_str()).collect()
}

fn named<'s>(spans: &'s [Span], name: &str) -> &'s Span {
    spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no {name} in {:?}", names(spans)))
}

/// The tries of a request, in order.
fn tries(spans: &[Span]) -> Vec<&Span> {
    spans.iter().filter(|span| span.kind == SpanKind::Client as i32).collect()
}

fn has_failed(span: &Span) -> bool {
    span.status.as_ref().is_some_and(|status| status.code == StatusCode::Error as i32)
}

/// A backend that tells what it received.
async fn echo() -> Backend {
    let server = Backend::start("web-1").await;
    server.set(Behaviour::Echo);
    server
}

/// What the backend received of a request with these headers.
async fn told(client: &mut Client, path: &str, headers: &[(&str, &str)]) -> Value {
    let request = headers.iter().fold(Request::get(path), |request, (name, value)| request.header(*name, *value));
    client.send(request.body(full("")).unwrap()).await.unwrap().json()
}

#[tokio::test]
async fn a_trace_goes_from_the_client_through_weir_to_the_backend() {
    let (collector, server) = (Collector::start().await, echo().await);
    let spec =
        "match: [{path: {type: Prefix, value: /a}}], plugins: [{type: RequestHeaders, param: {set: {x-a: '1'}}}]";
    let text = web(spec, &[server.address()]);
    let weir = Weir::builder().trace(collector.address(), "0%").file("web.yaml", &text).start().await;
    let headers = [("traceparent", parent("01")), ("tracestate", "vendor=x".into()), ("user-agent", "test".into())];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    let echo = told(&mut weir.client().await, "/a/b?c=d", &headers).await;

    let spans = collector.requests("/a/b", 1).await.remove(0);
    let (server_span, client) = (&spans[0], tries(&spans)[0]);
    assert_eq!(received(&echo, "traceparent"), [format!("00-{TRACE}-{}-01", hex(&client.span_id))]);
    assert_eq!(received(&echo, "tracestate"), ["vendor=x"]);
    assert!(spans.iter().all(|span| hex(&span.trace_id) == TRACE && span.trace_state == "vendor=x"));
    assert_eq!((server_span.kind, hex(&server_span.parent_span_id)), (SpanKind::Server as i32, SPAN.to_owned()));
    let inner = ["match", "plugin test/web:RequestHeaders pre", "GET"];
    for span in inner.map(|name| named(&spans[1..], name)) {
        assert_eq!(span.parent_span_id, server_span.span_id, "{}", span.name);
        assert!(span.start_time_unix_nano >= server_span.start_time_unix_nano, "{}", span.name);
        assert!(span.end_time_unix_nano <= server_span.end_time_unix_nano, "{}", span.name);
    }
    assert_eq!(named(&spans, "connect").parent_span_id, client.span_id);
    assert_eq!(
        names(
            &client.events.iter().map(|event| Span { name: event.name.clone(), ..Span::default() }).collect::<Vec<_>>()
        ),
        ["first byte"]
    );
    assert!(!spans.iter().any(has_failed));
    let rule = attribute(server_span, "http.route").unwrap();
    assert!(rule.contains("/a") && server_span.name == format!("GET {rule}"), "{rule}");
    for (name, expected) in [
        ("http.request.method", "GET"),
        ("url.path", "/a/b"),
        ("url.scheme", "http"),
        ("http.response.status_code", "200"),
        ("server.address", "127.0.0.1"),
        ("client.address", "127.0.0.1"),
        ("network.protocol.version", "1.1"),
        ("user_agent.original", "test"),
        ("weir.pool", "test/web"),
        ("weir.backend", "web-1"),
    ] {
        assert_eq!(attribute(server_span, name).as_deref(), Some(expected), "{name}");
    }
    assert_eq!(attribute(client, "server.port"), Some(server.address().port().to_string()));
    assert_eq!(value(&collector.resources()[0], "service.name").as_deref(), Some("weir"));
}

#[tokio::test]
async fn a_request_that_is_not_sampled_says_so_and_leaves_no_span() {
    let (collector, server) = (Collector::start().await, echo().await);
    let text = web("", &[server.address()]);
    let weir = Weir::builder().trace(collector.address(), "0%").file("web.yaml", &text).start().await;
    let mut client = weir.client().await;
    let unsampled = parent("00");
    let echo = told(&mut client, "/", &[("traceparent", &unsampled), ("tracestate", "a=b")]).await;
    assert_eq!(
        (received(&echo, "traceparent"), received(&echo, "tracestate")),
        (vec![unsampled.as_str()], vec!["a=b"])
    );
    for broken in ["", "00-0-0-01", "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"] {
        let echo = told(&mut client, "/", &[("traceparent", broken), ("tracestate", "a=b")]).await;
        let made = received(&echo, "traceparent");
        assert!(made.len() == 1 && made[0].len() == 55 && made[0].ends_with("-00"), "{made:?}");
        assert_eq!(received(&echo, "tracestate"), [""; 0], "a state of no trace");
    }
    // One that is sampled shows that those before it would have been there.
    told(&mut client, "/sampled", &[("traceparent", &parent("01"))]).await;
    collector.requests("/sampled", 1).await;
    assert_eq!(collector.requests("/", 0).await.len(), 0);
}

#[tokio::test]
async fn without_a_collector_the_headers_pass_untouched() {
    let server = echo().await;
    let weir = Weir::builder().file("web.yaml", &web("", &[server.address()])).start().await;
    for value in [parent("01"), "nonsense".to_owned()] {
        let echo = told(&mut weir.client().await, "/", &[("traceparent", &value), ("tracestate", "a")]).await;
        assert_eq!((received(&echo, "traceparent"), received(&echo, "tracestate")), (vec![value.as_str()], vec!["a"]));
    }
    assert_eq!(received(&told(&mut weir.client().await, "/", &[]).await, "traceparent"), [""; 0]);
}

#[tokio::test]
async fn f1_each_try_is_a_span_of_its_own() {
    let (collector, failing, good) = (Collector::start().await, Backend::start("web-2").await, echo().await);
    failing.set(Reply::status(503));
    let spec = "balance: {method: FirstAlive}, retry: {statuses: ['503']}";
    let text = web(spec, &[free_address(), failing.address(), good.address()]);
    let weir = Weir::builder().trace(collector.address(), "100%").file("web.yaml", &text).start().await;
    let echo = told(&mut weir.client().await, "/", &[]).await;
    let spans = collector.requests("/", 1).await.remove(0);
    let tries = tries(&spans);
    let told = |name: &str| tries.iter().map(|span| attribute(span, name).unwrap_or_default()).collect::<Vec<_>>();
    assert_eq!(told("weir.backend"), ["web-1", "web-2", "web-3"]);
    assert_eq!(told("error.type"), ["connect_failure", "503", ""]);
    assert_eq!(told("http.response.status_code"), ["", "503", "200"]);
    assert_eq!(told("http.request.resend_count"), ["", "1", "2"]);
    assert_eq!(tries.iter().map(|span| has_failed(span)).collect::<Vec<_>>(), [true, true, false]);
    assert!(tries.windows(2).all(|pair| pair[0].end_time_unix_nano <= pair[1].start_time_unix_nano));
    let connects = spans.iter().filter(|span| span.name == "connect").collect::<Vec<_>>();
    assert!(connects.len() == 3 && connects.iter().zip(&tries).all(|(c, t)| c.parent_span_id == t.span_id));
    assert_eq!(connects.iter().map(|span| has_failed(span)).collect::<Vec<_>>(), [true, false, false]);
    assert!(received(&echo, "traceparent")[0].contains(&hex(&tries[2].span_id)));
    assert!(!has_failed(&spans[0]) && attribute(&spans[0], "weir.backend").as_deref() == Some("web-3"));
}

#[tokio::test]
async fn a2_waiting_in_the_queue_is_a_span() {
    let (collector, server) = (Collector::start().await, Backend::start("web-1").await);
    let text = pool("web", "") + &backend("web-1", "web", server.address(), "capacity: 1");
    let weir = Weir::builder().trace(collector.address(), "100%").file("web.yaml", &text).start().await;
    server.hold();
    let ask = |path: &'static str| tokio::spawn(get(weir.address(), path));
    let first = ask("/first");
    eventually("one is in flight", async || (server.counts().in_flight() == 1).then_some(())).await;
    let second = ask("/second");
    eventually("one waits", async || (weir.state("test/web").await?["queued"]["current"] == 1).then_some(())).await;
    server.release();
    assert_eq!((first.await.unwrap().unwrap().status, second.await.unwrap().unwrap().status), (200, 200));
    assert!(!names(&collector.requests("/first", 1).await[0]).contains(&"queue"));
    let spans = collector.requests("/second", 1).await.remove(0);
    assert_eq!(named(&spans, "queue").parent_span_id, spans[0].span_id);
    assert!(named(&spans, "queue").end_time_unix_nano <= tries(&spans)[0].start_time_unix_nano);
}

#[tokio::test]
async fn what_nobody_answers_is_an_error_of_the_request_and_no_rule_is_none() {
    let collector = Collector::start().await;
    let text = pool("web", "match: [{path: {type: Exact, value: /none}}]");
    let weir = Weir::builder().trace(collector.address(), "100%").file("web.yaml", &text).start().await;
    assert_eq!((weir.get("/none").await.status, weir.get("/nowhere").await.status), (503, 404));
    let none = collector.requests("/none", 1).await.remove(0).remove(0);
    assert!(has_failed(&none) && attribute(&none, "error.type").as_deref() == Some("no_backend"));
    let nowhere = collector.requests("/nowhere", 1).await.remove(0);
    assert!(!has_failed(&nowhere[0]) && names(&nowhere) == ["GET", "match"]);
}

#[tokio::test]
async fn http2_on_both_sides_and_fastcgi_are_traced_alike() {
    let collector = Collector::start().await;
    let server = Backend::start_speaking("127.0.0.1:0", "h2-1", Speech::http2()).await;
    server.set(Behaviour::Echo);
    let script = Application::start("hello").await;
    let text = pool("h2", "match: [{path: {type: Exact, value: /h2}}]")
        + &backend("h2-1", "h2", server.address(), "protocol: H2")
        + &pool("php", "match: [{path: {type: Exact, value: /a.php}}]")
        + &backend("php-1", "php", script.address(), "protocol: FastCGI, fastcgi: {documentRoot: /srv}");
    let weir = Weir::builder().trace(collector.address(), "0%").file("web.yaml", &text).start().await;
    let mut client = Client::connect_http2(weir.address()).await.unwrap();
    let echo = told(&mut client, "/h2", &[("traceparent", &parent("01"))]).await;
    let spans = collector.requests("/h2", 1).await.remove(0);
    assert_eq!(received(&echo, "traceparent"), [format!("00-{TRACE}-{}-01", hex(&tries(&spans)[0].span_id))]);
    assert_eq!(named(&spans, "connect").parent_span_id, tries(&spans)[0].span_id);
    assert_eq!(attribute(&spans[0], "network.protocol.version").as_deref(), Some("2"));
    let request = Request::get("/a.php").header("traceparent", parent("01")).body(full("")).unwrap();
    assert_eq!(client.send(request).await.unwrap().text(), "hello");
    let spans = collector.requests("/a.php", 1).await.remove(0);
    let told = script.requests()[0].params["HTTP_TRACEPARENT"].clone();
    assert_eq!(told, format!("00-{TRACE}-{}-01", hex(&tries(&spans)[0].span_id)));
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_try_with_the_request() {
    let (collector, server) = (Collector::start().await, Backend::start("web-1").await);
    server.set(Behaviour::Silent);
    let text = web("", &[server.address()]);
    let weir = Weir::builder().trace(collector.address(), "100%").file("web.yaml", &text).start().await;
    let asked = tokio::spawn(get(weir.address(), "/"));
    eventually("one is in flight", async || (server.counts().in_flight() == 1).then_some(())).await;
    asked.abort();
    let spans = collector.requests("/", 1).await.remove(0);
    let (server_span, client) = (&spans[0], tries(&spans)[0]);
    assert_eq!(client.end_time_unix_nano, server_span.end_time_unix_nano);
    assert!(
        [server_span, client]
            .map(|span| attribute(span, "error.type"))
            .iter()
            .all(|e| e.as_deref() == Some("client_abort"))
    );
    assert_eq!(attribute(server_span, "http.response.status_code"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_not_there_harms_no_request_and_gets_what_still_fits_when_it_comes() {
    let (address, server) = (free_address(), Backend::start("web-1").await);
    let text = web("", &[server.address()]);
    let weir = Weir::builder().trace(address, "100%").file("web.yaml", &text).start().await;
    let answers = bodies(weir.address(), "/load", 4_000, 4).await.unwrap();
    assert_eq!(answers["web-1"], 4_000);
    let dropped = async || weir.sample("weir_trace_spans_dropped_total", "").await.unwrap_or_default();
    assert!(dropped().await > 0.0, "more than fit into the queue");
    let collector = Collector::start_on(address, 0).await;
    collector.requests("/load", 1_000).await;
    let before = dropped().await;
    weir.get("/after").await;
    collector.requests("/after", 1).await;
    assert_eq!(dropped().await, before);
}

#[tokio::test]
async fn spans_that_the_collector_refuses_are_counted() {
    let collector = Collector::start_on(([127, 0, 0, 1], 0).into(), 2).await;
    let weir = Weir::builder().trace(collector.address(), "100%").start().await;
    weir.get("/").await;
    eventually("two are counted", async || {
        (weir.sample("weir_trace_spans_dropped_total", "").await == Some(2.0)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn s5_the_last_spans_leave_before_the_process_ends_and_nobody_waits_long_for_them() {
    let (collector, server) = (Collector::start().await, Backend::start("web-1").await);
    let text = web("", &[server.address()]);
    for (address, sent) in [(collector.address(), true), (free_address(), false)] {
        let weir = Weir::builder().trace(address, "100%").file("web.yaml", &text).start().await;
        weir.get("/last").await;
        let began = Instant::now();
        within("the proxy ends", weir.stop()).await;
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        assert_eq!(collector.requests("/last", 1).await.len(), 1, "sent: {sent}");
    }
}
