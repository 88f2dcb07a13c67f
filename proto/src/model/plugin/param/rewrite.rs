//! Parameters of the types that send requests elsewhere: `Rewrite`, `Redirect`, `Respond`.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use super::template::Template;
use super::{read, scalar};
use crate::model::plugin::header::changeable;
use crate::model::{HostPattern, Invalid, PathMatch, Pattern};

/// Of `Rewrite`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewrite {
    /// What becomes of the path.
    pub path: Option<PathRewrite>,
    /// In place of the host.
    pub host: Option<Template>,
}

/// What becomes of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathRewrite {
    /// Whole segments at its start are others.
    Prefix {
        /// Without trailing slash.
        from: String,
        /// Without trailing slash.
        to: String,
    },
    /// Each place where the pattern is found.
    Regex {
        /// What is sought.
        pattern: Pattern,
        /// What is put there; `$1` is the first group.
        with: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RewriteFields {
    prefix: Option<PrefixFields>,
    regex: Option<RegexFields>,
    host: Option<Template>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PrefixFields {
    #[serde(deserialize_with = "prefix")]
    from: String,
    #[serde(deserialize_with = "prefix")]
    to: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RegexFields {
    #[serde(deserialize_with = "pattern")]
    pattern: Pattern,
    #[serde(deserialize_with = "replacement")]
    with: String,
}

fn replacement<'de, D: serde::Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    scalar::text(from, |text| match text.find(['?', '#']) {
        Some(_) => Err("must not contain '?' or '#': the query stays as it is"),
        None => Ok(text.to_owned()),
    })
}

fn prefix<'de, D: serde::Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    scalar::text(from, |text| match PathMatch::prefix(text)? {
        PathMatch::Prefix(prefix) if prefix.is_ascii() => Ok(prefix),
        _ => Err(format!("path {text:?} has characters that a path must escape")),
    })
}

fn pattern<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Pattern, D::Error> {
    scalar::text(from, |text| Pattern::new(text, false))
}

impl Rewrite {
    pub(super) fn parse(param: &Value) -> Result<Self, Invalid> {
        let RewriteFields { prefix, regex, host } = read(param)?;
        let path = match (prefix, regex) {
            (None, None) if host.is_none() => return Err(Invalid::new("", "must have a prefix, regex or host")),
            (None, None) => None,
            (Some(PrefixFields { from, to }), None) => Some(PathRewrite::Prefix { from, to }),
            (None, Some(RegexFields { pattern, with })) => Some(PathRewrite::Regex { pattern, with }),
            (Some(_), Some(_)) => return Err(Invalid::new("regex", "does not go with prefix")),
        };
        Ok(Self { path, host })
    }
}

/// Of `Redirect`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: StatusCode,
    /// Where to.
    pub target: RedirectTarget,
}

/// Where a redirect goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedirectTarget {
    /// There.
    Location(Template),
    /// The same path and query, elsewhere.
    Elsewhere {
        /// `http` or `https`; `None` = the same.
        scheme: Option<Scheme>,
        /// A host, with a port if need be; `None` = the same.
        host: Option<String>,
    },
}

/// A scheme of URLs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// `http`.
    Http,
    /// `https`.
    Https,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RedirectFields {
    location: Option<Template>,
    #[serde(default = "found", deserialize_with = "redirection")]
    status: StatusCode,
    scheme: Option<Scheme>,
    #[serde(default, deserialize_with = "host")]
    host: Option<String>,
}

fn found() -> StatusCode {
    StatusCode::FOUND
}

fn redirection<'de, D: serde::Deserializer<'de>>(from: D) -> Result<StatusCode, D::Error> {
    let status = u16::deserialize(from)?;
    let known = [301, 302, 303, 307, 308].contains(&status).then(|| StatusCode::from_u16(status).ok()).flatten();
    known.ok_or_else(|| serde::de::Error::custom("must be 301, 302, 303, 307 or 308"))
}

fn host<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    scalar::text(from, |text| {
        let (name, port) = text.rsplit_once(':').filter(|_| !text.ends_with(']')).unwrap_or((text, "80"));
        match (HostPattern::parse(name)?, port.parse::<u16>()) {
            (HostPattern::Exact(_), Ok(_)) => Ok(Some(text.to_owned())),
            _ => Err(format!("{text:?} is no host, with or without a port")),
        }
    })
}

impl Redirect {
    pub(super) fn parse(param: &Value) -> Result<Self, Invalid> {
        let RedirectFields { location, status, scheme, host } = read(param)?;
        let target = match (location, scheme, host) {
            (Some(location), None, None) => RedirectTarget::Location(location),
            (Some(_), ..) => return Err(Invalid::new("location", "does not go with scheme or host")),
            (None, None, None) => return Err(Invalid::new("", "must have a location, scheme or host")),
            (None, scheme, host) => RedirectTarget::Elsewhere { scheme, host },
        };
        Ok(Self { status, target })
    }
}

