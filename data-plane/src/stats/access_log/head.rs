//! The head of a request as it came, kept until it is known whether anybody wants a record of it.

use std::sync::Arc;

use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Uri, Version, header};

use super::Record;
use crate::explain::live::Try;

/// Shares its bytes with the request: no text is copied before a record is made.
#[derive(Debug)]
pub struct Head {
    method: Method,
    uri: Uri,
    version: Version,
    host: Option<HeaderValue>,
    user_agent: Option<HeaderValue>,
    headers: Box<[Option<HeaderValue>]>,
    /// Tries that came to nothing so far.
    pub tries: Vec<Try>,
    /// The plugin that has answered.
    pub halted_by: Option<Arc<str>>,
}

impl Head {
    /// Of this request, with these headers.
    #[must_use]
    pub fn new(parts: &Parts, headers: &[HeaderName]) -> Self {
        let of = |name: &HeaderName| parts.headers.get(name).cloned();
        Self {
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            version: parts.version,
            host: of(&header::HOST),
            user_agent: of(&header::USER_AGENT),
            headers: headers.iter().map(of).collect(),
            tries: Vec::new(),
            halted_by: None,
        }
    }

    /// What it says; the rest of the record is known later.
    #[must_use]
    pub fn record(&self) -> Record {
        let host = self.host.as_ref().map(text);
        Record {
            method: self.method.to_string(),
            host: host.or_else(|| self.uri.host().map(str::to_owned)).unwrap_or_default(),
            path: self.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            protocol: format!("{:?}", self.version),
            user_agent: self.user_agent.as_ref().map(text),
            headers: self.headers.iter().map(|value| value.as_ref().map(text)).collect(),
            tries: self.tries.clone(),
            halted_by: self.halted_by.clone(),
            ..Record::default()
        }
    }
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

#[cfg(test)]
pub(super) mod tests {
    use http::{HeaderMap, Request};

    use super::*;

    pub(in super::super) fn head(
        method: &str,
        target: &str,
        headers: &[(&'static str, &str)],
        kept: &[HeaderName],
    ) -> Head {
        let mut parts = Request::builder().method(method).uri(target).body(()).unwrap().into_parts().0;
        let values = headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        parts.headers = values.collect::<HeaderMap>();
        Head::new(&parts, kept)
    }

    #[test]
    fn the_host_is_that_of_the_header_or_else_of_the_target() {
        let record = head("GET", "http://a/b?c", &[("host", "example.com")], &[]).record();
        assert_eq!((record.host.as_str(), record.path.as_str()), ("example.com", "/b?c"));
        assert_eq!(head("GET", "http://a/b?c", &[], &[]).record().host, "a");
        assert_eq!(head("OPTIONS", "*", &[], &[]).record().path, "*");
    }

    #[test]
    fn what_is_no_text_is_replaced() {
        let mut parts = Request::get("/").body(()).unwrap().into_parts().0;
        parts.headers.insert(header::USER_AGENT, HeaderValue::from_bytes(b"a\xff").unwrap());
        assert_eq!(Head::new(&parts, &[]).record().user_agent.as_deref(), Some("a\u{fffd}"));
    }
}
