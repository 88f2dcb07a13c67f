//! What a text template may name: the fields of a record, by their names in JSON, and a few besides.

use std::borrow::Cow;
use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http::HeaderName;
use jiff::Timestamp;
use weir_proto::nearest::suggest;

use super::{Line, Record, TcpRecord};

/// How the name of a field begins that is a header of the request.
const HEADER: &str = "request.header.";

/// A value of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Field {
    /// What every line has.
    Known(Known),
    /// A header of the request, by its place among those that the template names.
    Header(usize),
}

/// What is known of every line, if it has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    Time,
    TimeClf,
    Request,
    Trace,
    Client,
    ClientIp,
    Listener,
    Method,
    Host,
    Path,
    Protocol,
    Status,
    Bytes,
    BytesUpstream,
    BytesDownstream,
    Duration,
    UpstreamDuration,
    ConnectDuration,
    Pool,
    Backend,
    Address,
    Attempts,
    Reason,
    UserAgent,
}

/// Their names.
const NAMES: [(&str, Known); 24] = [
    ("time", Known::Time),
    ("time.clf", Known::TimeClf),
    ("request", Known::Request),
    ("trace", Known::Trace),
    ("client", Known::Client),
    ("client.ip", Known::ClientIp),
    ("listener", Known::Listener),
    ("method", Known::Method),
    ("host", Known::Host),
    ("path", Known::Path),
    ("protocol", Known::Protocol),
    ("status", Known::Status),
    ("bytes", Known::Bytes),
    ("bytesUpstream", Known::BytesUpstream),
    ("bytesDownstream", Known::BytesDownstream),
    ("duration", Known::Duration),
    ("upstreamDuration", Known::UpstreamDuration),
    ("connectDuration", Known::ConnectDuration),
    ("pool", Known::Pool),
    ("backend", Known::Backend),
    ("address", Known::Address),
    ("attempts", Known::Attempts),
    ("reason", Known::Reason),
    ("userAgent", Known::UserAgent),
];

impl Field {
    /// The field of this name. A header takes its place among `headers`.
    pub(super) fn named(name: &str, headers: &mut Vec<HeaderName>) -> Result<Self, String> {
        if let Some(header) = name.strip_prefix(HEADER) {
            let header = header.parse().map_err(|_| format!("{name:?} names no header"))?;
            let place = headers.iter().position(|known| *known == header).unwrap_or(headers.len());
            headers.extend((place == headers.len()).then_some(header));
            return Ok(Self::Header(place));
        }
        match NAMES.iter().find(|(known, _)| *known == name) {
            Some((_, known)) => Ok(Self::Known(*known)),
            None => {
                let names = NAMES.iter().map(|(known, _)| *known);
                let near = suggest(name, names.clone());
                Err(format!(
                    "{name:?} is no field{near}; there are {}, {HEADER}NAME",
                    names.collect::<Vec<_>>().join(", ")
                ))
            }
        }
    }

    /// What a line has of it.
    pub(super) fn of<'a>(&self, line: &'a Line) -> Option<Cow<'a, str>> {
        match (self, line) {
            (Self::Known(known), Line::Request(record)) => known.of_request(record),
            (Self::Known(known), Line::Connection(record)) => known.of_connection(record),
            (Self::Header(place), Line::Request(record)) => record.headers.get(*place)?.as_deref().map(Cow::Borrowed),
            (Self::Header(_), Line::Connection(_)) => None,
        }
    }
}

impl Known {
    fn of_request(self, record: &Record) -> Option<Cow<'_, str>> {
        match self {
            Self::Time => time(record.time),
            Self::TimeClf => clf(record.time),
            Self::Request => text(&record.request),
            Self::Trace => record.trace.as_deref().and_then(text),
            Self::Client => text(&record.client),
            Self::ClientIp => Some(ip(&record.client)),
            Self::Listener => text(&record.listener),
            Self::Method => text(&record.method),
            Self::Host => text(&record.host),
            Self::Path => text(&record.path),
            Self::Protocol => text(&record.protocol),
            Self::Status => shown(record.status),
            Self::Bytes | Self::BytesDownstream => shown(record.bytes),
            Self::Duration => seconds(record.duration),
            Self::UpstreamDuration => record.upstream_duration.and_then(seconds),
            Self::Pool => record.pool.as_deref().and_then(text),
            Self::Backend => record.backend.as_deref().and_then(text),
            Self::Address => record.address.as_deref().and_then(text),
            Self::Attempts => shown(record.attempts),
            Self::Reason => record.reason.and_then(text),
            Self::UserAgent => record.user_agent.as_deref().and_then(text),
            Self::BytesUpstream | Self::ConnectDuration => None,
        }
    }

    fn of_connection(self, record: &TcpRecord) -> Option<Cow<'_, str>> {
        match self {
            Self::Time => time(record.time),
            Self::TimeClf => clf(record.time),
            Self::Client => text(&record.client),
            Self::ClientIp => Some(ip(&record.client)),
            Self::Listener => text(&record.listener),
            Self::Protocol => text(record.protocol),
            Self::Bytes | Self::BytesDownstream => shown(record.bytes_downstream),
            Self::BytesUpstream => shown(record.bytes_upstream),
            Self::Duration => seconds(record.duration),
            Self::ConnectDuration => record.connect_duration.and_then(seconds),
            Self::Pool => record.pool.as_deref().and_then(text),
            Self::Backend => record.backend.as_deref().and_then(text),
            Self::Address => record.address.as_deref().and_then(text),
            Self::Attempts => shown(record.attempts),
            Self::Reason => record.reason.and_then(text),
            Self::Request | Self::Trace | Self::Method | Self::Host | Self::Path => None,
            Self::Status | Self::UpstreamDuration | Self::UserAgent => None,
        }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "as each arm has it")]
fn text(value: &str) -> Option<Cow<'_, str>> {
    Some(Cow::Borrowed(value))
}

#[expect(clippy::unnecessary_wraps, reason = "as each arm has it")]
fn shown<'a>(value: impl Display) -> Option<Cow<'a, str>> {
    Some(Cow::Owned(value.to_string()))
}

fn time<'a>(time: Timestamp) -> Option<Cow<'a, str>> {
    shown(format_args!("{time:.3}"))
}

/// As in the common log format.
fn clf<'a>(time: Timestamp) -> Option<Cow<'a, str>> {
    shown(time.strftime("%d/%b/%Y:%H:%M:%S +0000"))
}

fn seconds<'a>(duration: Duration) -> Option<Cow<'a, str>> {
    shown(format_args!("{:.6}", duration.as_secs_f64()))
}

/// A client without its port.
fn ip(client: &str) -> Cow<'_, str> {
    match client.parse::<SocketAddr>().map(|address| address.ip()).or_else(|_| client.parse::<IpAddr>()) {
        Ok(address) => Cow::Owned(address.to_string()),
        Err(_) => Cow::Borrowed(client),
    }
}
