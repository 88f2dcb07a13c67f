//! The request head: what is refused, and the one form in which all else sees it.

use std::borrow::Cow;

use bytes::Bytes;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version, header};

use super::connection::ClientConnection;
use super::websocket::{self, Accept};
use super::{framing, path};
use crate::limits::Limits;
use crate::matcher::{Head, host};
use crate::reason::Reason;

/// A request that is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The status.
    pub status: StatusCode,
    /// What is wrong, for people.
    pub text: &'static str,
}

impl Refusal {
    /// The short reason.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self.status {
            StatusCode::URI_TOO_LONG | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Reason::TooLarge,
            _ => Reason::BadRequest,
        }
    }

    fn bad(text: &'static str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, text }
    }
}

/// Checks the head, and brings the target to origin form with a normalised path (M5). `has_body`: whether
/// hyper says so; it does for every request with a transfer coding. Of a WebSocket over HTTP/2, says what grants it.
///
/// # Errors
/// If the request is ambiguous, malformed or too large.
pub fn admit(parts: &mut Parts, has_body: bool, connection: &ClientConnection) -> Result<Option<Accept>, Refusal> {
    let has_length = connection.handle.activity.take_has_length();
    if has_body && has_length && parts.headers.contains_key(header::TRANSFER_ENCODING) {
        return Err(Refusal::bad("both Content-Length and Transfer-Encoding\n"));
    }
    if has_body && framing::has_unknown_coding(&parts.headers) {
        return Err(Refusal {
            status: StatusCode::NOT_IMPLEMENTED,
            text: "no Transfer-Encoding but chunked is served\n",
        });
    }
    let is_connect = parts.method == Method::CONNECT;
    let websocket = is_connect.then(|| websocket::open(parts, &mut *connection.worker.rng.borrow_mut())).transpose()?;
    check_size(parts, &connection.worker.shared.limits)?;
    if parts.version == Version::HTTP_2 {
        join_cookies(&mut parts.headers);
    }
    take_authority(parts)?;
    check_host(parts)?;
    normalise(parts)?;
    Ok(websocket)
}

/// HTTP/2 splits cookies for better compression; for all else they are one header (RFC 9113, 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(header::COOKIE).iter().nth(1).is_none() {
        return;
    }
    let cookies: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(cookies) = HeaderValue::from_maybe_shared(Bytes::from(cookies.join(&b"; "[..]))) {
        headers.insert(header::COOKIE, cookies);
    }
}

/// The host of a request: lower case, without port; empty if there is none.
///
/// # Errors
/// If the Host header is no host.
pub fn host(parts: &Parts) -> Result<Cow<'_, str>, Refusal> {
    let host = parts.headers.get(header::HOST).map_or(Ok(""), HeaderValue::to_str);
    let host = host.map_err(|_| Refusal::bad("the Host header is not text\n"))?;
    host::normalise(host).map_err(|_| Refusal::bad("the Host header is no host\n"))
}

/// The view of the matcher on a request with this host.
#[must_use]
pub fn view<'a>(parts: &'a Parts, host: &'a str) -> Head<'a> {
    Head { host, path: parts.uri.path(), query: parts.uri.query(), method: &parts.method, headers: &parts.headers }
}

fn check_size(parts: &Parts, limits: &Limits) -> Result<(), Refusal> {
    let target = parts.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if target > limits.max_target_size {
        return Err(Refusal { status: StatusCode::URI_TOO_LONG, text: "the request target is too long\n" });
    }
    let headers: usize = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if headers > limits.max_header_size || parts.headers.len() > limits.max_headers {
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        return Err(Refusal { status, text: "the request headers are too large\n" });
    }
    Ok(())
}

fn first_two_hosts(parts: &Parts) -> (Option<&HeaderValue>, Option<&HeaderValue>) {
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    (hosts.next(), hosts.next())
}

/// The host of an absolute target replaces the Host header (RFC 9112, 3.2.2).
fn take_authority(parts: &mut Parts) -> Result<(), Refusal> {
    let Some(authority) = parts.uri.authority() else { return Ok(()) };
    if authority.as_str().contains('@') {
        return Err(Refusal::bad("the request target has user information\n"));
    }
    let host = HeaderValue::try_from(authority.as_str()).map_err(|_| Refusal::bad("the target is no URI\n"))?;
    let (first, second) = first_two_hosts(parts);
    if parts.version == Version::HTTP_2 && first.is_some_and(|other| other != host) {
        // RFC 9113, 8.3.1.
        return Err(Refusal::bad(":authority and Host differ\n"));
    }
    if second.is_none() {
        parts.headers.insert(header::HOST, host);
    }
    parts.uri = parts.uri.path_and_query().cloned().map(Uri::from).unwrap_or_default();
    Ok(())
}

fn check_host(parts: &Parts) -> Result<(), Refusal> {
    match first_two_hosts(parts) {
        (_, Some(_)) => Err(Refusal::bad("more than one Host header\n")),
        (None, _) if parts.version >= Version::HTTP_11 => Err(Refusal::bad("no Host header\n")),
        _ => Ok(()),
    }
}

fn normalise(parts: &mut Parts) -> Result<(), Refusal> {
    let path = parts.uri.path();
    if path == "*" && parts.method != Method::OPTIONS {
        return Err(Refusal::bad("the target * is for OPTIONS only\n"));
    }
    let normal = match path::normalise(path) {
        Ok(Cow::Borrowed(_)) => return Ok(()),
        Ok(Cow::Owned(normal)) => normal,
        Err(path::BadPath::Relative) => return Err(Refusal::bad("the path does not begin with '/'\n")),
        Err(path::BadPath::Escape) => return Err(Refusal::bad("the path has a '%' without two hex digits\n")),
        Err(path::BadPath::Control) => return Err(Refusal::bad("the path has a control character\n")),
    };
    let target = match parts.uri.query() {
        Some(query) => format!("{normal}?{query}"),
        None => normal,
    };
    let target = PathAndQuery::try_from(target).map_err(|_| Refusal::bad("the path is invalid\n"))?;
    parts.uri = Uri::from(target);
    Ok(())
}
