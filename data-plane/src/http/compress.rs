//! Compresses responses on their way to the client, as far as client and upstream let it (RFC 9110, 8.4 and 12.5.3).

mod accept;
mod body;
mod encoder;

use std::sync::Arc;

use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderMap, HeaderName,
    HeaderValue, VARY,
};
use http::response::Parts;
use http::{Method, StatusCode};
use weir_proto::model::plugin::param::{Algorithm, Compress};

use super::headers::{joined, tokens};

pub use body::Compressed;
pub use encoder::Encoder;

/// What is said of the bytes of a body that is not compressed, and not true of one that is.
const DIGESTS: [HeaderName; 4] = [
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("repr-digest"),
];

/// How the response to one request may be compressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compression {
    settings: Arc<Compress>,
    /// What the client likes best; `None` = it wants the body as it is.
    chosen: Option<Algorithm>,
}

impl Compression {
    /// For a request with these headers.
    #[must_use]
    pub fn new(settings: &Arc<Compress>, request: &HeaderMap) -> Self {
        Self { chosen: accept::choose(request, &settings.algorithms), settings: settings.clone() }
    }

    /// Makes the head of a response that of the compressed one, if it is to be compressed; gives what compresses its
    /// body. `length`: of the body, if it is known. The head of an answer to HEAD is that of the answer to GET.
    pub fn prepare(&self, method: &Method, head: &mut Parts, length: Option<u64>) -> Option<Encoder> {
        if !self.is_of_type(&head.headers) {
            return None;
        }
        vary(&mut head.headers);
        let chosen = self.chosen.filter(|_| is_whole(head.status) && may_change(&head.headers))?;
        if length.is_some_and(|length| length < self.settings.min_size.max(1)) {
            return None;
        }
        let encoder = (method != Method::HEAD).then(|| Encoder::new(chosen, self.settings.level)).transpose();
        let encoder = encoder.inspect_err(|error| tracing::warn!(%error, "a response goes out uncompressed")).ok()?;
        change_head(&mut head.headers, chosen);
        encoder
    }

    fn is_of_type(&self, headers: &HeaderMap) -> bool {
        let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        content_type.is_some_and(|text| self.settings.types.iter().any(|range| range.contains(text)))
    }
}

/// Whether a response of this status has the whole of something as its body.
fn is_whole(status: StatusCode) -> bool {
    const OTHERS: [StatusCode; 4] =
        [StatusCode::NO_CONTENT, StatusCode::RESET_CONTENT, StatusCode::PARTIAL_CONTENT, StatusCode::NOT_MODIFIED];
    !status.is_informational() && !OTHERS.contains(&status)
}

/// Whether the upstream lets others change the body, and has not encoded it itself.
fn may_change(headers: &HeaderMap) -> bool {
    let mut directives = headers.get_all(CACHE_CONTROL).iter().flat_map(tokens);
    !headers.contains_key(CONTENT_ENCODING) && !directives.any(|d| d.eq_ignore_ascii_case("no-transform"))
}

/// Tells caches that other clients get other bytes.
fn vary(headers: &mut HeaderMap) {
    let all = headers.get_all(VARY);
    if all.iter().flat_map(tokens).any(|name| name == "*" || name.eq_ignore_ascii_case("accept-encoding")) {
        return;
    }
    let own = HeaderValue::from_static("Accept-Encoding");
    let merged = joined(all.iter().chain([&own]));
    headers.insert(VARY, merged.unwrap_or(own));
}

fn change_head(headers: &mut HeaderMap, algorithm: Algorithm) {
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static(algorithm.as_str()));
    headers.remove(CONTENT_LENGTH);
    // A range would be one of the compressed bytes, of which the upstream knows nothing.
    headers.remove(ACCEPT_RANGES);
    for name in DIGESTS {
        headers.remove(name);
    }
    if let Some(tag) = headers.remove(ETAG).as_ref().and_then(weak) {
        headers.insert(ETAG, tag);
    }
}

