//! What is asked: a request that nobody has sent.

use std::net::{IpAddr, SocketAddr};

use http::header::HOST;
use http::request::Parts;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use serde::{Deserialize, Serialize};
use weir_proto::model::PoolProtocol;

use crate::listener::Served;

/// The port that a client of a dry run has.
const SOME_PORT: u16 = 40_000;

/// A request, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Question {
    /// Its method.
    #[serde(default = "get")]
    pub method: String,
    /// `http://` or `https://`, host, path and query; or path and query, with a header `Host`.
    pub url: String,
    /// Its header. `Host` goes over the host of the URL, as in curl.
    #[serde(default)]
    pub headers: Vec<Header>,
    /// Where the client is.
    #[serde(default = "somewhere")]
    pub client: IpAddr,
    /// The listener that it comes by; by default the first one of HTTP that fits the scheme of the URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listener: Option<String>,
}

/// A field of a header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

fn get() -> String {
    "GET".to_owned()
}

/// An address of nobody (RFC 5737).
fn somewhere() -> IpAddr {
    IpAddr::from([192, 0, 2, 1])
}

/// A field that is wrong, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {text}")]
pub struct Wrong {
    /// Its path, such as `headers[0].name`.
    pub field: String,
    /// For people.
    pub text: String,
}

impl Wrong {
    fn new(field: impl Into<String>, text: impl Into<String>) -> Self {
        Self { field: field.into(), text: text.into() }
    }
}

/// A request on its way to a listener.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) parts: Parts,
    /// Its place among the listeners.
    pub(super) listener: usize,
    pub(super) client: SocketAddr,
}

impl Question {
    /// Reads JSON.
    ///
    /// # Errors
    /// Names the field.
    pub fn parse(json: &[u8]) -> Result<Self, Wrong> {
        let mut reader = serde_json::Deserializer::from_slice(json);
        let read: Result<Self, _> = serde_path_to_error::deserialize(&mut reader);
        let question = read.map_err(|error| {
            let field = error.path().to_string();
            let text = error.into_inner().to_string();
            Wrong::new(if matches!(field.as_str(), "." | "?") { "body".to_owned() } else { field }, text)
        })?;
        reader.end().map_err(|error| Wrong::new("body", error.to_string()))?;
        Ok(question)
    }

    /// The request as a client sends it to one of these listeners.
    pub(super) fn ask(&self, listeners: &[Served]) -> Result<Asked, Wrong> {
        let url: Uri = self.url.parse().map_err(|error| Wrong::new("url", format!("{error}")))?;
        let secure = scheme(&url)?;
        let mut parts = Request::new(()).into_parts().0;
        parts.method = method(&self.method)?;
        for (place, Header { name, value }) in self.headers.iter().enumerate() {
            let (name, value) = header(place, name, value)?;
            parts.headers.append(name, value);
        }
        if let (Some(authority), false) = (url.authority(), parts.headers.contains_key(HOST)) {
            let host = HeaderValue::from_str(authority.as_str()).map_err(|e| Wrong::new("url", e.to_string()))?;
            parts.headers.insert(HOST, host);
        }
        parts.uri = url.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/")).into();
        let listener = self.listener_of(listeners, secure)?;
        Ok(Asked { parts, listener, client: SocketAddr::new(self.client, SOME_PORT) })
    }

    fn listener_of(&self, listeners: &[Served], secure: Option<bool>) -> Result<usize, Wrong> {
        let http = |served: &Served| served.protocol == PoolProtocol::Http;
        if let Some(name) = &self.listener {
            let found = listeners.iter().position(|served| served.name == *name);
            return match found {
                Some(place) if http(&listeners[place]) => Ok(place),
                Some(_) => {
                    Err(Wrong::new("listener", format!("{name:?} takes connections of TCP, which have no request")))
                }
                None => Err(Wrong::new("listener", format!("there is no {name:?}: there are {}", names(listeners)))),
            };
        }
        let fits = |served: &Served| http(served) && secure.is_none_or(|secure| served.tls == secure);
        let found = listeners.iter().position(fits).or_else(|| listeners.iter().position(http));
        found.ok_or_else(|| Wrong::new("listener", "this proxy has no listener of HTTP"))
    }
}

