//! The values of a chart, with what their comments say.

use std::collections::BTreeMap;

use anyhow::{Context, bail, ensure};
use serde_json::{Map, Value};

use super::comments::{Comment, comments};

/// A value, or a section of values.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its key.
    pub name: String,
    /// Its key after those of the sections around it, with dots between.
    pub path: String,
    /// What it is for.
    pub description: String,
    /// What it holds.
    pub content: Content,
}

/// What a key holds.
#[derive(Debug, Clone)]
pub enum Content {
    /// More keys.
    Section(Vec<Node>),
    /// What users set.
    Value {
        /// What it is if they do not.
        default: Value,
        /// What is known of it beside the type of its default.
        schema: Map<String, Value>,
    },
}

/// Reads the text of a `values.yaml`. A mapping that has keys and no `@schema` is a section.
///
/// # Errors
/// If it is not YAML, or a value has no description, or null as default and no type.
pub fn read(text: &str) -> anyhow::Result<Vec<Node>> {
    let values: serde_yaml::Mapping = serde_yaml::from_str(text)?;
    section("", &values, &comments(text))
}

/// The values of a section; `path` is empty, or ends with a dot.
fn section(
    path: &str,
    values: &serde_yaml::Mapping,
    comments: &BTreeMap<String, Comment>,
) -> anyhow::Result<Vec<Node>> {
    let read = |(key, value): (&serde_yaml::Value, &serde_yaml::Value)| {
        let name = key.as_str().with_context(|| format!("{path}a key that is no text"))?;
        let path = format!("{path}{name}");
        let (description, content) = node(&path, value, comments)?;
        Ok(Node { name: name.to_owned(), path, description, content })
    };
    values.iter().map(read).collect()
}

fn node(
    path: &str,
    value: &serde_yaml::Value,
    comments: &BTreeMap<String, Comment>,
) -> anyhow::Result<(String, Content)> {
    let comment = comments.get(path).with_context(|| format!("{path}: not found as a key on a line of its own"))?;
    let content = match value.as_mapping() {
        Some(values) if !values.is_empty() && comment.schema.is_empty() => {
            Content::Section(section(&format!("{path}."), values, comments)?)
        }
        _ => leaf(path, value, comment)?,
    };
    Ok((comment.description.clone(), content))
}

fn leaf(path: &str, value: &serde_yaml::Value, comment: &Comment) -> anyhow::Result<Content> {
    ensure!(!comment.description.is_empty(), "{path}: no comment above it says what it is for");
    let default = serde_json::to_value(value)?;
    let schema: Map<String, Value> = match comment.schema.as_str() {
        "" => Map::new(),
        text => serde_yaml::from_str(text).with_context(|| format!("{path}: @schema"))?,
    };
    if default.is_null() && !schema.contains_key("type") {
        bail!("{path}: its default is null, so that @schema must name its type");
    }
    Ok(Content::Value { default, schema })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_says_too_little_is_refused() {
        for (text, why) in [
            ("a: {b: 1}", "a.b: not found"),
            ("a:\n  b: 1", "a.b: no comment"),
            ("# A.\na: null", "a: its default is null"),
            ("# A.\n# @schema {type\na: null", "a: @schema"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.starts_with(why), "{text}: {error}");
        }
    }
}
