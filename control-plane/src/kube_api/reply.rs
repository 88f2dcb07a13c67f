//! Answers, as JSON.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::Stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};
use serde::Serialize;

use super::refusal::Refusal;

/// A whole answer, or one that goes on.
pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// An answer.
pub(crate) type Reply = Response<Body>;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// 200.
pub(super) fn json(value: &impl Serialize) -> Reply {
    with(StatusCode::OK, value)
}

/// 201.
pub(super) fn created(value: &impl Serialize) -> Reply {
    with(StatusCode::CREATED, value)
}

/// What a refusal says.
pub(super) fn refused(refusal: &Refusal) -> Reply {
    let code = StatusCode::from_u16(refusal.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut reply = with(code, &refusal.status);
    if let Some(methods) = refusal.allowed {
        reply.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    }
    if code == StatusCode::UNAUTHORIZED {
        reply.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    reply
}

/// 200, in lines that come one after the other.
pub(super) fn lines(lines: impl Stream<Item = Bytes> + Send + 'static) -> Reply {
    let frames = futures_util::StreamExt::map(lines, |line| Ok(Frame::data(line)));
    reply(StatusCode::OK, StreamBody::new(frames).boxed_unsync())
}

fn with(code: StatusCode, value: &impl Serialize) -> Reply {
    // What goes out always has a JSON form.
    let mut text = serde_json::to_vec(value).unwrap_or_default();
    text.push(b'\n');
    reply(code, Full::from(text).boxed_unsync())
}

fn reply(code: StatusCode, body: Body) -> Reply {
    let mut reply = Response::new(body);
    *reply.status_mut() = code;
    reply.headers_mut().insert(CONTENT_TYPE, JSON);
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    reply
}
