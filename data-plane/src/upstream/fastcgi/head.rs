//! The head of a script's output: header fields until an empty line (RFC 3875, 6.2 and 6.3). Pure.

use std::str;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// Most bytes of a head.
const MOST: usize = 64 << 10;

/// The head of a response.
#[derive(Debug)]
pub struct Head {
    /// What `Status` says, 302 with a `Location` alone, else 200.
    pub status: StatusCode,
    /// The other fields.
    pub headers: HeaderMap,
    /// The length that is announced.
    pub length: Option<u64>,
}

/// A head that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadHead {
    /// Not a field's name, a colon and its value.
    #[error("{0:?} is no header field")]
    Field(String),
    /// A status that no answer has.
    #[error("{0:?} is no status")]
    Status(String),
    /// A length that is none, or two.
    #[error("{0:?} is no length")]
    Length(String),
    /// Not one field.
    #[error("there is no header field")]
    Empty,
    /// Longer than 64 KiB.
    #[error("the head is too large")]
    TooLarge,
}

/// Gathers output until the head is complete.
#[derive(Debug, Default)]
pub struct Parser {
    text: BytesMut,
    /// Where the line begins that is not complete yet.
    line: usize,
}

impl Parser {
    /// Takes more output; gives the head and what follows it as soon as it is complete.
    ///
    /// # Errors
    /// If it is no head.
    pub fn feed(&mut self, output: &[u8]) -> Result<Option<(Head, Bytes)>, BadHead> {
        self.text.extend_from_slice(output);
        while let Some(length) = memchr::memchr(b'\n', &self.text[self.line..]) {
            let end = self.line + length;
            let is_blank = matches!(&self.text[self.line..end], b"" | b"\r");
            self.line = end + 1;
            if self.line > MOST {
                break;
            }
            if is_blank {
                let body = self.text.split_off(self.line);
                return parse(&self.text).map(|head| Some((head, body.freeze())));
            }
        }
        if self.text.len() > MOST { Err(BadHead::TooLarge) } else { Ok(None) }
    }
}

fn parse(text: &[u8]) -> Result<Head, BadHead> {
    let mut head = Head { status: StatusCode::OK, headers: HeaderMap::new(), length: None };
    let mut status = None;
    let lines = text.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    for line in lines.filter(|line| !line.is_empty()) {
        let (name, value) = parse_field(line).ok_or_else(|| BadHead::Field(shown(line)))?;
        match name {
            _ if name == "status" => status = Some(parse_status(value.as_bytes())?),
            CONTENT_LENGTH => head.announce(value)?,
            _ => drop(head.headers.try_append(name, value).map_err(|_| BadHead::TooLarge)?),
        }
    }
    if status.is_none() && head.headers.is_empty() && head.length.is_none() {
        return Err(BadHead::Empty);
    }
    let by_location = head.headers.contains_key(LOCATION).then_some(StatusCode::FOUND);
    head.status = status.or(by_location).unwrap_or_default();
    Ok(head)
}

impl Head {
    fn announce(&mut self, value: HeaderValue) -> Result<(), BadHead> {
        let length = digits(value.as_bytes()).and_then(|text| text.parse().ok());
        let (Some(length), None) = (length, self.length) else {
            return Err(BadHead::Length(shown(value.as_bytes())));
        };
        self.length = Some(length);
        self.headers.insert(CONTENT_LENGTH, value);
        Ok(())
    }
}

fn parse_field(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = memchr::memchr(b':', line)?;
    let name = HeaderName::from_bytes(&line[..colon]).ok()?;
    Some((name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?))
}

/// `404 Not Found`, or the number alone. What only an interim or a switching answer has is none.
fn parse_status(value: &[u8]) -> Result<StatusCode, BadHead> {
    let number = value.split(|&byte| byte == b' ').next().unwrap_or_default();
    let status = StatusCode::from_bytes(number).ok().filter(|status| (200..600).contains(&status.as_u16()));
    status.ok_or_else(|| BadHead::Status(shown(value)))
}

fn digits(text: &[u8]) -> Option<&str> {
    let all = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    str::from_utf8(text).ok().filter(|_| all)
}

