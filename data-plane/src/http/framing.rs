//! Finds requests whose length is told twice: `Content-Length` beside `Transfer-Encoding`.
//!
//! Proxies that disagree on which one counts see different requests in the same bytes (request
//! smuggling), so such a request is answered 400. hyper's parser drops the `Content-Length`, goes by the
//! chunks and closes the connection afterwards; the dropped header shows nowhere. So [`HeadWatch`] looks at
//! the bytes as they are read.
//!
//! # Lifecycle
//! `Start` until a request line was seen, `Fields` until the blank line, then `Done` until
//! [`HeadWatch::next_message`]. A request that was pipelined behind another's bytes is not seen: it meets
//! hyper's own handling, which is safe but not a 400. What is left of it, or of a body that nobody read, is
//! skipped in `Start`, as it has no request line.

use http::HeaderMap;
use http::header::TRANSFER_ENCODING;

/// Whether a message has a transfer coding besides `chunked`, which would be lost on the next hop.
#[must_use]
pub fn has_unknown_coding(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    codings.next().is_some_and(|first| !first.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"))
        || codings.next().is_some()
}

const FIELD: &[u8] = b"content-length:";
/// How request lines end, without the last digit of the version.
const VERSION: &[u8] = b" HTTP/1.";

/// Watches the bytes of one downstream connection. Holds no heap.
#[derive(Debug, Default)]
pub struct HeadWatch {
    phase: Phase,
    has_length: bool,
    line: SplitLine,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Phase {
    #[default]
    Start,
    Fields,
    Done,
}

impl HeadWatch {
    /// Looks at the next bytes from the client.
    pub fn observe(&mut self, chunk: &[u8]) {
        let mut rest = chunk;
        while self.phase != Phase::Done && !rest.is_empty() {
            let Some(end) = memchr::memchr(b'\n', rest) else { return self.line.push(rest) };
            self.end_line(&rest[..end]);
            rest = &rest[end + 1..];
        }
    }

    /// The request that was watched is over; the next bytes belong to another.
    pub fn next_message(&mut self) {
        *self = Self::default();
    }

    /// Whether the head so far has a `Content-Length`. If hyper then says that the request is chunked, it
    /// was told twice how long the request is.
    #[must_use]
    pub fn has_length(&self) -> bool {
        self.has_length
    }

    fn end_line(&mut self, end: &[u8]) {
        if self.line.len == 0 {
            self.see(end, end);
        } else {
            self.line.push(end);
            let line = std::mem::take(&mut self.line);
            self.see(line.first(), line.last());
        }
    }

    /// Judges a line, without its line feed, by how it begins and ends.
    fn see(&mut self, first: &[u8], last: &[u8]) {
        match self.phase {
            Phase::Start if is_request_line(last) => self.phase = Phase::Fields,
            Phase::Fields if matches!(first, b"" | b"\r") => self.phase = Phase::Done,
            Phase::Fields => self.has_length |= is_length(first),
            Phase::Start | Phase::Done => {}
        }
    }
}

fn is_length(line: &[u8]) -> bool {
    line.get(..FIELD.len()).is_some_and(|name| name.eq_ignore_ascii_case(FIELD))
}

fn is_request_line(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    line.split_last().is_some_and(|(_, before)| before.ends_with(VERSION))
}

/// Both ends of a line that came in several chunks.
#[derive(Debug, Default)]
struct SplitLine {
    len: usize,
    first: [u8; FIELD.len()],
    /// The last bytes, the newest at the end.
    last: [u8; VERSION.len() + 2],
}

impl SplitLine {
    fn push(&mut self, part: &[u8]) {
        let start = self.len.min(self.first.len());
        let taken = part.len().min(self.first.len() - start);
        self.first[start..start + taken].copy_from_slice(&part[..taken]);
        let new = part.len().min(self.last.len());
        self.last.rotate_left(new);
        let kept = self.last.len() - new;
        self.last[kept..].copy_from_slice(&part[part.len() - new..]);
        self.len += part.len();
    }

    fn first(&self) -> &[u8] {
        &self.first[..self.len.min(self.first.len())]
    }

    fn last(&self) -> &[u8] {
        &self.last[self.last.len() - self.len.min(self.last.len())..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether `bytes` are ambiguous, fed in pieces of each size.
    fn ambiguous(bytes: &str) -> bool {
        let verdict = |size| {
            let mut watch = HeadWatch::default();
            bytes.as_bytes().chunks(size).for_each(|chunk| watch.observe(chunk));
            watch.has_length()
        };
        let whole = verdict(bytes.len());
        for size in 1..bytes.len() {
            assert_eq!(verdict(size), whole, "in pieces of {size}: {bytes:?}");
        }
        whole
    }

    #[test]
    fn content_length_beside_transfer_encoding_is_found_in_any_chunks() {
        assert!(ambiguous("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"));
        assert!(ambiguous("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\nCONTENT-LENGTH:5\r\n\r\n0\r\n\r\n"));
        assert!(ambiguous("\r\n\nPOST / HTTP/1.1\ncontent-length: 5\n\n"));
    }

    #[test]
    fn a_chunked_request_has_no_length() {
        assert!(!ambiguous("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"));
    }

    #[test]
    fn similar_headers_and_values_are_not_content_length() {
        assert!(!ambiguous("POST /content-length: HTTP/1.1\r\nX-Content-Length: 5\r\nContent-Length-X: 5\r\n\r\n"));
        assert!(!ambiguous("POST / HTTP/1.1\r\nA: content-length: 5\r\nContent-Lengt\r\n: 5\r\n\r\n"));
    }

    #[test]
    fn only_chunked_alone_is_a_known_coding() {
        let unknown = |values: &[&str]| {
            let headers = values.iter().map(|v| (TRANSFER_ENCODING, v.parse().unwrap()));
            has_unknown_coding(&headers.collect())
        };
        assert!(!unknown(&[]) && !unknown(&["chunked"]) && !unknown(&["Chunked"]));
        assert!(unknown(&["gzip, chunked"]) && unknown(&["gzip", "chunked"]) && unknown(&["identity"]));
    }

    #[test]
    fn bodies_are_ignored() {
        assert!(!ambiguous("POST / HTTP/1.1\r\nA: b\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n"));
        assert!(!ambiguous("POST / HTTP/1.1\n\ncontent-length: 5\n"));
    }

    #[test]
    fn each_message_is_judged_alone() {
        let mut watch = HeadWatch::default();
        watch.observe(b"POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\nhello");
        watch.next_message();
        watch.observe(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
        assert!(!watch.has_length());
        watch.next_message();
        watch.observe(b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n");
        assert!(watch.has_length());
    }

    #[test]
    fn what_is_left_of_an_earlier_message_is_skipped() {
        let mut watch = HeadWatch::default();
        watch.observe(b"rest of a body\r\nContent-Length: 5\r\n\r\nPOST / HTTP/1.1\r\nHost: a\r\n");
        assert!(!watch.has_length());
        watch.observe(b"content-length: 5\r\n");
        assert!(watch.has_length());
    }
}
