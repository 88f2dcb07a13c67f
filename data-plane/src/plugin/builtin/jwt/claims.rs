//! Claims that upstreams see as headers.

use std::collections::BTreeMap;

use http::HeaderName;
use serde_json::Value;

use super::keys::{Claims, Verdict};
use super::refusal::Refusal;
use crate::plugin::change::{HeaderChange, header_value};
use crate::plugin::{Change, Changes, Flow, Session};

/// Which claims go into which headers.
#[derive(Debug)]
pub(super) struct Passed {
    claims: Box<[String]>,
    headers: Box<[HeaderName]>,
}

impl Passed {
    pub(super) fn new(claims_to_headers: BTreeMap<String, HeaderName>) -> Self {
        let (claims, headers): (Vec<_>, Vec<_>) = claims_to_headers.into_iter().unzip();
        Self { claims: claims.into(), headers: headers.into() }
    }

    /// The headers.
    pub(super) fn headers(&self) -> &[HeaderName] {
        &self.headers
    }

    /// What follows for the request.
    pub(super) fn conclude(&self, verdict: Verdict) -> Result<Changes, Refusal> {
        match verdict {
            Verdict::Right(claims) => self.changes(claims),
            Verdict::Wrong(refusal) => Err(refusal),
            Verdict::UnknownKey => Err(Refusal::Wrong("the key of the token is not known")),
        }
    }

    /// The same, done to the request.
    pub(super) fn settle(&self, verdict: Verdict, session: &mut Session<'_>) -> Flow {
        match self.conclude(verdict) {
            Ok(changes) => changes.into_iter().for_each(|change| session.change(change)),
            Err(refusal) => return refusal.halt().into(),
        }
        Flow::GoOn
    }

    fn changes(&self, claims: Claims) -> Result<Changes, Refusal> {
        let claims = Value::Object(claims);
        let pairs = self.claims.iter().zip(&self.headers);
        let present = pairs.filter_map(|(claim, name)| Some((name, text(find(&claims, claim)?)?)));
        present.map(|(name, text)| set(name, text)).collect()
    }
}

/// Not a failure of the plugin, with which the request could go on: the token says what no header can.
fn set(name: &HeaderName, text: String) -> Result<Change, Refusal> {
    let value = header_value(name, text).map_err(|_| Refusal::Wrong("a claim of the token fits no header"))?;
    Ok(Change::Request(HeaderChange::Set(name.clone(), value)))
}

fn find<'c>(claims: &'c Value, claim: &str) -> Option<&'c Value> {
    if claim.starts_with('/') { claims.pointer(claim) } else { claims.get(claim) }
}

/// Lists and objects as JSON: a comma in one of a list's texts cannot make two of it.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn passed(claim: &str, claims: Value) -> Result<Vec<String>, Refusal> {
        let Value::Object(claims) = claims else { panic!() };
        let names = [(claim.to_owned(), HeaderName::from_static("x"))].into();
        let changes = Passed::new(names).conclude(Verdict::Right(claims))?;
        let value = |change| match change {
            Change::Request(HeaderChange::Set(_, value)) => String::from_utf8(value.as_bytes().to_vec()).unwrap(),
            other => panic!("{other:?}"),
        };
        Ok(changes.into_iter().map(value).collect())
    }

    #[test]
    fn p1_claims_are_passed_on_as_text() {
        for (value, text) in [
            (json!("ada"), "ada"),
            (json!("žofie"), "žofie"),
            (json!(5), "5"),
            (json!(true), "true"),
            (json!(["a", "b,c"]), r#"["a","b,c"]"#),
            (json!({"a": 1}), r#"{"a":1}"#),
        ] {
            assert_eq!(passed("c", json!({"c": value})).unwrap(), [text]);
        }
        assert_eq!(passed("c", json!({"c": null})).unwrap(), [] as [&str; 0]);
        assert_eq!(passed("c", json!({})).unwrap(), [] as [&str; 0]);
    }

    #[test]
    fn p1_a_claim_within_another_is_named_by_a_pointer() {
        assert_eq!(passed("/realm/roles/0", json!({"realm": {"roles": ["a"]}})).unwrap(), ["a"]);
        let url = "https://shop.example.com/role";
        assert_eq!(passed(url, json!({url: "a"})).unwrap(), ["a"]);
    }

    #[test]
    fn p1_a_claim_that_would_begin_another_header_is_refused() {
        let refused = passed("c", json!({"c": "a\r\nx-role: admin"})).unwrap_err();
        assert_eq!(refused, Refusal::Wrong("a claim of the token fits no header"));
    }
}
