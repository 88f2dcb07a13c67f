//! The attributes that scripts give to cookies.

use mlua::{Table, Value};

use super::argument::text;
use crate::plugin::Failure;

/// As they stand in a `Set-Cookie` header: those of a table, or a text as it is.
///
/// # Errors
/// If there is no such attribute, or its value could begin another one.
pub(super) fn attributes(given: &Value) -> Result<String, Failure> {
    match given {
        Value::Nil => Ok(String::new()),
        Value::String(_) => text(given),
        Value::Table(table) => of_table(table),
        other => Err(Failure::bad_answer(format!("a {} in place of attributes", other.type_name()))),
    }
}

fn of_table(table: &Table) -> Result<String, Failure> {
    let mut attributes = Vec::new();
    for pair in table.pairs::<Value, Value>() {
        let (key, value) = pair.map_err(|error| Failure::bad_answer(error.to_string()))?;
        attributes.extend(attribute(&text(&key)?, &value)?);
    }
    Ok(attributes.join("; "))
}

/// `None` if it is a flag that is not set.
fn attribute(key: &str, value: &Value) -> Result<Option<String>, Failure> {
    let label = match key {
        "path" => "Path",
        "domain" => "Domain",
        "max_age" => "Max-Age",
        "same_site" => "SameSite",
        "secure" => return flag("Secure", value),
        "http_only" => return flag("HttpOnly", value),
        _ => {
            let known = "path, domain, max_age, same_site, secure and http_only";
            return Err(Failure::bad_answer(format!("{key:?} is no attribute of a cookie: there are {known}")));
        }
    };
    let value = text(value)?;
    if value.bytes().any(|byte| byte == b';' || byte.is_ascii_control()) {
        return Err(Failure::bad_answer(format!("the attribute {key} has characters that it may not have")));
    }
    Ok(Some(format!("{label}={value}")))
}

fn flag(text: &str, value: &Value) -> Result<Option<String>, Failure> {
    match value {
        Value::Boolean(set) => Ok(set.then(|| text.to_owned())),
        other => Err(Failure::bad_answer(format!("a {} in place of true or false", other.type_name()))),
    }
}
