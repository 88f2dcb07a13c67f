//! What scripts hand over, as Rust's values.

use http::{HeaderName, HeaderValue};
use mlua::{Either, Value};

use crate::plugin::Failure;
use crate::plugin::change::header_value;
use crate::plugin::names::Names;

/// What a script hands over where a text is wanted. A text is copied at once: to refer to it costs the interpreter more.
pub(super) type Given = Either<String, Value>;

/// What a function of `session` is given that wants texts, at most three. It may be called with a dot or with a colon.
pub(super) type Arguments = (Option<Given>, Option<Given>, Option<Given>, Option<Given>);

/// Those without the table that stands before a colon.
pub(super) fn without_table(arguments: Arguments) -> [Option<Given>; 3] {
    match arguments {
        (Some(Either::Right(Value::Table(_))), first, second, third) | (first, second, third, _) => {
            [first, second, third]
        }
    }
}

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

/// Name and value of a field of a header.
///
/// # Errors
/// If they are no texts, or none that plugins may set.
pub(super) fn field(names: &Names, name: Given, value: Given) -> Result<(HeaderName, HeaderValue), Failure> {
    let name = field_name(names, name)?;
    let value = header_value(&name, given_text(value)?)?;
    Ok((name, value))
}

/// The name alone.
///
/// # Errors
/// As for [`field`].
pub(super) fn field_name(names: &Names, name: Given) -> Result<HeaderName, Failure> {
    names.changeable(&given_text(name)?)
}

fn given_text(given: Given) -> Result<String, Failure> {
    given.either(Ok, |value| text(&value))
}

/// A number, whole or not.
pub(super) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(number) => Some(*number as f64),
        Value::Number(number) => Some(*number),
        _ => None,
    }
}
