//! What is to be known of gRPC: how long calls wait, how they ended, and answers of ours, as clients know no other status
//! than their own (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).

use std::fmt::Write;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use weir_proto::model::GrpcStatus;

use super::response::ReplyBody;
use crate::reason::Reason;

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const TYPE: &str = "application/grpc";

const DEADLINE_EXCEEDED: u16 = 4;

/// A limit of zero is none.
const SHORTEST: Duration = Duration::from_millis(1);

/// A message says what is wrong in a line; what is longer is a page for people.
const LONGEST_MESSAGE: usize = 512;

/// Whether a message with these headers is of a call.
#[must_use]
pub fn is_asked(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(is_grpc)
}

/// `application/grpc`, alone, with an encoding (`+proto`) or a parameter; not `application/grpc-web`.
fn is_grpc(value: &HeaderValue) -> bool {
    let rest = value.to_str().ok().and_then(|value| value.strip_prefix(TYPE));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';', ' ']))
}

/// How long the client of a call waits; zero = it is no call, or it does not say. A time that is over is not zero.
#[must_use]
pub fn timeout(headers: &HeaderMap) -> Duration {
    let asked = headers.get(TIMEOUT).filter(|_| is_asked(headers)).and_then(|value| value.to_str().ok());
    asked.and_then(parse_timeout).map_or(Duration::ZERO, |asked| asked.max(SHORTEST))
}

/// At most eight digits, and a letter.
fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let amount: u64 = digits.parse().ok().filter(|_| digits.len() <= 8 && !digits.starts_with('+'))?;
    Some(match unit {
        "H" => Duration::from_secs(amount * 3_600),
        "M" => Duration::from_secs(amount * 60),
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return None,
    })
}

/// How a call ended, if its response says so in its head: one with messages says it in trailers.
#[must_use]
pub fn status(headers: &HeaderMap) -> Option<GrpcStatus> {
    GrpcStatus::new(headers.get(STATUS)?.to_str().ok()?.parse().ok()?)
}

/// Makes an answer to a call one of gRPC, if it was made here: its status as a status of gRPC, its text as the message.
/// Answers of upstreams, and of plugins that speak gRPC, stay as they are.
pub fn translate(response: &mut Response<ReplyBody>) {
    if is_asked(response.headers()) {
        return;
    }
    let ReplyBody::Local { text, exchange } = response.body_mut() else { return };
    let (message, reason) = (text.take().and_then(|text| escape(&text)), exchange.reason);
    let status = std::mem::replace(response.status_mut(), StatusCode::OK);
    let headers = response.headers_mut();
    headers.remove(CONTENT_LENGTH);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(TYPE));
    headers.insert(STATUS, HeaderValue::from(meaning(status, reason)));
    if let Some(message) = message {
        headers.insert(MESSAGE, message);
    }
}

/// The end of a call whose deadline passes after its answer has begun.
#[must_use]
pub fn deadline_exceeded() -> HeaderMap {
    let message = HeaderValue::from_static("the deadline has passed");
    HeaderMap::from_iter([(STATUS, HeaderValue::from(DEADLINE_EXCEEDED)), (MESSAGE, message)])
}

/// What a status of HTTP that was answered here means to a call. Unlike the table for clients that are answered by
/// somebody who knows nothing of gRPC, we know why: 504 may be a deadline, and 413, 429 and 431 are limits.
fn meaning(status: StatusCode, reason: Option<Reason>) -> u16 {
    const UNKNOWN: u16 = 2;
    const PERMISSION_DENIED: u16 = 7;
    const RESOURCE_EXHAUSTED: u16 = 8;
    const UNIMPLEMENTED: u16 = 12;
    const INTERNAL: u16 = 13;
    const UNAVAILABLE: u16 = 14;
    const UNAUTHENTICATED: u16 = 16;
    match status.as_u16() {
        400 | 421 => INTERNAL,
        401 => UNAUTHENTICATED,
        403 => PERMISSION_DENIED,
        404 | 405 | 501 => UNIMPLEMENTED,
        413 | 414 | 429 | 431 => RESOURCE_EXHAUSTED,
        504 if reason == Some(Reason::Timeout) => DEADLINE_EXCEEDED,
        502..=504 => UNAVAILABLE,
        _ => UNKNOWN,
    }
}

/// Percent-encoded, as messages are. `None` if there is nothing to say in a line.
fn escape(text: &Bytes) -> Option<HeaderValue> {
    let text = std::str::from_utf8(text).ok()?.trim();
    if text.is_empty() || text.len() > LONGEST_MESSAGE {
        return None;
    }
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => escaped.push(byte.into()),
            _ => drop(write!(escaped, "%{byte:02X}")),
        }
    }
    HeaderValue::try_from(escaped).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_known_by_their_type() {
        let asked =
            |value: &'static str| is_asked(&[(CONTENT_TYPE, HeaderValue::from_static(value))].into_iter().collect());
        assert!(["application/grpc", "application/grpc+proto", "application/grpc; x=y"].into_iter().all(asked));
        assert!(!["application/grpc-web", "application/grpc-web+proto", "text/plain"].into_iter().any(asked));
        assert!(!is_asked(&HeaderMap::new()));
    }

    fn headers(all: &[(HeaderName, &'static str)]) -> HeaderMap {
        all.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn the_time_of_a_call_is_read_and_nothing_that_looks_like_one() {
        let of = |value: &'static str| timeout(&headers(&[(CONTENT_TYPE, TYPE), (TIMEOUT, value)]));
        for (value, millis) in [("2H", 7_200_000), ("3M", 180_000), ("5S", 5_000), ("250m", 250), ("9000u", 9)] {
            assert_eq!(of(value), Duration::from_millis(millis), "{value}");
        }
        assert_eq!((of("0S"), of("1n"), of("99999999H")), (SHORTEST, SHORTEST, Duration::from_hours(99_999_999)));
        for value in ["", "S", "5", "5s", "+5S", "-5S", "123456789S", "5 S", "é"] {
            assert_eq!(parse_timeout(value), None, "{value}");
        }
        assert_eq!(timeout(&headers(&[(TIMEOUT, "5S")])), Duration::ZERO, "no call");
    }

    #[test]
    fn a_status_in_the_head_is_one_that_is_no_success() {
        let of = |value| status(&headers(&[(STATUS, value)])).map(GrpcStatus::number);
        assert_eq!([of("14"), of("0"), of("17"), of("x")], [Some(14), None, None, None]);
        assert_eq!(status(&HeaderMap::new()), None);
    }

    #[test]
    fn messages_are_percent_encoded() {
        let escaped = |text: &'static str| escape(&Bytes::from_static(text.as_bytes()));
        assert_eq!(escaped("no rule matches\n").unwrap(), "no rule matches");
        assert_eq!(escaped("100 %\tof é").unwrap(), "100 %25%09of %C3%A9");
        assert_eq!(escaped(" \n"), None);
    }
}
