//! Spans as messages of OpenTelemetry, with the attributes that its semantic conventions name.

use std::net::SocketAddr;

use http::uri::Authority;
use jiff::{SignedDuration, Timestamp};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as Message, SpanFlags, Status};
use tokio::time::Instant;

use super::span::{Finished, Span, Try, TryResult, What};
use crate::stats::access_log::Record;

/// Methods that the conventions know; others could be as many as clients make up.
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
/// The traceparent's flag `sampled`.
const SAMPLED: u32 = 1;

/// Who tells: the proxy of this name.
pub(super) fn resource(instance: &str) -> Resource {
    let attributes = vec![
        text("service.name", "weir"),
        text("service.version", env!("CARGO_PKG_VERSION")),
        text("service.instance.id", instance),
    ];
    Resource { attributes, ..Resource::default() }
}

/// All spans of these requests.
pub(super) fn batch(resource: &Resource, requests: &[Finished]) -> ResourceSpans {
    let scope = InstrumentationScope { name: "weir".into(), ..InstrumentationScope::default() };
    let spans = requests.iter().flat_map(spans).collect();
    let spans = ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() };
    ResourceSpans { resource: Some(resource.clone()), scope_spans: vec![spans], ..ResourceSpans::default() }
}

fn spans(request: &Finished) -> Vec<Message> {
    let mut spans = vec![server(request)];
    spans.extend(request.spans.iter().map(|span| inner(request, span)));
    spans
}

/// The span of the request as a whole.
fn server(request: &Finished) -> Message {
    let Finished { record, rule, .. } = request;
    let method = known(&record.method);
    let name = rule.as_ref().map_or_else(|| method.to_owned(), |rule| format!("{method} {rule}"));
    let remote = request.parent.map_or(0, |_| SpanFlags::ContextIsRemoteMask as u32);
    let error = error_of(record);
    let mut attributes = request_attributes(request);
    attributes.extend(error.as_ref().map(|error| text("error.type", error)));
    Message {
        span_id: request.server.bytes(),
        parent_span_id: request.parent.map(super::SpanId::bytes).unwrap_or_default(),
        name,
        kind: SpanKind::Server.into(),
        flags: SAMPLED | SpanFlags::ContextHasIsRemoteMask as u32 | remote,
        start_time_unix_nano: nanos(request.time),
        end_time_unix_nano: at(request, request.ended),
        attributes,
        status: error.map(|_| failed()),
        ..of_trace(request)
    }
}

fn request_attributes(request: &Finished) -> Vec<KeyValue> {
    let Finished { record, rule, scheme, .. } = request;
    let path = record.path.split_once('?').map_or(record.path.as_str(), |(path, _)| path);
    let (version, method) = (record.protocol.trim_start_matches("HTTP/"), known(&record.method));
    let mut attributes = vec![
        text("http.request.method", method),
        text("url.path", path),
        text("url.scheme", scheme),
        text("network.protocol.name", "http"),
        text("network.protocol.version", version.trim_end_matches(".0")),
        text("weir.request", &record.request),
        text("weir.listener", &record.listener),
    ];
    attributes.extend((method != record.method).then(|| text("http.request.method_original", &record.method)));
    // 499 was not sent: nobody was there any more.
    attributes.extend((record.status != 499).then(|| number("http.response.status_code", record.status.into())));
    attributes.extend(rule.as_deref().map(|rule| text("http.route", rule)));
    attributes.extend(record.user_agent.as_deref().map(|agent| text("user_agent.original", agent)));
    attributes.extend(record.pool.as_deref().map(|pool| text("weir.pool", pool)));
    attributes.extend(record.backend.as_deref().map(|backend| text("weir.backend", backend)));
    attributes.extend(peer("client", &record.client));
    attributes.extend(peer("server", &record.host));
    attributes
}

/// Something that was done for the request.
fn inner(request: &Finished, span: &Span) -> Message {
    let end = span.end.unwrap_or(request.ended);
    let mut message = Message {
        span_id: span.id.bytes(),
        parent_span_id: span.parent.bytes(),
        kind: SpanKind::Internal.into(),
        flags: SAMPLED | SpanFlags::ContextHasIsRemoteMask as u32,
        start_time_unix_nano: at(request, span.begin),
        end_time_unix_nano: at(request, end),
        ..of_trace(request)
    };
    match &span.what {
        What::Match => message.name = "match".into(),
        What::Queue => message.name = "queue".into(),
        What::Plugin { name, hook } => {
            message.name = format!("plugin {name} {hook}");
            message.attributes = vec![text("weir.plugin", name), text("weir.hook", hook)];
        }
        What::Connect { failure } => {
            message.name = "connect".into();
            fail(&mut message, failure.map(ToOwned::to_owned));
        }
        What::Attempt(attempt) => client(&mut message, request, attempt),
    }
    message
}

