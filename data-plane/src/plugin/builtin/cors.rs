//! `Cors`: lets scripts of other origins in (https://fetch.spec.whatwg.org/#http-cors-protocol). Preflights are answered
//! here; every other response gets the headers that let the script read it, also one that another plugin gives.

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use weir_proto::model::plugin::param;
use weir_proto::model::plugin::param::cors::{Origin, Origins};

use crate::plugin::change::HeaderChange;
use crate::plugin::{Flow, Halt, Hooks, Session, Stage, Step};

/// The type.
#[derive(Debug)]
pub(super) struct Cors {
    origins: Origins,
    /// On the answer to each preflight of an origin that may come in.
    preflight: HeaderMap,
    /// On each other response to one.
    response: Box<[(HeaderName, HeaderValue)]>,
    /// Whichever headers are asked for may be sent.
    any_header: bool,
}

impl Cors {
    pub(super) fn new(param: param::Cors) -> Self {
        let credentials = param.credentials.then(|| HeaderValue::from_static("true"));
        let credentials = credentials.map(|value| (ACCESS_CONTROL_ALLOW_CREDENTIALS, value));
        let expose = list(param.expose.iter().map(HeaderName::as_str)).map(|v| (ACCESS_CONTROL_EXPOSE_HEADERS, v));
        let methods = list(param.methods.iter().map(String::as_str)).map(|v| (ACCESS_CONTROL_ALLOW_METHODS, v));
        let headers = list(param.headers.iter().map(HeaderName::as_str)).map(|v| (ACCESS_CONTROL_ALLOW_HEADERS, v));
        let max_age = param.max_age.map(|age| (ACCESS_CONTROL_MAX_AGE, age.as_secs().into()));
        Self {
            any_header: headers.is_none(),
            preflight: [methods, headers, max_age, credentials.clone()].into_iter().flatten().collect(),
            response: [expose, credentials].into_iter().flatten().collect(),
            origins: param.origins,
        }
    }

    /// What lets the origin of a request in.
    fn allowed(&self, origin: &HeaderValue) -> Option<HeaderValue> {
        match &self.origins {
            Origins::Any => Some(HeaderValue::from_static("*")),
            Origins::Listed(listed) => {
                let text = origin.to_str().ok()?.to_ascii_lowercase();
                listed.iter().any(|known| is_of(known, &text)).then(|| origin.clone())
            }
        }
    }

    fn preflight(&self, session: &Session<'_>, allowed: Option<HeaderValue>) -> Halt {
        let mut headers = HeaderMap::new();
        if let Some(origin) = allowed {
            headers = self.preflight.clone();
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            if let (true, Some(asked)) = (self.any_header, session.header(ACCESS_CONTROL_REQUEST_HEADERS.as_str())) {
                headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
            }
        }
        headers.insert(VARY, HeaderValue::from_static("origin, access-control-request-headers"));
        Halt { status: StatusCode::NO_CONTENT, headers, body: Bytes::new(), plugin: None }
    }

    fn open(&self, session: &mut Session<'_>, origin: HeaderValue) {
        session.change_response(HeaderChange::Set(ACCESS_CONTROL_ALLOW_ORIGIN, origin));
        for (name, value) in &self.response {
            session.change_response(HeaderChange::Set(name.clone(), value.clone()));
        }
    }
}

/// Words with commas between them; `None` if there is none.
fn list<'a>(words: impl Iterator<Item = &'a str>) -> Option<HeaderValue> {
    let words: Vec<&str> = words.collect();
    // Names of methods and headers are legal values.
    if words.is_empty() { None } else { HeaderValue::try_from(words.join(", ")).ok() }
}

fn is_of(known: &Origin, origin: &str) -> bool {
    match known {
        Origin::Exact(exact) => exact == origin,
        Origin::Wildcard { before, after } => {
            let labels = origin.strip_prefix(before.as_str()).and_then(|rest| rest.strip_suffix(after.as_str()));
            labels.is_some_and(|labels| !labels.is_empty() && labels.bytes().all(is_of_label))
        }
    }
}

fn is_of_label(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')
}

impl Stage for Cors {
    fn hooks(&self) -> Hooks {
        Hooks { pre: true, ..Hooks::default() }
    }

    fn pre(&self, session: &mut Session<'_>) -> Step {
        let origin = session.header(ORIGIN.as_str());
        let allowed = origin.and_then(|origin| self.allowed(origin));
        let asks = session.header(ACCESS_CONTROL_REQUEST_METHOD.as_str()).is_some();
        if *session.method() == Method::OPTIONS && origin.is_some() && asks {
            return Ok(self.preflight(session, allowed).into());
        }
        if matches!(self.origins, Origins::Listed(_)) {
            // Also without an origin: a cache must not give that answer to a script.
            session.change_response(HeaderChange::Add(VARY, HeaderValue::from_static("origin")));
        }
        if let Some(origin) = allowed {
            self.open(session, origin);
        }
        Ok(Flow::GoOn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p4_a_wildcard_stands_for_labels_only() {
        let known = Origin::Wildcard { before: "https://".to_owned(), after: ".example.com".to_owned() };
        for origin in ["https://a.example.com", "https://a.b.example.com"] {
            assert!(is_of(&known, origin), "{origin}");
        }
        for origin in [
            "https://example.com",
            "https://.example.com",
            "http://a.example.com",
            "https://evil.com/.example.com",
            "https://evil.com?.example.com",
            "https://a.example.com.evil.com",
            "null",
        ] {
            assert!(!is_of(&known, origin), "{origin}");
        }
    }
}
