//! Writes values as parts of a document: in block style at an indentation, in flow style, or as JSON.

use serde_json::{Value, json};

/// What a file is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// YAML.
    Yaml,
    /// Nothing but JSON.
    Json,
}

/// A value within brackets, on one line.
pub(super) fn flow(value: &Value, form: Form) -> String {
    match value {
        Value::Object(map) => {
            let entries: Vec<String> = map.iter().map(|(key, value)| flow_entry(key, value, form)).collect();
            format!("{{{}}}", entries.join(", "))
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| flow(item, form)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::String(text) if form == Form::Yaml && is_plain(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A key with its value within brackets.
pub(super) fn flow_entry(key: &str, value: &Value, form: Form) -> String {
    format!("{}: {}", flow(&key.into(), form), flow(value, form))
}

/// What follows the colon of a key that stands at an indentation; begins with a blank or a new line.
pub(super) fn after_colon(value: &Value, indent: usize) -> Option<String> {
    block(&json!({"k": value}), indent)?.strip_prefix("k:").map(str::to_owned)
}

/// What follows the dash of an item that stands at an indentation.
pub(super) fn after_dash(value: &Value, indent: usize) -> Option<String> {
    block(&json!([value]), indent)?.strip_prefix('-').map(str::to_owned)
}

/// A key with its value, at an indentation that the first line has already.
pub(super) fn block_entry(key: &str, value: &Value, indent: usize) -> Option<String> {
    block(&json!({(key): value}), indent)
}

/// Within the quotes that another text had; `None` if it had none, or they do not fit.
pub(super) fn quoted_like(old: &str, new: &str) -> Option<String> {
    match old.chars().next()? {
        '"' => Some(Value::from(new).to_string()),
        '\'' if !new.contains(|c: char| c.is_control()) => Some(format!("'{}'", new.replace('\'', "''"))),
        _ => None,
    }
}

fn block(value: &Value, indent: usize) -> Option<String> {
    let text = super::to_string(value).ok()?;
    let indentation = " ".repeat(indent);
    let mut lines = text.trim_end_matches('\n').split('\n');
    let mut all = lines.next()?.to_owned();
    for line in lines {
        all.push('\n');
        if !line.is_empty() {
            all.push_str(&indentation);
            all.push_str(line);
        }
    }
    Some(all)
}

/// Whether a text needs no quotes anywhere, and is not taken for anything but a text.
fn is_plain(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || "_./-".contains(c);
    let begins_well = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/' || c == '_');
    begins_well && text.chars().all(is_word) && super::to_string(&text).is_ok_and(|written| written.trim_end() == text)
}