/// A try, as the client that the proxy is to its backends.
fn client(message: &mut Message, request: &Finished, attempt: &Try) {
    let Try { number: count, pool, backend, address, result } = attempt;
    let method = known(&request.record.method);
    message.name = method.to_owned();
    message.kind = SpanKind::Client.into();
    message.attributes =
        vec![text("http.request.method", method), text("weir.pool", pool), text("weir.backend", backend)];
    message.attributes.extend(peer("server", address));
    let resent = i64::from(count.saturating_sub(1));
    message.attributes.extend((resent > 0).then(|| number("http.request.resend_count", resent)));
    let error = match result {
        Some(TryResult::Head(status, began)) => {
            message.attributes.push(number("http.response.status_code", (*status).into()));
            let time_unix_nano = at(request, *began);
            message.events.push(Event { name: "first byte".into(), time_unix_nano, ..Event::default() });
            (*status >= 400).then(|| status.to_string())
        }
        Some(TryResult::Failure(reason)) => Some((*reason).to_owned()),
        // The request ended first.
        None => Some(request.record.reason.unwrap_or("client_abort").to_owned()),
    };
    fail(message, error);
}

fn fail(message: &mut Message, error: Option<String>) {
    message.status = error.as_ref().map(|_| failed());
    message.attributes.extend(error.map(|error| text("error.type", &error)));
}

fn failed() -> Status {
    Status { code: StatusCode::Error.into(), ..Status::default() }
}

/// What a server has to answer for: neither what the client did wrong nor what a plugin meant to say.
fn error_of(record: &Record) -> Option<String> {
    let reason = record.reason.map(ToOwned::to_owned);
    match record.status {
        500.. => reason.or_else(|| Some(record.status.to_string())),
        400..=498 => None,
        _ => reason.filter(|reason| reason != "plugin"),
    }
}

fn of_trace(request: &Finished) -> Message {
    Message { trace_id: request.trace.bytes(), trace_state: request.state.clone(), ..Message::default() }
}

fn known(method: &str) -> &str {
    if METHODS.contains(&method) { method } else { "_OTHER" }
}

/// Address, and port if there is one.
fn peer(role: &str, address: &str) -> Vec<KeyValue> {
    let (host, port) = match (address.parse::<SocketAddr>(), address.parse::<Authority>()) {
        (Ok(address), _) => (address.ip().to_string(), Some(address.port())),
        (_, Ok(authority)) => (authority.host().to_owned(), authority.port_u16()),
        _ => (address.to_owned(), None),
    };
    let host = (!host.is_empty()).then(|| text(&format!("{role}.address"), &host));
    host.into_iter().chain(port.map(|port| number(&format!("{role}.port"), port.into()))).collect()
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn number(key: &str, value: i64) -> KeyValue {
    attribute(key, Value::IntValue(value))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// A moment of a request by the clock on the wall, which may be set while the request runs.
fn at(request: &Finished, moment: Instant) -> u64 {
    let since = moment.saturating_duration_since(request.began);
    nanos(request.time + SignedDuration::try_from(since).unwrap_or_default())
}

fn nanos(time: Timestamp) -> u64 {
    u64::try_from(time.as_nanosecond()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_an_address_and_perhaps_a_port() {
        let shown = |address: &str| {
            let attributes = peer("client", address).into_iter();
            attributes.map(|attribute| attribute.value.unwrap().value.unwrap()).collect::<Vec<_>>()
        };
        let (text, number) = (|text: &str| Value::StringValue(text.into()), Value::IntValue);
        assert_eq!(shown("127.0.0.1:80"), [text("127.0.0.1"), number(80)]);
        assert_eq!(shown("[::1]:80"), [text("::1"), number(80)]);
        assert_eq!(shown("example.com"), [text("example.com")]);
        assert_eq!(shown("example.com:8080"), [text("example.com"), number(8080)]);
        assert_eq!(shown("unix:/run/a"), [text("unix:/run/a")]);
        assert_eq!(shown(""), []);
    }

    #[test]
    fn a_server_answers_for_its_own_errors_only() {
        let error = |status, reason| error_of(&Record { status, reason, ..Record::default() });
        assert_eq!(error(200, None).or(error(404, Some("no_route"))).or(error(200, Some("plugin"))), None);
        assert_eq!(error(502, None).as_deref(), Some("502"));
        assert_eq!(error(504, Some("timeout")).as_deref(), Some("timeout"));
        assert_eq!(error(499, Some("client_abort")).as_deref(), Some("client_abort"));
        assert_eq!(error(200, Some("reset")).as_deref(), Some("reset"));
    }

    #[test]
    fn a_method_that_nobody_knows_is_no_name_of_a_span() {
        assert_eq!((known("PATCH"), known("BREW")), ("PATCH", "_OTHER"));
    }
}
