//! Parameters of the types that choose: `Score`, `WeightedScore`, `Hash`, `Subset`.

use http::HeaderName;
use serde::Deserialize;
use serde_json::Value;

use super::{read, scalar};
use crate::model::{HashKey, Invalid};

/// Which scores are better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// Low ones.
    Least,
    /// High ones.
    Most,
}

/// Of `Score`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Score {
    /// Which scores are better.
    pub order: Order,
}

/// Of `WeightedScore`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WeightedScore {
    /// High scores are better.
    Most,
    /// Low scores are better.
    Least {
        /// The highest score there is, for a choice between two.
        max: i64,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WeightedScoreFields {
    order: Order,
    max: Option<i64>,
}

impl WeightedScore {
    pub(super) fn parse(param: &Value) -> Result<Self, Invalid> {
        let WeightedScoreFields { order, max } = read(param)?;
        match (order, max) {
            (Order::Most, None) => Ok(Self::Most),
            (Order::Most, Some(_)) => Err(Invalid::new("max", "goes with order least only")),
            (Order::Least, Some(max)) => Ok(Self::Least { max }),
            (Order::Least, None) => Err(Invalid::new("max", "is needed with order least, when two servers are left")),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HashFields {
    source: Source,
    name: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
enum Source {
    Address,
    Header,
    Cookie,
    Query,
}

/// The parameter of `Hash` is what the method `Hash` takes.
pub(super) fn parse_hash(param: &Value) -> Result<HashKey, Invalid> {
    let HashFields { source, name } = read(param)?;
    let refused = |reason: String| Invalid::new("name", reason);
    let name = match (source, name) {
        (Source::Address, None) => return Ok(HashKey::Address),
        (Source::Address, Some(_)) => return Err(refused("goes with no source Address".to_owned())),
        (_, None) => return Err(refused("is needed with this source".to_owned())),
        (_, Some(name)) if name.is_empty() => return Err(refused("must not be empty".to_owned())),
        (_, Some(name)) => name,
    };
    Ok(match source {
        Source::Header => HashKey::Header(crate::model::matcher::parse_header_name(&name).map_err(refused)?),
        Source::Cookie => HashKey::Cookie(name),
        Source::Query | Source::Address => HashKey::Query(name),
    })
}

/// Of `Subset`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subset {
    /// Where the value comes from.
    pub source: Carrier,
    /// The label that must have it.
    pub label: String,
    /// What is left if no candidate has it.
    pub when_empty: WhenEmpty,
}

/// A part of a request that carries a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Carrier {
    /// A header.
    Header(HeaderName),
    /// A cookie.
    Cookie(String),
}

impl Carrier {
    /// The header of this name.
    ///
    /// # Errors
    /// If it is no name of a header.
    pub fn header(name: &str) -> Result<Self, String> {
        scalar::parse_header(name).map(Self::Header)
    }

    /// The cookie of this name.
    ///
    /// # Errors
    /// If it is no name of a cookie.
    pub fn cookie(name: &str) -> Result<Self, String> {
        scalar::parse_cookie(name).map(Self::Cookie)
    }
}

/// What is left if nothing fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum WhenEmpty {
    /// Every candidate.
    All,
    /// None.
    None,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct SubsetFields {
    #[serde(default, deserialize_with = "scalar::some_header")]
    header: Option<HeaderName>,
    #[serde(default, deserialize_with = "scalar::some_cookie")]
    cookie: Option<String>,
    #[serde(deserialize_with = "scalar::filled")]
    label: String,
    when_empty: Option<WhenEmpty>,
}

impl Carrier {
    /// What the fields `header` and `cookie` name; `None` = neither is there.
    pub(super) fn named(header: Option<HeaderName>, cookie: Option<String>) -> Result<Option<Self>, Invalid> {
        match (header, cookie) {
            (Some(_), Some(_)) => Err(Invalid::new("", "names either a header or a cookie")),
            (header, cookie) => Ok(header.map(Self::Header).or(cookie.map(Self::Cookie))),
        }
    }
}

impl Subset {
    pub(super) fn parse(param: &Value) -> Result<Self, Invalid> {
        let SubsetFields { header, cookie, label, when_empty } = read(param)?;
        let source = Carrier::named(header, cookie)?;
        let source = source.ok_or_else(|| Invalid::new("", "names either a header or a cookie"))?;
        Ok(Self { source, label, when_empty: when_empty.unwrap_or(WhenEmpty::All) })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{parse, refusal};
    use super::super::{BuiltIn, Param};
    use super::*;

    #[test]
    fn p3_scores_have_an_order() {
        assert_eq!(parse(BuiltIn::Score, &json!({"order": "least"})), Param::Score(Score { order: Order::Least }));
        assert!(refusal(BuiltIn::Score, &json!({})).contains("missing field `order`"));
        let refused = refusal(BuiltIn::Score, &json!({"order": "fewest"}));
        assert!(refused.starts_with("order: unknown variant `fewest`, expected `least` or `most`"), "{refused}");
    }

    #[test]
    fn p3_least_weighted_score_needs_a_maximum() {
        let most = parse(BuiltIn::WeightedScore, &json!({"order": "most"}));
        assert_eq!(most, Param::WeightedScore(WeightedScore::Most));
        let least = parse(BuiltIn::WeightedScore, &json!({"order": "least", "max": 100}));
        assert_eq!(least, Param::WeightedScore(WeightedScore::Least { max: 100 }));
        assert!(refusal(BuiltIn::WeightedScore, &json!({"order": "least"})).starts_with("max: is needed"));
        assert!(refusal(BuiltIn::WeightedScore, &json!({"order": "most", "max": 1})).starts_with("max: goes with"));
    }

    #[test]
    fn c3_a_hash_names_what_it_is_made_of() {
        let hash = |param: Value| parse(BuiltIn::Hash, &param);
        assert_eq!(hash(json!({"source": "Address"})), Param::Hash(HashKey::Address));
        let header = Param::Hash(HashKey::Header("x-user".to_owned()));
        assert_eq!(hash(json!({"source": "Header", "name": "X-User"})), header);
        assert_eq!(hash(json!({"source": "Query", "name": "Q"})), Param::Hash(HashKey::Query("Q".to_owned())));
        for bad in [
            json!({"source": "Header"}),
            json!({"source": "Header", "name": "a b"}),
            json!({"source": "Cookie", "name": ""}),
            json!({"source": "Address", "name": "x"}),
        ] {
            assert!(refusal(BuiltIn::Hash, &bad).starts_with("name: "), "{bad}");
        }
    }

    #[test]
    fn p3_a_subset_goes_by_a_header_or_a_cookie() {
        let subset = parse(BuiltIn::Subset, &json!({"header": "X-Zone", "label": "zone"}));
        let source = Carrier::Header(HeaderName::from_static("x-zone"));
        assert_eq!(subset, Param::Subset(Subset { source, label: "zone".to_owned(), when_empty: WhenEmpty::All }));
        for bad in [json!({"label": "zone"}), json!({"label": "zone", "header": "a", "cookie": "b"})] {
            assert_eq!(refusal(BuiltIn::Subset, &bad), ": names either a header or a cookie");
        }
        assert!(refusal(BuiltIn::Subset, &json!({"cookie": "a b", "label": "zone"})).starts_with("cookie: "));
        assert!(refusal(BuiltIn::Subset, &json!({"cookie": "a", "label": ""})).starts_with("label: must not"));
    }
}
