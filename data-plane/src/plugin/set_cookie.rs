//! Cookies that plugins add to a response.

use http::header::SET_COOKIE;
use http::{HeaderName, HeaderValue};

use super::Failure;
use super::change::{HeaderChange, header_value};

/// The change that adds a cookie; `attributes` such as `Path=/; HttpOnly`, or none.
///
/// # Errors
/// If the name, the value or the attributes have characters that would make something else of it.
pub fn set_cookie(name: &str, value: &str, attributes: &str) -> Result<HeaderChange, Failure> {
    // RFC 6265: the name of a cookie is a token, as is that of a header.
    if HeaderName::from_bytes(name.as_bytes()).is_err() {
        return Err(Failure::bad_answer(format!("{name:?} is no name of a cookie")));
    }
    if !value.bytes().all(is_value) {
        return Err(Failure::bad_answer(format!(
            "the value of the cookie {name} has characters that no cookie may have"
        )));
    }
    let separator = if attributes.is_empty() { "" } else { "; " };
    let text = format!("{name}={value}{separator}{attributes}");
    let value: HeaderValue = header_value(&SET_COOKIE, text)?;
    Ok(HeaderChange::Add(SET_COOKIE, value))
}

fn is_value(c: u8) -> bool {
    c.is_ascii_graphic() && !matches!(c, b'"' | b',' | b';' | b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_one_cookie() {
        let text = |name, value, attributes| match set_cookie(name, value, attributes).unwrap() {
            HeaderChange::Add(SET_COOKIE, value) => value.to_str().unwrap().to_owned(),
            other => panic!("{other:?}"),
        };
        assert_eq!(text("a", "1", ""), "a=1");
        assert_eq!(text("a", "", "Path=/; HttpOnly"), "a=; Path=/; HttpOnly");
        for (name, value, attributes) in [
            ("", "1", ""),
            ("a b", "1", ""),
            ("a=b", "1", ""),
            ("a", "1; b=2", ""),
            ("a", "1\r\n", ""),
            ("a", "1", "\n"),
        ] {
            assert!(set_cookie(name, value, attributes).is_err(), "{name:?} {value:?} {attributes:?}");
        }
    }
}
