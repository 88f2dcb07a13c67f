//! The parameter of `Mirror`.

use serde::{Deserialize, Deserializer};

use super::scalar;
use crate::model::ResourceName;

/// Of `Mirror`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mirror {
    /// Name of a Pool of the same namespace.
    #[serde(deserialize_with = "pool")]
    pub pool: String,
    /// The share of requests that are copied.
    #[serde(default = "scalar::all", deserialize_with = "scalar::percent")]
    pub percent: f64,
}

fn pool<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    // The rules are the same in every namespace.
    scalar::text(from, |text| ResourceName::new("default", text).map(|_| text.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{parse, refusal};
    use super::super::{BuiltIn, Param};
    use super::*;

    #[test]
    fn p1_a_mirror_copies_everything_unless_it_is_told_otherwise() {
        let expected = Mirror { pool: "shadow".to_owned(), percent: 100.0 };
        assert_eq!(parse(BuiltIn::Mirror, &json!({"pool": "shadow"})), Param::Mirror(expected));
        for (param, expected) in [
            (json!({}), ": missing field `pool`"),
            (json!({"pool": "other/shadow"}), "pool: "),
            (json!({"pool": ""}), "pool: "),
            (json!({"pool": "a", "percent": 101}), "percent: must be 0 to 100"),
            (json!({"pool": "a", "share": 1}), "share: unknown field"),
        ] {
            let refused = refusal(BuiltIn::Mirror, &param);
            assert!(refused.starts_with(expected), "{refused}");
        }
    }
}
