//! The one form of a request's path that matching, plugins and the upstream see (M5).
//!
//! RFC 3986, 6.2.2: dot segments are removed, escapes of unreserved characters are decoded, and the
//! hex digits of the escapes that stay are upper case. Characters outside ASCII become escapes of
//! their UTF-8 bytes (RFC 3987, 3.1), so that the form is plain ASCII. `%2F` is no separator and stays;
//! so do empty segments, which mean something to some upstreams.

use std::borrow::Cow;

/// A path that has no normal form; the request is answered 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    /// It does not begin with a slash, and is not the `*` of OPTIONS.
    #[error("the path does not begin with '/'")]
    Relative,
    /// A `%` without two hex digits.
    #[error("the path has a '%' without two hex digits")]
    Escape,
    /// A control character, plain or escaped.
    #[error("the path has a control character")]
    Control,
}

/// The normal form of `path`, which has no query. An empty path is `/`; `*` stays.
///
/// Paths in normal form are borrowed after one scan.
///
/// # Errors
/// If the path has no normal form.
pub fn normalise(path: &str) -> Result<Cow<'_, str>, BadPath> {
    match path.as_bytes() {
        [] => Ok(Cow::Borrowed("/")),
        b"*" => Ok(Cow::Borrowed(path)),
        [b'/', rest @ ..] if !is_suspicious(path.as_bytes(), rest) => Ok(Cow::Borrowed(path)),
        [b'/', ..] => rewrite(path).map(Cow::Owned),
        _ => Err(BadPath::Relative),
    }
}

/// Whether `/.`, an escape, a control or a character outside ASCII occurs. Without branches, so that the
/// compiler looks at 16 bytes at a time. `rest` is `path` from its second byte.
fn is_suspicious(path: &[u8], rest: &[u8]) -> bool {
    let pairs = path.iter().zip(rest);
    pairs.fold(false, |found, (&previous, &byte)| {
        found | (byte == b'%') | !(b' '..0x7f).contains(&byte) | ((previous == b'/') & (byte == b'.'))
    })
}

fn rewrite(path: &str) -> Result<String, BadPath> {
    // Escapes first: `%2e` is a dot.
    let decoded = decode_unreserved(path)?;
    Ok(remove_dot_segments(&decoded))
}

fn decode_unreserved(path: &str) -> Result<String, BadPath> {
    let mut out = String::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => push_normal(&mut out, escaped(bytes.next(), bytes.next())?)?,
            0x80.. => push_escape(&mut out, byte),
            _ if byte.is_ascii_control() => return Err(BadPath::Control),
            _ => out.push(char::from(byte)),
        }
    }
    Ok(out)
}

fn escaped(high: Option<u8>, low: Option<u8>) -> Result<u8, BadPath> {
    let digit = |c: Option<u8>| c.and_then(super::percent::hex_digit).ok_or(BadPath::Escape);
    Ok(digit(high)? << 4 | digit(low)?)
}

fn push_normal(out: &mut String, byte: u8) -> Result<(), BadPath> {
    match byte {
        b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
        _ if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
        _ if byte.is_ascii_control() => return Err(BadPath::Control),
        _ => push_escape(out, byte),
    }
    Ok(())
}

fn push_escape(out: &mut String, byte: u8) {
    const DIGITS: [u8; 16] = *b"0123456789ABCDEF";
    out.push('%');
    out.push(char::from(DIGITS[usize::from(byte >> 4)]));
    out.push(char::from(DIGITS[usize::from(byte & 15)]));
}

