//! The parameter of `Compress`.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{read, scalar};
use crate::model::Invalid;

/// Of `Compress`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compress {
    /// What is worth it.
    pub types: Vec<MediaRange>,
    /// Bytes of a body; shorter ones stay as they are.
    pub min_size: u64,
    /// The preferred one first.
    pub algorithms: Vec<Algorithm>,
    /// From 1, fast, to 9, small, as far as an algorithm goes on the fly; `None` = its own default.
    pub level: Option<u8>,
}

/// A way to compress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Algorithm {
    /// RFC 1952.
    #[serde(rename = "gzip")]
    Gzip,
    /// Brotli, RFC 7932.
    #[serde(rename = "br")]
    Brotli,
    /// RFC 8878.
    #[serde(rename = "zstd")]
    Zstd,
}

impl Algorithm {
    /// The name of the content coding.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }
}

/// One media type, as `application/json`, or several, as `text/*` and `*/*`. In lower case.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum MediaRange {
    /// Every type.
    Any,
    /// Those that begin with this: `text/`.
    Top(String),
    /// This one.
    One(String),
}

impl MediaRange {
    /// Whether a `Content-Type` is within; its parameters do not count.
    #[must_use]
    pub fn contains(&self, content_type: &str) -> bool {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        match self {
            Self::Any => !essence.is_empty(),
            Self::Top(top) => essence.get(..top.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(top)),
            Self::One(one) => essence.eq_ignore_ascii_case(one),
        }
    }
}

impl TryFrom<String> for MediaRange {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        // RFC 9110, 5.6.2.
        let is_token = |part: &str| {
            !part.is_empty() && part.bytes().all(|c| c.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&c))
        };
        let text = text.to_ascii_lowercase();
        match text.split_once('/') {
            Some(("*", "*")) => Ok(Self::Any),
            Some((top, "*")) if is_token(top) => Ok(Self::Top(format!("{top}/"))),
            Some((top, sub)) if is_token(top) && is_token(sub) => Ok(Self::One(text)),
            _ => Err(format!("{text:?} is no media type: write text/html, text/* or */*")),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Fields {
    #[serde(default = "usual_types")]
    types: Vec<MediaRange>,
    #[serde(default = "usual_size", deserialize_with = "scalar::size")]
    min_size: u64,
    #[serde(default = "all_algorithms")]
    algorithms: Vec<Algorithm>,
    #[serde(default, deserialize_with = "level")]
    level: Option<u8>,
}

fn usual_types() -> Vec<MediaRange> {
    let others = ["javascript", "json", "manifest+json", "problem+json", "xhtml+xml", "xml"];
    let others = others.map(|sub| MediaRange::One(format!("application/{sub}")));
    let top = MediaRange::Top("text/".to_owned());
    [top, MediaRange::One("image/svg+xml".to_owned())].into_iter().chain(others).collect()
}

/// What is shorter fits one packet anyway.
fn usual_size() -> u64 {
    1 << 10
}

fn all_algorithms() -> Vec<Algorithm> {
    vec![Algorithm::Zstd, Algorithm::Brotli, Algorithm::Gzip]
}

fn level<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u8>, D::Error> {
    let level = u8::try_from(i64::deserialize(from)?).ok().filter(|level| (1..=9).contains(level));
    level.map(Some).ok_or_else(|| serde::de::Error::custom("must be 1 to 9"))
}

impl Compress {
    pub(super) fn parse(param: &Value) -> Result<Self, Invalid> {
        let Fields { types, min_size, algorithms, level } = read(param)?;
        if types.is_empty() {
            return Err(Invalid::new("types", "must not be empty"));
        }
        if algorithms.is_empty() {
            return Err(Invalid::new("algorithms", "must not be empty"));
        }
        for (place, algorithm) in algorithms.iter().enumerate() {
            if algorithms[..place].contains(algorithm) {
                let field = format!("algorithms[{place}]");
                return Err(Invalid::new(field, format!("{} is there already", algorithm.as_str())));
            }
        }
        Ok(Self { types, min_size, algorithms, level })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{parse, refusal};
    use super::super::{BuiltIn, Param};
    use super::*;

    #[test]
    fn p1_compression_has_sensible_defaults() {
        let Param::Compress(compress) = parse(BuiltIn::Compress, &json!({})) else { panic!() };
        let names: Vec<&str> = compress.algorithms.iter().map(|algorithm| algorithm.as_str()).collect();
        assert_eq!((names, compress.min_size, compress.level), (vec!["zstd", "br", "gzip"], 1024, None));
        let has = |content_type: &str| compress.types.iter().any(|range| range.contains(content_type));
        assert!(has("text/html; charset=utf-8") && has("TEXT/event-stream") && has("application/json"));
        assert!(!has("image/png") && !has("text") && !has("application/octet-stream") && !has(""));
    }

    #[test]
    fn p1_media_types_are_one_some_or_all() {
        let range = |text: &str| MediaRange::try_from(text.to_owned()).unwrap();
        assert!(range("*/*").contains("a/b") && !range("*/*").contains(" ;x=y"));
        assert!(range("Application/*").contains("application/JSON") && !range("app/*").contains("application/x"));
        assert!(range("a/b").contains("A/B ; c=d") && !range("a/b").contains("a/bc"));
    }

    #[test]
    fn p1_compression_that_makes_no_sense_is_refused_by_field() {
        for (param, expected) in [
            (json!({"types": []}), "types: must not be empty"),
            (json!({"types": ["text/html", "html"]}), "types[1]: \"html\" is no media type"),
            (json!({"types": ["text/html; charset=x"]}), "types[0]: "),
            (json!({"minSize": "big"}), "minSize: "),
            (json!({"algorithms": []}), "algorithms: must not be empty"),
            (json!({"algorithms": ["gzip", "lzma"]}), "algorithms[1]: unknown variant `lzma`"),
            (json!({"algorithms": ["br", "gzip", "br"]}), "algorithms[2]: br is there already"),
            (json!({"level": 0}), "level: must be 1 to 9"),
            (json!({"level": 10}), "level: must be 1 to 9"),
            (json!({"quality": 1}), "quality: unknown field"),
        ] {
            let refused = refusal(BuiltIn::Compress, &param);
            assert!(refused.starts_with(expected), "{refused}");
        }
    }
}
