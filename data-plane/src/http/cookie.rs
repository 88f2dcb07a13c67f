//! Reads a request's cookies (RFC 6265, 4.2) where they lie.

use http::HeaderMap;
use http::header::COOKIE;

/// The first cookie of this name; quotes around a value are part of it.
#[must_use]
pub fn value<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h [u8]> {
    let mut pairs = headers.get_all(COOKIE).iter().flat_map(|header| pairs(header.as_bytes()));
    pairs.find(|(key, _)| *key == name.as_bytes()).map(|(_, value)| value)
}

fn pairs(header: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    header.split(|byte| *byte == b';').filter_map(|pair| {
        let equals = memchr::memchr(b'=', pair)?;
        Some((pair[..equals].trim_ascii(), pair[equals + 1..].trim_ascii()))
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(cookies: &[&'static str]) -> HeaderMap {
        cookies.iter().map(|text| (COOKIE, HeaderValue::from_static(text))).collect()
    }

    #[test]
    fn the_first_cookie_of_the_name_is_found() {
        let headers = headers(&["a=1; ab=2;b=3 ; b=4", "c=5"]);
        let get = |name| value(&headers, name);
        assert_eq!(get("a"), Some(&b"1"[..]));
        assert_eq!(get("b"), Some(&b"3"[..]));
        assert_eq!(get("c"), Some(&b"5"[..]));
        assert_eq!((get("d"), get("A"), get("")), (None, None, None));
    }

    #[test]
    fn values_may_be_empty_or_hold_equals_signs() {
        let headers = headers(&["flag; empty=; base64=YQ==; quoted=\"x\""]);
        assert_eq!(value(&headers, "flag"), None);
        assert_eq!(value(&headers, "empty"), Some(&b""[..]));
        assert_eq!(value(&headers, "base64"), Some(&b"YQ=="[..]));
        assert_eq!(value(&headers, "quoted"), Some(&b"\"x\""[..]));
    }
}
