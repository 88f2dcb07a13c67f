//! Where an admin server is.

use std::fmt;
use std::str::FromStr;

use http::Uri;

/// An admin server: `host:port`, or `http://host:port` and perhaps a path before those of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AdminUrl {
    /// `host:port`.
    pub(crate) authority: String,
    /// Without a slash at its end.
    base: String,
}

impl AdminUrl {
    /// The path of a page there.
    pub(crate) fn path(&self, page: &str) -> String {
        format!("{}{page}", self.base)
    }

    /// What is below a path of this one.
    pub(crate) fn below(&self, path: &str) -> Self {
        Self { authority: self.authority.clone(), base: self.path(path) }
    }
}

impl FromStr for AdminUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let wrong = |why: &str| format!("{text:?} {why}: write for example 127.0.0.1:9900");
        let uri: Uri = url.parse().map_err(|error| wrong(&format!("is no URL ({error})")))?;
        let authority = uri.authority().ok_or_else(|| wrong("names no host"))?;
        if uri.scheme_str() != Some("http") || uri.query().is_some() {
            return Err(wrong("is no http URL of an admin server"));
        }
        let port = authority.port_u16().ok_or_else(|| wrong("names no port"))?;
        let base = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { authority: format!("{}:{port}", authority.host()), base })
    }
}

impl fmt::Display for AdminUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_enough() {
        let url: AdminUrl = "localhost:9900".parse().unwrap();
        assert_eq!((url.to_string().as_str(), url.path("/metrics").as_str()), ("http://localhost:9900", "/metrics"));
        let url: AdminUrl = "http://[::1]:1/api/v1/proxies/n/".parse().unwrap();
        assert_eq!(url.path("/api"), "/api/v1/proxies/n/api");
        assert_eq!(url.authority, "[::1]:1");
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, why) in
            [("localhost", "no port"), ("https://a:1", "no http URL"), ("", "is no URL"), ("http://", "is no URL")]
        {
            let error = text.parse::<AdminUrl>().unwrap_err();
            assert!(error.contains(why) && error.contains("write for example"), "{text}: {error}");
        }
    }
}
