//! WebSocket over HTTP/2 (RFC 8441): towards backends it is the upgrade of HTTP/1.1 that it stands for (RFC 6455), so
//! that rules, plugins and backends see one kind of WebSocket.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use hyper::ext::Protocol;
use rand::Rng;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use super::request::Refusal;

const NAME: &str = "websocket";
/// What a server joins to the key that it answers (RFC 6455, 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

const NOT_SERVED: Refusal = Refusal { status: StatusCode::METHOD_NOT_ALLOWED, text: "CONNECT is not served here\n" };
const UNKNOWN: Refusal = Refusal { status: StatusCode::NOT_IMPLEMENTED, text: "no protocol but websocket is served\n" };

/// What the backend has to answer, if this is to be a WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accept(String);

/// Makes a `CONNECT` that asks for a WebSocket the `GET` that does.
///
/// # Errors
/// If it asks for anything else.
pub fn open(parts: &mut Parts, rng: &mut impl Rng) -> Result<Accept, Refusal> {
    let protocol = parts.extensions.remove::<Protocol>().ok_or(NOT_SERVED)?;
    if !protocol.as_str().eq_ignore_ascii_case(NAME) {
        return Err(UNKNOWN);
    }
    let mut nonce = [0; 16];
    rng.fill_bytes(&mut nonce);
    let key = STANDARD.encode(nonce);
    parts.method = Method::GET;
    parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    parts.headers.insert(UPGRADE, HeaderValue::from_static(NAME));
    let accept = Accept(accept(&key));
    if let Ok(key) = HeaderValue::try_from(key) {
        parts.headers.insert(SEC_WEBSOCKET_KEY, key);
    }
    Ok(accept)
}

impl Accept {
    /// Makes the backend's answer one to a `CONNECT`. False if it is none that opens this WebSocket.
    #[must_use]
    pub fn grant<B>(&self, response: &mut Response<B>) -> bool {
        let headers = response.headers_mut();
        let granted = headers.remove(SEC_WEBSOCKET_ACCEPT).is_some_and(|accept| accept == self.0.as_str());
        headers.remove(CONNECTION);
        headers.remove(UPGRADE);
        *response.status_mut() = StatusCode::OK;
        granted
    }
}

fn accept(key: &str) -> String {
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key.as_bytes(), GUID].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_answered_as_in_the_standard() {
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
