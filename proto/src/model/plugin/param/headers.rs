//! Parameters of `RequestHeaders` and `ResponseHeaders`.

use std::collections::BTreeMap;

use http::HeaderName;
use serde::Deserialize;
use serde_json::Value;

use super::read;
use super::template::Template;
use crate::model::Invalid;
use crate::model::plugin::header::changeable;

/// One change of a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderEdit {
    /// None of this name any more.
    Remove(HeaderName),
    /// In place of all of this name.
    Set(HeaderName, Template),
    /// Besides those of this name.
    Add(HeaderName, Template),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    #[serde(default)]
    set: BTreeMap<String, Template>,
    #[serde(default)]
    add: BTreeMap<String, Template>,
    #[serde(default)]
    remove: Vec<String>,
}

/// What is taken away goes first, then what is set, then what is added.
pub(super) fn parse(param: &Value) -> Result<Vec<HeaderEdit>, Invalid> {
    let Fields { set, add, remove } = read(param)?;
    let mut edits = Vec::new();
    for (place, name) in remove.iter().enumerate() {
        edits.push(HeaderEdit::Remove(check(format!("remove[{place}]"), name)?));
    }
    for (name, value) in set {
        edits.push(HeaderEdit::Set(check(format!("set.{name}"), &name)?, value));
    }
    for (name, value) in add {
        edits.push(HeaderEdit::Add(check(format!("add.{name}"), &name)?, value));
    }
    if edits.is_empty() {
        return Err(Invalid::new("", "must set, add or remove a header"));
    }
    Ok(edits)
}

fn check(field: String, name: &str) -> Result<HeaderName, Invalid> {
    changeable(name).map_err(|reason| Invalid::new(field, reason))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{parse, refusal};
    use super::super::{BuiltIn, Param};
    use super::*;

    #[test]
    fn p4_headers_are_removed_set_and_added_in_this_order() {
        let param = json!({"add": {"x-c": "3"}, "set": {"X-B": "{pool.name}"}, "remove": ["x-a"]});
        let Param::RequestHeaders(edits) = parse(BuiltIn::RequestHeaders, &param) else { panic!() };
        let template = |text: &str| Template::try_from(text.to_owned()).unwrap();
        let expected = [
            HeaderEdit::Remove(HeaderName::from_static("x-a")),
            HeaderEdit::Set(HeaderName::from_static("x-b"), template("{pool.name}")),
            HeaderEdit::Add(HeaderName::from_static("x-c"), template("3")),
        ];
        assert_eq!(edits, expected);
    }

    #[test]
    fn p4_headers_that_are_none_or_weirs_own_are_refused_by_field() {
        for (param, expected) in [
            (json!({}), ": must set, add or remove a header"),
            (json!({"set": {"a b": "1"}}), "set.a b: \"a b\" is no name"),
            (json!({"add": {"content-length": "1"}}), "add.content-length: the header content-length frames"),
            (json!({"remove": ["x", "Connection"]}), "remove[1]: the header connection frames"),
            (json!({"set": {"x": "{nobody}"}}), "set.x: {nobody} is no variable"),
            (json!({"set": {"x": "a\r\nb: c"}}), "set.x: \"a\\r\\nb: c\" has characters"),
            (json!({"delete": []}), "delete: unknown field"),
        ] {
            for built_in in [BuiltIn::RequestHeaders, BuiltIn::ResponseHeaders] {
                let refused = refusal(built_in, &param);
                assert!(refused.starts_with(expected), "{refused}");
            }
        }
    }
}
