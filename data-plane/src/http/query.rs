//! Reads query parameters where they lie: nothing is copied unless it has escapes.
//!
//! The rules are those of HTML forms: pieces between `&`, `+` is a space, `%` and two hex digits a
//! byte; other `%` stay as they are. A parameter without `=` has the empty value.

use std::borrow::Cow;

use super::percent::hex_digit;

/// A name or a value, still encoded. Decoded it may be anything, also no UTF-8.
#[derive(Debug, Clone, Copy)]
pub struct Encoded<'q>(&'q [u8]);

impl<'q> Encoded<'q> {
    /// Whether it decodes to `plain`. Allocates nothing.
    #[must_use]
    pub fn is(self, plain: &[u8]) -> bool {
        if self.is_plain() { self.0 == plain } else { self.bytes().eq(plain.iter().copied()) }
    }

    /// What it stands for; borrowed if nothing is encoded.
    #[must_use]
    pub fn decode(self) -> Cow<'q, [u8]> {
        if self.is_plain() { Cow::Borrowed(self.0) } else { Cow::Owned(self.bytes().collect()) }
    }

    fn is_plain(self) -> bool {
        memchr::memchr2(b'%', b'+', self.0).is_none()
    }

    fn bytes(self) -> impl Iterator<Item = u8> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (byte, left) = next_byte(rest)?;
            rest = left;
            Some(byte)
        })
    }
}

fn next_byte(encoded: &[u8]) -> Option<(u8, &[u8])> {
    let (first, rest) = encoded.split_first()?;
    Some(match (first, rest) {
        (b'+', _) => (b' ', rest),
        (b'%', [high, low, left @ ..]) => match (hex_digit(*high), hex_digit(*low)) {
            (Some(high), Some(low)) => (high << 4 | low, left),
            _ => (b'%', rest),
        },
        _ => (*first, rest),
    })
}

/// Each parameter's name and value, in order.
pub fn parameters(query: &str) -> impl Iterator<Item = (Encoded<'_>, Encoded<'_>)> {
    let pieces = query.split('&').filter(|piece| !piece.is_empty());
    pieces.map(|piece| {
        let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
        (Encoded(name.as_bytes()), Encoded(value.as_bytes()))
    })
}

/// The values of each parameter of this name, in order.
pub fn values<'q>(query: &'q str, name: &str) -> impl Iterator<Item = Encoded<'q>> {
    parameters(query).filter(move |(key, _)| key.is(name.as_bytes())).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(query: &str, name: &str) -> Vec<Vec<u8>> {
        values(query, name).map(|value| value.decode().into_owned()).collect()
    }

    #[test]
    fn every_parameter_of_the_name_is_found() {
        assert_eq!(all("v=1&w=2&v=3", "v"), [b"1", b"3"]);
        assert!(all("v=1&vv=2", "V").is_empty());
        assert!(all("", "").is_empty());
    }

    #[test]
    fn a_parameter_without_equals_sign_has_the_empty_value() {
        assert_eq!(all("a&&v&v=", "v"), [b"", b""]);
        assert_eq!(all("v=a=b", "v"), [b"a=b"]);
    }

    #[test]
    fn names_and_values_are_decoded() {
        assert_eq!(all("%76%2B=a+b%26", "v+"), [b"a b&"]);
        assert_eq!(all("v=%ff", "v"), [[0xff]]);
        assert!(values("v=a+%62", "v").all(|value| value.is(b"a b") && !value.is(b"a ") && !value.is(b"a bc")));
    }

    #[test]
    fn broken_escapes_stay_as_they_are() {
        assert_eq!(all("v=%&v=%4&v=%zz&v=100%", "v"), [&b"%"[..], b"%4", b"%zz", b"100%"]);
    }

    #[test]
    fn plain_values_are_borrowed() {
        assert!(values("v=plain", "v").all(|value| matches!(value.decode(), Cow::Borrowed(b"plain"))));
    }
}
