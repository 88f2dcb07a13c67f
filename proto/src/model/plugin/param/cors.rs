//! The parameter of `Cors`.

use std::time::Duration;

use http::HeaderName;
use serde::Deserialize;
use serde_json::Value;

use super::{read, scalar};
use crate::model::{Invalid, matcher};

/// Of `Cors`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    /// Who may read answers.
    pub origins: Origins,
    /// Methods that may be used.
    pub methods: Vec<String>,
    /// Headers that may be sent; empty = whichever are asked for.
    pub headers: Vec<HeaderName>,
    /// Headers that may be read.
    pub expose: Vec<HeaderName>,
    /// Whether cookies may be sent.
    pub credentials: bool,
    /// How long browsers remember the answer.
    pub max_age: Option<Duration>,
}

/// Who may read answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// Everybody.
    Any,
    /// These.
    Listed(Vec<Origin>),
}

/// An origin, or many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// `https://shop.example.com`.
    Exact(String),
    /// `https://*.example.com`: any labels between the two texts.
    Wildcard {
        /// `https://`.
        before: String,
        /// `.example.com`.
        after: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Fields {
    origins: Vec<String>,
    #[serde(default = "methods")]
    methods: Vec<String>,
    #[serde(default)]
    headers: Vec<String>,
    #[serde(default)]
    expose_headers: Vec<String>,
    #[serde(default)]
    credentials: bool,
    #[serde(default, deserialize_with = "scalar::some_duration")]
    max_age: Option<Duration>,
}

fn methods() -> Vec<String> {
    ["GET", "HEAD", "POST"].map(str::to_owned).into()
}

impl Cors {
    pub(super) fn parse(param: &Value) -> Result<Self, Invalid> {
        let Fields { origins, methods, headers, expose_headers, credentials, max_age } = read(param)?;
        let origins = parse_origins(&origins)?;
        if credentials && origins == Origins::Any {
            return Err(Invalid::new("credentials", "must not go to every origin"));
        }
        let methods = each("methods", &methods, matcher::parse_method)?;
        let name = |text: &str| HeaderName::try_from(text).map_err(|_| format!("{text:?} is no name of a header"));
        let (headers, expose) = (each("headers", &headers, name)?, each("exposeHeaders", &expose_headers, name)?);
        Ok(Self { origins, methods, headers, expose, credentials, max_age })
    }
}

fn each<T>(field: &str, texts: &[String], read: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, Invalid> {
    let one = |(place, text): (usize, &String)| read(text).map_err(|e| Invalid::new(format!("{field}[{place}]"), e));
    texts.iter().enumerate().map(one).collect()
}

fn parse_origins(origins: &[String]) -> Result<Origins, Invalid> {
    match origins {
        [] => Err(Invalid::new("origins", "must not be empty")),
        [any] if any == "*" => Ok(Origins::Any),
        listed => each("origins", listed, parse_origin).map(Origins::Listed),
    }
}

fn parse_origin(text: &str) -> Result<Origin, String> {
    let wrong =
        || format!("{text:?} is no origin: write for example https://shop.example.com or https://*.example.com");
    let (scheme, host) = text.split_once("://").ok_or_else(wrong)?;
    let legal = |c: char| c.is_ascii_alphanumeric() || "-.:[]_".contains(c);
    let plain = host.strip_prefix("*.").unwrap_or(host);
    if scheme.is_empty()
        || !scheme.chars().all(|c| c.is_ascii_alphanumeric())
        || plain.is_empty()
        || !plain.chars().all(legal)
    {
        return Err(wrong());
    }
    let lower = text.to_ascii_lowercase();
    Ok(match lower.split_once('*') {
        Some((before, after)) => Origin::Wildcard { before: before.to_owned(), after: after.to_owned() },
        None => Origin::Exact(lower),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::BuiltIn;
    use super::super::Param;
    use super::super::tests::{parse, refusal};
    use super::*;

    #[test]
    fn p4_origins_are_exact_or_have_a_wildcard_of_whole_labels() {
        let param = json!({"origins": ["https://Shop.example.com", "https://*.example.com"], "maxAge": "10m"});
        let Param::Cors(cors) = parse(BuiltIn::Cors, &param) else { panic!() };
        let wildcard = Origin::Wildcard { before: "https://".to_owned(), after: ".example.com".to_owned() };
        let expected = Origins::Listed(vec![Origin::Exact("https://shop.example.com".to_owned()), wildcard]);
        assert_eq!((cors.origins, cors.max_age), (expected, Some(Duration::from_mins(10))));
        for (param, expected) in [
            (json!({"origins": []}), "origins: must not be empty"),
            (json!({"origins": ["*"], "credentials": true}), "credentials: must not go to every origin"),
            (json!({"origins": ["https://a.com", "a.com"]}), "origins[1]: "),
            (json!({"origins": ["https://a*.com"]}), "origins[0]: "),
            (json!({"origins": ["*", "https://a.com"]}), "origins[0]: "),
            (json!({"origins": ["*"], "methods": ["get"]}), "methods[0]: "),
            (json!({"origins": ["*"], "headers": ["a b"]}), "headers[0]: "),
        ] {
            let refused = refusal(BuiltIn::Cors, &param);
            assert!(refused.starts_with(expected), "{refused}");
        }
    }
}