/// Whether it is one of TLS; `None` = it does not say.
fn scheme(url: &Uri) -> Result<Option<bool>, Wrong> {
    match url.scheme() {
        None if url.authority().is_some() || !url.path().starts_with(['/', '*']) => {
            Err(Wrong::new("url", "must begin with http://, https:// or /"))
        }
        None => Ok(None),
        Some(scheme) if *scheme == Scheme::HTTP => Ok(Some(false)),
        Some(scheme) if *scheme == Scheme::HTTPS => Ok(Some(true)),
        Some(scheme) => Err(Wrong::new("url", format!("{scheme} is neither http nor https"))),
    }
}

fn method(text: &str) -> Result<Method, Wrong> {
    text.parse().map_err(|_| Wrong::new("method", format!("{text:?} is no method")))
}

fn header(place: usize, name: &str, value: &str) -> Result<(HeaderName, HeaderValue), Wrong> {
    let wrong =
        |part, text: &str, what| Wrong::new(format!("headers[{place}].{part}"), format!("{text:?} is no {what}"));
    let header: HeaderName = name.parse().map_err(|_| wrong("name", name, "name of a header"))?;
    let text = HeaderValue::from_str(value).map_err(|_| wrong("value", value, "value of a header"))?;
    Ok((header, text))
}

fn names(listeners: &[Served]) -> String {
    listeners.iter().map(|served| served.name.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listeners() -> Vec<Served> {
        let served = |name: &str, protocol, tls| Served { name: name.to_owned(), protocol, tls, proxy: false };
        vec![
            served("redis", PoolProtocol::Tcp, false),
            served("http", PoolProtocol::Http, false),
            served("https", PoolProtocol::Http, true),
        ]
    }

    fn asked(json: &str) -> Result<Asked, String> {
        let question = Question::parse(json.as_bytes()).map_err(|wrong| wrong.to_string())?;
        question.ask(&listeners()).map_err(|wrong| wrong.to_string())
    }

    #[test]
    fn a_question_is_a_request_by_the_listener_that_fits() {
        let asked = |json: &str| asked(json).unwrap();
        let one = asked(r#"{"url": "http://shop.example.com:8080/a?b=c", "headers": [{"name": "X-A", "value": "b"}]}"#);
        assert_eq!((one.parts.method.as_str(), one.parts.uri.to_string().as_str()), ("GET", "/a?b=c"));
        let header = |name: &str| one.parts.headers[name].to_str().unwrap();
        assert_eq!([header("host"), header("x-a")], ["shop.example.com:8080", "b"]);
        assert_eq!((one.listener, one.client.ip()), (1, somewhere()));
        let other = asked(r#"{"url": "https://a", "headers": [{"name": "host", "value": "b"}], "client": "::1"}"#);
        let host = other.parts.headers[HOST].to_str().unwrap();
        assert_eq!((host, other.parts.uri.path(), other.listener), ("b", "/", 2));
        assert_eq!(asked(r#"{"url": "/a", "listener": "https", "method": "POST"}"#).listener, 2);
    }

    #[test]
    fn what_is_wrong_names_its_field() {
        for (json, expected) in [
            ("{", "body: "),
            ("{}", "body: missing field `url`"),
            (r#"{"url": "/"} x"#, "body: trailing"),
            (r#"{"url": "/", "path": "/"}"#, "path: unknown field `path`"),
            (r#"{"url": 1}"#, "url: invalid type"),
            (r#"{"url": "ftp://a/"}"#, "url: ftp is neither"),
            (r#"{"url": "shop.example.com"}"#, "url: must begin with"),
            (r#"{"url": "http://a b/"}"#, "url: invalid"),
            (r#"{"url": "/", "method": "G T"}"#, "method: \"G T\" is no method"),
            (r#"{"url": "/", "client": "me"}"#, "client: invalid IP address"),
            (r#"{"url": "/", "headers": [{"name": "a b", "value": ""}]}"#, "headers[0].name: "),
            (r#"{"url": "/", "headers": [{"name": "a", "value": "\n"}]}"#, "headers[0].value: "),
            (r#"{"url": "/", "headers": [{"name": "a"}]}"#, "headers[0]: missing field `value`"),
            (r#"{"url": "/", "listener": "x"}"#, "listener: there is no \"x\": there are redis, http, https"),
            (r#"{"url": "/", "listener": "redis"}"#, "listener: \"redis\" takes connections of TCP"),
        ] {
            let error = asked(json).unwrap_err();
            assert!(error.starts_with(expected), "{json}: {error}");
        }
    }
}
