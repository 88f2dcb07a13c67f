//! The parameter of `ExternalAuth`.

use std::time::Duration;

use http::{HeaderName, Uri, header};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::scalar::Changeable;
use super::{read, scalar};
use crate::model::Invalid;

/// Of `ExternalAuth`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalAuth {
    /// Who is asked.
    pub url: Uri,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Headers of the request that it is asked with.
    pub request_headers: Vec<HeaderName>,
    /// Headers of its answer that the upstream sees.
    pub response_headers: Vec<HeaderName>,
    /// Headers of its answer that the client sees with the upstream's.
    pub client_headers: Vec<HeaderName>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Fields {
    #[serde(deserialize_with = "scalar::url")]
    url: Uri,
    #[serde(default = "two_seconds", deserialize_with = "timeout")]
    timeout: Duration,
    #[serde(default = "credentials")]
    request_headers: Vec<Asked>,
    #[serde(default)]
    response_headers: Vec<Changeable>,
    #[serde(default)]
    client_headers: Vec<Changeable>,
}

/// A header that does not say where the request goes.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Asked(HeaderName);

impl TryFrom<String> for Asked {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let Changeable(name) = Changeable::try_from(name)?;
        match name {
            header::HOST => Err("the header host is that of the URL".to_owned()),
            name if name.as_str().starts_with("x-forwarded-") => Err(format!("the header {name} is Weir's own")),
            name => Ok(Self(name)),
        }
    }
}

fn two_seconds() -> Duration {
    Duration::from_secs(2)
}

fn credentials() -> Vec<Asked> {
    vec![Asked(header::AUTHORIZATION), Asked(header::COOKIE)]
}

fn timeout<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    const LONGEST: Duration = Duration::from_mins(5);
    match scalar::duration(from)? {
        Duration::ZERO => Err(serde::de::Error::custom("must be longer than 0s")),
        timeout if timeout > LONGEST => Err(serde::de::Error::custom("must be at most 5m")),
        timeout => Ok(timeout),
    }
}

impl ExternalAuth {
    pub(super) fn parse(param: &Value) -> Result<Self, Invalid> {
        let Fields { url, timeout, request_headers, response_headers, client_headers } = read(param)?;
        Ok(Self {
            url,
            timeout,
            request_headers: request_headers.into_iter().map(|name| name.0).collect(),
            response_headers: response_headers.into_iter().map(|name| name.0).collect(),
            client_headers: client_headers.into_iter().map(|name| name.0).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{parse, refusal};
    use super::super::{BuiltIn, Param};
    use super::*;

    #[test]
    fn p1_an_auth_server_sees_the_credentials_unless_others_are_named() {
        let Param::ExternalAuth(auth) = parse(BuiltIn::ExternalAuth, &json!({"url": "http://auth/check?a=b"})) else {
            panic!()
        };
        assert_eq!(auth.request_headers, [header::AUTHORIZATION, header::COOKIE]);
        assert!(auth.response_headers.is_empty() && auth.client_headers.is_empty());
        assert_eq!(auth.timeout, Duration::from_secs(2));
    }

    #[test]
    fn p1_auth_servers_that_cannot_be_asked_are_refused_by_field() {
        let url = "http://auth/";
        for (param, expected) in [
            (json!({}), ": missing field `url`"),
            (json!({"url": "auth:80"}), "url: must begin with http://"),
            (json!({"url": "http:///a"}), "url: "),
            (json!({"url": url, "timeout": "0s"}), "timeout: must be longer"),
            (json!({"url": url, "timeout": "6m"}), "timeout: must be at most 5m"),
            (json!({"url": url, "requestHeaders": ["a b"]}), "requestHeaders[0]: \"a b\" is no name"),
            (json!({"url": url, "requestHeaders": ["x", "Host"]}), "requestHeaders[1]: the header host"),
            (
                json!({"url": url, "requestHeaders": ["X-Forwarded-For"]}),
                "requestHeaders[0]: the header x-forwarded-for",
            ),
            (json!({"url": url, "requestHeaders": ["content-length"]}), "requestHeaders[0]: the header content-length"),
            (json!({"url": url, "responseHeaders": ["te"]}), "responseHeaders[0]: the header te"),
            (
                json!({"url": url, "clientHeaders": ["set-cookie", "connection"]}),
                "clientHeaders[1]: the header connection",
            ),
            (json!({"url": url, "failOpen": true}), "failOpen: unknown field"),
        ] {
            let refused = refusal(BuiltIn::ExternalAuth, &param);
            assert!(refused.starts_with(expected), "{refused}");
        }
    }
}
