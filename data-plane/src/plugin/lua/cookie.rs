//! What `set_cookie` makes of a name, a value and attributes (RFC 6265, 4.1).

use mlua::{Table, Value};

use super::argument::text as argument;
use crate::plugin::Failure;

/// The value of a `Set-Cookie` header.
///
/// # Errors
/// If a part could end the cookie or begin another attribute, or there is no such attribute.
pub(super) fn text(name: &str, value: &str, attributes: Option<&Table>) -> Result<String, Failure> {
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(Failure::bad_answer(format!("{name:?} is no name of a cookie")));
    }
    if !value.bytes().all(is_value) {
        return Err(Failure::bad_answer(format!("the cookie {name} has a value that no cookie may have")));
    }
    let mut cookie = format!("{name}={value}");
    for pair in attributes.iter().flat_map(|attributes| attributes.pairs::<Value, Value>()) {
        let (key, value) = pair.map_err(|error| Failure::bad_answer(error.to_string()))?;
        cookie.push_str(&attribute(&argument(&key)?, &value)?);
    }
    Ok(cookie)
}

fn attribute(key: &str, value: &Value) -> Result<String, Failure> {
    let label = match key {
        "path" => "Path",
        "domain" => "Domain",
        "max_age" => "Max-Age",
        "same_site" => "SameSite",
        "secure" => return flag("; Secure", value),
        "http_only" => return flag("; HttpOnly", value),
        _ => {
            let known = "path, domain, max_age, same_site, secure and http_only";
            return Err(Failure::bad_answer(format!("{key:?} is no attribute of a cookie: there are {known}")));
        }
    };
    let value = argument(value)?;
    if value.bytes().any(|byte| byte == b';' || byte.is_ascii_control()) {
        return Err(Failure::bad_answer(format!("the attribute {key} has characters that it may not have")));
    }
    Ok(format!("; {label}={value}"))
}

fn flag(text: &str, value: &Value) -> Result<String, Failure> {
    match value {
        Value::Boolean(true) => Ok(text.to_owned()),
        Value::Boolean(false) => Ok(String::new()),
        other => Err(Failure::bad_answer(format!("a {} in place of true or false", other.type_name()))),
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&byte)
}

fn is_value(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\",;\\".contains(&byte)
}
