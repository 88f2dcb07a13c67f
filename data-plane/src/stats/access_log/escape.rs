//! Values in a line of text: nobody who chooses one can end the line, the value or the quotes around it.

use std::fmt::Write as _;

/// Where a value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Context {
    /// Between quotes.
    Quoted,
    /// Between spaces.
    Bare,
}

/// Appends `value`; what it must not have becomes `\xHH` by byte, as in nginx.
pub(super) fn push(out: &mut String, value: &str, context: Context) {
    for c in value.chars() {
        if is_dangerous(c) || (c == ' ' && context == Context::Bare) {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                // Writing to a string does not fail.
                let _ = write!(out, "\\x{byte:02X}");
            }
        } else {
            out.push(c);
        }
    }
}

/// Whether it ends a quote or a line, for some reader of the log, or is not seen at all.
fn is_dangerous(c: char) -> bool {
    matches!(c, '"' | '\\' | '\u{2028}' | '\u{2029}') || c.is_control()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(value: &str, context: Context) -> String {
        let mut out = String::new();
        push(&mut out, value, context);
        out
    }

    #[test]
    fn no_value_ends_its_quote_or_its_line() {
        assert_eq!(escaped("a \"b\" \\ é", Context::Quoted), r"a \x22b\x22 \x5C é");
        assert_eq!(escaped("a\r\n\u{85}\u{2028}\u{7f}\0", Context::Quoted), r"a\x0D\x0A\xC2\x85\xE2\x80\xA8\x7F\x00");
        assert_eq!(escaped("a b", Context::Bare), r"a\x20b");
    }
}