/// Of `Respond`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Respond {
    /// Of the answer.
    pub status: StatusCode,
    /// Of the answer.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Of the answer.
    pub body: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RespondFields {
    #[serde(default = "ok", deserialize_with = "scalar::status")]
    status: StatusCode,
    #[serde(default)]
    body: String,
    content_type: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

fn ok() -> StatusCode {
    StatusCode::OK
}

impl Respond {
    pub(super) fn parse(param: &Value) -> Result<Self, Invalid> {
        let RespondFields { status, body, content_type, headers } = read(param)?;
        let content_type = content_type.unwrap_or_else(|| "text/plain".to_owned());
        let mut fields = vec![("contentType".to_owned(), "content-type".to_owned(), content_type)];
        fields.extend(headers.into_iter().map(|(name, value)| (format!("headers.{name}"), name, value)));
        let headers = fields.into_iter().map(|(field, name, value)| {
            let refused = |reason| Invalid::new(&field, reason);
            let name = changeable(&name).map_err(refused)?;
            let value = HeaderValue::try_from(value);
            Ok((name, value.map_err(|_| refused("has characters that no header may have".to_owned()))?))
        });
        Ok(Self { status, headers: headers.collect::<Result<_, Invalid>>()?, body })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::BuiltIn;
    use super::super::Param;
    use super::super::tests::{parse, refusal};
    use super::*;

    #[test]
    fn p4_a_rewrite_says_what_becomes_of_path_or_host() {
        let param = json!({"prefix": {"from": "/api/", "to": "/"}});
        let path = PathRewrite::Prefix { from: "/api".to_owned(), to: String::new() };
        assert_eq!(parse(BuiltIn::Rewrite, &param), Param::Rewrite(Rewrite { path: Some(path), host: None }));
        for (param, expected) in [
            (json!({}), ": must have"),
            (json!({"prefix": {"from": "api", "to": "/"}}), "prefix.from: path \"api\" must begin"),
            (json!({"prefix": {"from": "/a", "to": "/ü"}}), "prefix.to: "),
            (json!({"regex": {"pattern": "(", "with": ""}}), "regex.pattern: pattern \"(\" does not compile"),
            (json!({"regex": {"pattern": "a", "with": "?b"}}), "regex.with: must not contain"),
            (json!({"regex": {"pattern": "a"}}), "regex: missing field `with`"),
            (json!({"prefix": {"from": "/a", "to": "/b"}, "regex": {"pattern": "a", "with": ""}}), "regex: does not"),
            (json!({"host": "a\nb"}), "host: "),
        ] {
            let refused = refusal(BuiltIn::Rewrite, &param);
            assert!(refused.starts_with(expected), "{refused}");
        }
    }

    #[test]
    fn p2_a_redirect_says_where_to() {
        let param = json!({"scheme": "https", "host": "shop.example.com:8443", "status": 308});
        let host = Some("shop.example.com:8443".to_owned());
        let target = RedirectTarget::Elsewhere { scheme: Some(Scheme::Https), host };
        let expected = Redirect { status: StatusCode::PERMANENT_REDIRECT, target };
        assert_eq!(parse(BuiltIn::Redirect, &param), Param::Redirect(expected));
        for (param, expected) in [
            (json!({}), ": must have a location"),
            (json!({"location": "/a", "status": 200}), "status: must be 301"),
            (json!({"location": "/a", "host": "b"}), "location: does not go"),
            (json!({"scheme": "ftp"}), "scheme: unknown variant"),
            (json!({"host": "a/b"}), "host: "),
            (json!({"host": "*.a.com"}), "host: "),
            (json!({"location": "/\r\na: b"}), "location: "),
        ] {
            let refused = refusal(BuiltIn::Redirect, &param);
            assert!(refused.starts_with(expected), "{refused}");
        }
    }

    #[test]
    fn p2_a_response_is_a_legal_one() {
        let Param::Respond(respond) = parse(BuiltIn::Respond, &json!({"body": "soon"})) else { panic!() };
        assert_eq!((respond.status, respond.body.as_str()), (StatusCode::OK, "soon"));
        assert_eq!(respond.headers[0].1, "text/plain");
        for (param, expected) in [
            (json!({"status": 99}), "status: must be 200 to 599"),
            (json!({"status": 600}), "status: must be 200 to 599"),
            (json!({"contentType": "a\nb"}), "contentType: has characters"),
            (json!({"headers": {"x": "a\r\nb"}}), "headers.x: has characters"),
            (json!({"headers": {"content-length": "5"}}), "headers.content-length: the header"),
        ] {
            let refused = refusal(BuiltIn::Respond, &param);
            assert!(refused.starts_with(expected), "{refused}");
        }
    }
}
