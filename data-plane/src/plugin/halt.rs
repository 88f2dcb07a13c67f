//! An answer that a plugin gives in place of a backend.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::Failure;

/// What plugins say if they say nothing (P2).
const MESSAGE: &[u8] = b"the request was stopped\n";
const TEXT: HeaderValue = HeaderValue::from_static("text/plain");

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Halt {
    /// Its status, 200 to 599.
    pub status: StatusCode,
    /// Its header, `Content-Type` in it.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// `namespace/name` of the plugin, once it is known.
    pub plugin: Option<Arc<str>>,
}

impl Default for Halt {
    /// 500, `text/plain`, a generic message.
    fn default() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, MESSAGE)
    }
}

impl Halt {
    /// A text.
    pub fn new(status: StatusCode, text: impl Into<Bytes>) -> Self {
        let headers = [(CONTENT_TYPE, TEXT)].into_iter().collect();
        Self { status, headers, body: text.into(), plugin: None }
    }

    /// A redirect.
    #[must_use]
    pub fn redirect(status: StatusCode, location: HeaderValue) -> Self {
        Self { status, headers: [(LOCATION, location)].into_iter().collect(), body: Bytes::new(), plugin: None }
    }

    /// The same as the answer of this plugin.
    #[must_use]
    pub fn by(mut self: Box<Self>, plugin: &Arc<str>) -> Box<Self> {
        self.plugin = Some(plugin.clone());
        self
    }

    /// The same with a header more, in place of those of its name.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
}

/// The status of an answer that a script gave.
///
/// # Errors
/// If it is no status of a whole answer: not 200 to 599.
pub fn status(number: i64) -> Result<StatusCode, Failure> {
    let status = u16::try_from(number).ok().filter(|number| (200..600).contains(number));
    let status = status.and_then(|number| StatusCode::from_u16(number).ok());
    status.ok_or_else(|| Failure::bad_answer(format!("{number} is no status of an answer: 200 to 599")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p2_an_answer_is_by_default_500_and_text() {
        let halt = Halt::default();
        assert_eq!((halt.status.as_u16(), &halt.headers[CONTENT_TYPE]), (500, &TEXT));
        assert!(!halt.body.is_empty());
    }

    #[test]
    fn only_the_status_of_a_whole_answer_is_one() {
        assert_eq!(status(200).unwrap(), 200);
        assert_eq!(status(599).unwrap(), 599);
        for number in [-1, 0, 99, 100, 101, 199, 600, 1_000, i64::MAX] {
            assert!(status(number).is_err(), "{number}");
        }
    }
}