/// RFC 3986, 5.2.4, by segments; `..` at the root stays there. `path` begins with a slash.
fn remove_dot_segments(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut ends_in_directory = false;
    for segment in path[1..].split('/') {
        ends_in_directory = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => out.truncate(out.rfind('/').unwrap_or(0)),
            _ => {
                out.push('/');
                out.push_str(segment);
            }
        }
    }
    if ends_in_directory || out.is_empty() {
        out.push('/');
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn normal(path: &str) -> String {
        normalise(path).unwrap().into_owned()
    }

    #[test]
    fn m5_normal_paths_are_borrowed() {
        for path in ["/", "/api/v1", "/a//b/", "/index.html", "/a..b/c.", "/a~b", "*", ""] {
            assert!(matches!(normalise(path), Ok(Cow::Borrowed(_))), "{path}");
        }
        assert_eq!((normal(""), normal("*")), ("/".into(), "*".into()));
    }

    #[test]
    fn m5_dot_segments_are_removed() {
        let cases = [
            ("/a/b/c/./../../g", "/a/g"),
            ("/mid/content=5/../6", "/mid/6"),
            ("/a/.", "/a/"),
            ("/a/b/..", "/a/"),
            ("/a/..", "/"),
            ("/.", "/"),
            ("/./a", "/a"),
            ("/.hidden/..x/...", "/.hidden/..x/..."),
        ];
        for (path, expected) in cases {
            assert_eq!(normal(path), expected, "{path}");
        }
    }

    #[test]
    fn m5_dot_segments_do_not_leave_the_root() {
        for path in ["/..", "/../", "/../..", "/a/../../..", "/%2e%2E/.%2e/%2e."] {
            assert_eq!(normal(path), "/", "{path}");
        }
        assert_eq!(normal("/../../etc/passwd"), "/etc/passwd");
    }

    #[test]
    fn m5_escaped_dots_count_as_dots() {
        assert_eq!(normal("/a/%2e%2e/b"), "/b");
        assert_eq!(normal("/a/%2E/b"), "/a/b");
    }

    #[test]
    fn m5_escapes_of_unreserved_characters_are_decoded_once() {
        assert_eq!(normal("/%61%7e%2D%5f%39"), "/a~-_9");
        assert_eq!(normal("/%2561"), "/%2561");
    }

    #[test]
    fn m5_other_escapes_stay_in_upper_case() {
        assert_eq!(normal("/a%2fb%3a%20"), "/a%2Fb%3A%20");
        assert_eq!(normal("/a/..%2f..%2fb"), "/a/..%2F..%2Fb");
        assert_eq!(normal("/caf%c3%a9"), "/caf%C3%A9");
        assert_eq!(normal("/café"), "/caf%C3%A9");
    }

    #[test]
    fn m5_empty_segments_stay() {
        assert_eq!(normal("//a//b//./c"), "//a//b//c");
        assert_eq!(normal("/a//../b"), "/a/b");
    }

    #[test]
    fn m5_paths_without_a_normal_form_are_refused() {
        for path in ["/%", "/%4", "/%zz", "/a%2", "/%é"] {
            assert_eq!(normalise(path), Err(BadPath::Escape), "{path}");
        }
        for path in ["/%00", "/a%0a", "/%7F", "/a\u{1}", "/a\u{7f}"] {
            assert_eq!(normalise(path), Err(BadPath::Control), "{path}");
        }
        for path in ["a", "**", "?", "http://a/"] {
            assert_eq!(normalise(path), Err(BadPath::Relative), "{path}");
        }
    }

    proptest! {
        #[test]
        fn m5_normalising_twice_changes_nothing(path in "/([./a%25eE2fF0-9é-]|%2[eEfF]|\\.\\.){0,24}") {
            if let Ok(once) = normalise(&path) {
                prop_assert_eq!(normalise(&once).unwrap(), once.as_ref());
            }
        }

        #[test]
        fn m5_the_normal_form_is_absolute_ascii_without_dot_segments(path in "/([./ab]|%2[eEfF]|%[46]1|é){0,24}") {
            let normal = normalise(&path).unwrap();
            prop_assert!(normal.starts_with('/') && normal.is_ascii());
            prop_assert!(!normal.split('/').any(|segment| matches!(segment, "." | "..")));
        }

        #[test]
        fn m5_any_text_is_normalised_or_refused(path in "/?.*") {
            let _ = normalise(&path);
        }
    }
}
