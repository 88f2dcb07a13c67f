//! What scripts hand over, as Rust's values.

use mlua::Value;

use crate::plugin::Failure;

/// The text of a string or a number.
///
/// # Errors
/// If it is neither, or no UTF-8.
pub(super) fn text(value: &Value) -> Result<String, Failure> {
    match value {
        Value::String(text) => match text.to_str() {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(Failure::bad_answer("a text that is not UTF-8")),
        },
        Value::Integer(number) => Ok(number.to_string()),
        Value::Number(number) => Ok(number.to_string()),
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
