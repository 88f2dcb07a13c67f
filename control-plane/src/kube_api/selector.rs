//! Which objects of a kind are meant: by labels, as all of Kubernetes writes that, and by name and namespace.

use serde_json::Value;
use weir_proto::model::Key;

use super::refusal::Refusal;

/// Objects that keep every requirement.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Selector {
    labels: Vec<Requirement>,
    /// Field of the metadata, and whether it is to be this or anything else.
    fields: Vec<(&'static str, bool, String)>,
}

/// What a label must be.
#[derive(Debug, Clone, PartialEq)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Missing(String),
}

impl Selector {
    /// Only this object.
    pub(super) fn only(&mut self, key: &Key) {
        self.fields.push(("name", true, key.name.name().to_owned()));
    }

    pub(super) fn labels(&mut self, text: &str) -> Result<(), Refusal> {
        for part in split(text) {
            let bad = || Refusal::bad_request(format!("unable to parse the label selector {part:?}"));
            self.labels.push(requirement(part).ok_or_else(bad)?);
        }
        Ok(())
    }

    pub(super) fn fields(&mut self, text: &str) -> Result<(), Refusal> {
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (name, is_wanted, value) = comparison(part)
                .ok_or_else(|| Refusal::bad_request(format!("unable to parse the field selector {part:?}")))?;
            let field = match name {
                "metadata.name" => "name",
                "metadata.namespace" => "namespace",
                _ => return Err(Refusal::bad_request(format!("field label not supported: {name}"))),
            };
            self.fields.push((field, is_wanted, value.to_owned()));
        }
        Ok(())
    }

    /// Whether an object is meant.
    pub(super) fn matches(&self, object: &Value) -> bool {
        let metadata = &object["metadata"];
        let label = |name: &str| metadata["labels"].get(name).and_then(Value::as_str);
        let is_kept = |requirement: &Requirement| match requirement {
            Requirement::In(name, values) => label(name).is_some_and(|value| values.iter().any(|v| v == value)),
            Requirement::NotIn(name, values) => label(name).is_none_or(|value| values.iter().all(|v| v != value)),
            Requirement::Exists(name) => label(name).is_some(),
            Requirement::Missing(name) => label(name).is_none(),
        };
        let is_field = |(field, is_wanted, value): &(&str, bool, String)| {
            (metadata[*field].as_str() == Some(value.as_str())) == *is_wanted
        };
        self.labels.iter().all(is_kept) && self.fields.iter().all(is_field)
    }
}

/// At commas that are in no brackets.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_usize;
    let parts = text.split(move |c| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    });
    parts.map(str::trim).filter(|part| !part.is_empty())
}

fn requirement(text: &str) -> Option<Requirement> {
    if let Some(inner) = text.strip_suffix(')') {
        let (head, values) = inner.split_once('(')?;
        let values = values.split(',').map(|value| value.trim().to_owned()).collect();
        let (name, operator) = head.trim().rsplit_once(char::is_whitespace)?;
        let name = label_name(name)?;
        return match operator {
            "in" => Some(Requirement::In(name, values)),
            "notin" => Some(Requirement::NotIn(name, values)),
            _ => None,
        };
    }
    if let Some((name, is_wanted, value)) = comparison(text) {
        let (name, values) = (label_name(name)?, vec![value.to_owned()]);
        return Some(if is_wanted { Requirement::In(name, values) } else { Requirement::NotIn(name, values) });
    }
    match text.strip_prefix('!') {
        Some(name) => label_name(name).map(Requirement::Missing),
        None => label_name(text).map(Requirement::Exists),
    }
}

fn label_name(text: &str) -> Option<String> {
    let text = text.trim();
    let is_name = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
    is_name.then(|| text.to_owned())
}

fn comparison(text: &str) -> Option<(&str, bool, &str)> {
    let (name, is_wanted, value) = match text.split_once("!=") {
        Some((name, value)) => (name, false, value),
        None => {
            let (name, value) = text.split_once('=')?;
            (name, true, value.strip_prefix('=').unwrap_or(value))
        }
    };
    Some((name.trim(), is_wanted, value.trim()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn matches(labels: &str, fields: &str) -> Option<bool> {
        let mut selector = Selector::default();
        selector.labels(labels).ok()?;
        selector.fields(fields).ok()?;
        let labels = json!({"app": "shop", "a.test/tier": "gold"});
        Some(selector.matches(&json!({"metadata": {"name": "web", "namespace": "shop", "labels": labels}})))
    }

    #[test]
    fn labels_select_as_in_kubernetes() {
        for yes in [
            "",
            "app",
            "app=shop",
            "app==shop",
            "app!=blog",
            "!x",
            "x!=1",
            "app in (blog, shop)",
            "x notin (a)",
            "app=shop,a.test/tier in (gold,silver),!x",
        ] {
            assert_eq!(matches(yes, ""), Some(true), "{yes}");
        }
        for no in ["x", "!app", "app=blog", "app!=shop", "app notin (shop)", "x in (a)", "app=shop,x"] {
            assert_eq!(matches(no, ""), Some(false), "{no}");
        }
        for bad in ["a b", "app in shop", "app near (x)", "=x", "(x)"] {
            assert_eq!(matches(bad, ""), None, "{bad}");
        }
    }

    #[test]
    fn fields_select_by_name_and_namespace_only() {
        assert_eq!(matches("", "metadata.name=web,metadata.namespace!=blog"), Some(true));
        assert_eq!(matches("", "metadata.name!=web"), Some(false));
        assert_eq!(matches("", "spec.weight=1"), None);
        assert_eq!(matches("", "metadata.name"), None);
    }
}
