//! Answers that Weir makes itself.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_ENCODING, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderValue, Method, Response, StatusCode};

use super::exchange::Exchange;
use super::response::ReplyBody;
use crate::plugin::{Effects, Halt};
use crate::pool::Pool;
use crate::reason::Reason;

/// Answers `status` with a line of text. 503 and 504 carry the pool's `Retry-After` (A5).
#[must_use]
pub fn local(
    mut exchange: Box<Exchange>,
    status: StatusCode,
    reason: Reason,
    text: &'static str,
) -> Response<ReplyBody> {
    let refused = matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT);
    let pool = exchange.pool().cloned();
    exchange.answered_here(status, Some(reason));
    let attempts = exchange.attempts;
    let mut response = Response::new(ReplyBody::local(Bytes::from_static(text.as_bytes()), exchange));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        // RFC 9110, 15.5.6: 405 must say what is allowed.
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE"));
    }
    if let Some(pool) = pool {
        if let (true, Some(wait)) = (refused, &pool.policy.retry_after) {
            headers.insert(RETRY_AFTER, wait.clone());
        }
        debug_headers(headers, &pool, None, attempts);
    }
    response
}

/// Sends the client elsewhere, with its method and body.
#[must_use]
pub fn redirect(mut exchange: Box<Exchange>, location: HeaderValue) -> Response<ReplyBody> {
    let status = StatusCode::PERMANENT_REDIRECT;
    exchange.answered_here(status, None);
    let mut response = Response::new(ReplyBody::local(Bytes::new(), exchange));
    *response.status_mut() = status;
    response.headers_mut().insert(LOCATION, location);
    response
}

/// Answers what a plugin says; `effects` are those of the plugins before it, without which a script of another origin
/// could not read the answer.
#[must_use]
pub fn halt(mut exchange: Box<Exchange>, halt: Halt, effects: Effects) -> Response<ReplyBody> {
    let Halt { status, headers, body, plugin: _ } = halt;
    let Effects { request, response: changes, compression } = effects;
    let pool = exchange.pool().cloned();
    exchange.answered_here(status, Some(Reason::Plugin));
    let attempts = exchange.attempts;
    let mut parts = Response::new(()).into_parts().0;
    (parts.status, parts.headers) = (status, headers);
    changes.into_iter().for_each(|change| change.apply(&mut parts.headers));
    if let Some(pool) = pool {
        debug_headers(&mut parts.headers, &pool, None, attempts);
    }
    let length = Some(body.len() as u64);
    let encoder = compression.and_then(|how| how.prepare(&request.method, &mut parts, length));
    // hyper tells the length of what it leaves out of an answer to HEAD: that is not the one of the compressed body.
    let is_untold = request.method == Method::HEAD && parts.headers.contains_key(CONTENT_ENCODING);
    let body = if is_untold { Bytes::new() } else { body };
    Response::from_parts(parts, ReplyBody::local(body, exchange).compressed(encoder))
}

/// With `debugHeaders`, names pool, backend and tries (U4).
pub fn debug_headers(headers: &mut http::HeaderMap, pool: &Pool, backend: Option<&HeaderValue>, attempts: u32) {
    let Some(name) = &pool.policy.debug_name else { return };
    headers.insert("x-weir-pool", name.clone());
    if let Some(backend) = backend {
        headers.insert("x-weir-backend", backend.clone());
    }
    headers.insert("x-weir-attempts", HeaderValue::from(attempts));
}
