//! The request of `weir plugin test`, as flags say it.

use std::str::FromStr;

use http::header::HOST;
use http::request::Parts;
use http::uri::Scheme;
use http::{HeaderName, HeaderValue, Method, Request, Uri};

/// A host for requests that name none.
const SOME_HOST: HeaderValue = HeaderValue::from_static("localhost");

/// Method and URL.
#[derive(Debug, Clone)]
pub(super) struct Target {
    method: Method,
    uri: Uri,
}

/// A field of the header.
#[derive(Debug, Clone)]
pub(crate) struct Header {
    name: HeaderName,
    value: HeaderValue,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (method, url) = text.trim().split_once(' ').unwrap_or(("GET", text.trim()));
        let method = Method::from_str(method).map_err(|_| format!("{method:?} is no method"))?;
        let uri: Uri = url.trim().parse().map_err(|error| format!("{url:?}: {error}"))?;
        if !uri.path().starts_with('/') || uri.scheme().is_some_and(|s| *s != Scheme::HTTP && *s != Scheme::HTTPS) {
            return Err(format!("{url:?} is no URL of http or https, nor a path"));
        }
        Ok(Self { method, uri })
    }
}

impl FromStr for Header {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once(':').ok_or_else(|| format!("{text:?} is not NAME: VALUE"))?;
        let name = name.trim().parse().map_err(|_| format!("{name:?} is no name of a header"))?;
        let value = HeaderValue::from_str(value.trim()).map_err(|_| format!("{value:?} is no value of a header"))?;
        Ok(Self { name, value })
    }
}

impl Header {
    /// Name and value; what of it is no text is replaced.
    pub(crate) fn texts(&self) -> (String, String) {
        (self.name.to_string(), String::from_utf8_lossy(self.value.as_bytes()).into_owned())
    }
}

impl Target {
    /// The head as a client sends it, and whether over TLS.
    pub(super) fn into_parts(self, headers: Vec<Header>) -> (Parts, bool) {
        let mut parts = Request::new(()).into_parts().0;
        parts.method = self.method;
        for Header { name, value } in headers {
            parts.headers.append(name, value);
        }
        if self.uri.authority().is_none() {
            parts.headers.entry(HOST).or_insert(SOME_HOST);
        }
        let tls = self.uri.scheme() == Some(&Scheme::HTTPS);
        parts.uri = self.uri;
        (parts, tls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_a_method_and_a_url_or_less() {
        let parts = |text: &str| text.parse::<Target>().unwrap().into_parts(vec!["X-A: b ".parse().unwrap()]);
        let (post, tls) = parts("POST https://a.example/b?c=d");
        assert_eq!((post.method, post.uri.path(), post.uri.query(), tls), (Method::POST, "/b", Some("c=d"), true));
        assert_eq!((&post.headers["x-a"], post.headers.get(HOST)), (&HeaderValue::from_static("b"), None));
        let (get, tls) = parts("/a");
        assert_eq!((get.method, get.uri.path(), &get.headers[HOST], tls), (Method::GET, "/a", &SOME_HOST, false));
        for wrong in ["", "GET", "ftp://a/b", "G@T /", "a.example:80", "GET  "] {
            assert!(wrong.parse::<Target>().is_err(), "{wrong:?}");
        }
        for wrong in ["a", "a b: c", ": c", "a: b\nc"] {
            assert!(wrong.parse::<Header>().is_err(), "{wrong:?}");
        }
    }
}