/// The tag of a body that means the same and is not the same byte for byte; `None` of what is no tag.
fn weak(tag: &HeaderValue) -> Option<HeaderValue> {
    match tag.as_bytes() {
        [b'W', b'/', ..] => Some(tag.clone()),
        [b'"', ..] => HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat()).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::Response;
    use weir_proto::model::plugin::param::MediaRange;

    use super::*;

    fn compression(accepted: &'static str) -> Compression {
        let types = vec![MediaRange::Top("text/".to_owned())];
        let algorithms = vec![Algorithm::Brotli, Algorithm::Gzip];
        let settings = Compress { types, min_size: 100, algorithms, level: None };
        let headers = [(http::header::ACCEPT_ENCODING, HeaderValue::from_static(accepted))].into_iter().collect();
        Compression::new(&Arc::new(settings), &headers)
    }

    fn head(status: u16, headers: &[(&'static str, &'static str)]) -> Parts {
        let mut head = Response::builder().status(status).body(()).unwrap().into_parts().0;
        for (name, value) in headers {
            head.headers.append(*name, HeaderValue::from_static(value));
        }
        head
    }

    fn is_compressed(status: u16, length: Option<u64>, headers: &[(&'static str, &'static str)]) -> bool {
        let mut head = head(status, headers);
        let encoder = compression("gzip").prepare(&Method::GET, &mut head, length);
        assert_eq!(encoder.is_some(), head.headers.get(CONTENT_ENCODING).is_some_and(|coding| coding == "gzip"));
        encoder.is_some()
    }

    #[test]
    fn only_what_may_change_and_is_worth_it_is_compressed() {
        const TEXT: (&str, &str) = ("content-type", "text/html; charset=utf-8");
        assert!(is_compressed(200, None, &[TEXT]) && is_compressed(404, Some(100), &[TEXT]));
        for status in [100, 204, 205, 206, 304] {
            assert!(!is_compressed(status, None, &[TEXT]), "{status}");
        }
        assert!(!is_compressed(200, Some(99), &[TEXT]));
        assert!(!is_compressed(200, None, &[]) && !is_compressed(200, None, &[("content-type", "image/png")]));
        assert!(!is_compressed(200, None, &[TEXT, ("content-encoding", "br")]));
        assert!(!is_compressed(200, None, &[TEXT, ("cache-control", "public, No-Transform")]));
    }

    #[test]
    fn the_head_says_what_became_of_the_body() {
        let sent = [
            ("content-type", "text/plain"),
            ("content-length", "500"),
            ("accept-ranges", "bytes"),
            ("repr-digest", "sha-256=:x:"),
            ("etag", "\"abc\""),
            ("vary", "Origin"),
            ("vary", "x-a, x-b"),
        ];
        for method in [Method::GET, Method::HEAD] {
            let mut head = head(200, &sent);
            let encoder = compression("br, gzip").prepare(&method, &mut head, Some(500));
            assert_eq!(encoder.is_some(), method == Method::GET);
            let text = |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap());
            assert_eq!((text("content-encoding"), text("etag")), (Some("br"), Some("W/\"abc\"")));
            assert_eq!(text("vary"), Some("Origin, x-a, x-b, Accept-Encoding"));
            assert_eq!(["content-length", "accept-ranges", "repr-digest"].map(text), [None; 3]);
        }
    }

    #[test]
    fn a_weak_tag_stays_and_what_is_none_goes() {
        let tag = |text: &'static str| weak(&HeaderValue::from_static(text));
        assert_eq!(tag("W/\"a\""), Some(HeaderValue::from_static("W/\"a\"")));
        assert_eq!(tag("abc"), None);
    }

    #[test]
    fn caches_are_told_of_every_answer_that_another_client_gets_compressed() {
        for (accepted, length) in [("identity", None), ("gzip", Some(5))] {
            let mut head = head(200, &[("content-type", "text/plain")]);
            assert!(compression(accepted).prepare(&Method::GET, &mut head, length).is_none());
            assert_eq!(head.headers[VARY], "Accept-Encoding");
        }
        for known in ["*", "Origin, accept-encoding"] {
            let mut head = head(200, &[("content-type", "text/plain"), ("vary", known)]);
            assert!(compression("gzip").prepare(&Method::GET, &mut head, None).is_some());
            assert_eq!(head.headers[VARY], known);
        }
        let mut image = head(200, &[("content-type", "image/png")]);
        assert!(compression("gzip").prepare(&Method::GET, &mut image, None).is_none());
        assert!(!image.headers.contains_key(VARY));
    }
}
