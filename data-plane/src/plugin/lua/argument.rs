//! What scripts hand over, as Rust's values.

use http::{HeaderName, HeaderValue};
use mlua::Value;

use crate::plugin::Failure;
use crate::plugin::change::{header_name, header_value};

/// The text of a string or a number.
///
/// # Errors
/// If it is neither, or no UTF-8.
pub(super) fn text(value: &Value) -> Result<String, Failure> {
    with_text(value, |text| Ok(text.to_owned()))
}

/// Name and value of a field of a header.
///
/// # Errors
/// If they are no texts, or none that plugins may set.
pub(super) fn field(name: &Value, value: &Value) -> Result<(HeaderName, HeaderValue), Failure> {
    let name = field_name(name)?;
    let value = with_text(value, |value| header_value(&name, value))?;
    Ok((name, value))
}

/// The name alone.
///
/// # Errors
/// As for [`field`].
pub(super) fn field_name(name: &Value) -> Result<HeaderName, Failure> {
    with_text(name, header_name)
}

/// What `read` makes of the text, which it reads where the interpreter has it.
fn with_text<T>(value: &Value, read: impl FnOnce(&str) -> Result<T, Failure>) -> Result<T, Failure> {
    match value {
        Value::String(text) => match text.to_str() {
            Ok(text) => read(&text),
            Err(_) => Err(Failure::bad_answer("a text that is not UTF-8")),
        },
        Value::Integer(number) => read(&number.to_string()),
        Value::Number(number) => read(&number.to_string()),
        other => Err(Failure::bad_answer(format!("a {} in place of a string", other.type_name()))),
    }
}

/// A number, whole or not.
pub(super) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(number) => Some(*number as f64),
        Value::Number(number) => Some(*number),
        _ => None,
    }
}