/// The beginning of what a script said, for people.
fn shown(text: &[u8]) -> String {
    String::from_utf8_lossy(&text[..text.len().min(60)]).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse_all(output: &[u8]) -> Result<Option<(Head, Bytes)>, BadHead> {
        Parser::default().feed(output)
    }

    fn head(output: &str) -> Head {
        parse_all(output.as_bytes()).unwrap().unwrap().0
    }

    fn error(output: &str) -> BadHead {
        parse_all(output.as_bytes()).unwrap_err()
    }

    #[test]
    fn u5_a_head_is_fields_and_an_empty_line_of_either_ending() {
        for text in ["Content-type: text/x\r\nX-A:1\r\n\r\nbody", "Content-type:text/x \nX-A: 1\n\nbody"] {
            let (head, body) = parse_all(text.as_bytes()).unwrap().unwrap();
            assert_eq!((head.status, &body[..]), (StatusCode::OK, &b"body"[..]));
            assert_eq!(
                (&head.headers["content-type"], &head.headers["x-a"]),
                (&"text/x".parse().unwrap(), &"1".parse().unwrap())
            );
        }
    }

    #[test]
    fn u5_a_head_may_come_in_parts() {
        let text = b"Status: 201 Created\r\nX-A: 1\r\n\r\nbody";
        for cut in 0..text.len() - 4 {
            let mut parser = Parser::default();
            assert!(parser.feed(&text[..cut]).unwrap().is_none());
            let (head, body) = parser.feed(&text[cut..]).unwrap().unwrap();
            assert_eq!((head.status.as_u16(), &body[..]), (201, &b"body"[..]));
        }
    }

    #[test]
    fn u5_status_and_location_say_what_the_answer_is() {
        let status = |text: &str| head(text).status.as_u16();
        assert_eq!(status("Status: 404 Not Found\n\n"), 404);
        assert_eq!(status("status: 599\nLocation: /x\n\n"), 599);
        assert_eq!(status("Location: http://a/\n\n"), 302);
        assert_eq!(status("Content-Type: a/b\n\n"), 200);
        assert!(!head("Status: 404\nA: b\n\n").headers.contains_key("status"));
    }

    #[test]
    fn u5_heads_that_are_none_are_refused() {
        assert_eq!(error("<html>\n\n"), BadHead::Field("<html>".into()));
        assert_eq!(error("a b: c\n\n"), BadHead::Field("a b: c".into()));
        assert_eq!(error("A: b\n folded\n\n"), BadHead::Field(" folded".into()));
        assert_eq!(error("A: \0\n\n"), BadHead::Field("A: \0".into()));
        assert_eq!(error("\r\nbody"), BadHead::Empty);
        for status in ["", "abc", "20", "2000", "100", "101 Switching", "600"] {
            assert_eq!(error(&format!("Status: {status}\n\n")), BadHead::Status(status.into()));
        }
        for length in ["", "-1", "+1", "5 ,5", "99999999999999999999999"] {
            assert_eq!(error(&format!("Content-Length: {length}\n\n")), BadHead::Length(length.into()));
        }
        assert_eq!(error("Content-Length: 5\nContent-Length: 5\n\n"), BadHead::Length("5".into()));
    }

    #[test]
    fn u5_heads_are_bounded() {
        let mut parser = Parser::default();
        assert!(parser.feed(&[b'a'; MOST]).unwrap().is_none());
        assert_eq!(parser.feed(b"a").unwrap_err(), BadHead::TooLarge);
        assert_eq!(parse_all(&b"a: b\n".repeat(MOST / 5 + 1)).unwrap_err(), BadHead::TooLarge);
        let many = b"a:\n".repeat(MOST / 3 - 1);
        assert_eq!(parse_all(&[&many[..], b"\n"].concat()).unwrap().unwrap().0.headers.len(), MOST / 3 - 1);
        let body = [b"A: b\n\n", &[b'x'; 2 * MOST][..]].concat();
        assert_eq!(parse_all(&body).unwrap().unwrap().1.len(), 2 * MOST, "a body is not a part of the head");
    }

    proptest! {
        #[test]
        fn u5_no_output_upsets_the_parser(output in prop::collection::vec(any::<u8>(), 0..300), cut: prop::sample::Index) {
            let whole = parse_all(&output).map(|found| found.map(|(head, _)| head.status));
            let mut parser = Parser::default();
            let cut = cut.index(output.len() + 1);
            let first = parser.feed(&output[..cut]);
            let parts = match first {
                Ok(None) => parser.feed(&output[cut..]),
                found => found,
            };
            prop_assert_eq!(parts.map(|found| found.map(|(head, _)| head.status)), whole);
        }
    }
}
