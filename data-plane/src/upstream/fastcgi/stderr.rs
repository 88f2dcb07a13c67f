//! What scripts complain of, to the log: whole lines, and not without end.

use std::fmt;

use tracing::warn;
use weir_proto::model::ResourceName;

use crate::http::request_id::RequestId;

/// Most bytes of one line; the rest of it is left out.
const LONGEST_LINE: usize = 4 << 10;
/// Most bytes of one request; a script in a loop must not fill a disk.
const MOST: usize = 16 << 10;

/// Whose complaints they are.
#[derive(Debug, Clone)]
pub struct Tag {
    /// The Backend.
    pub backend: ResourceName,
    /// The request; `None` is a probe.
    pub request: Option<RequestId>,
}

/// Standard error of one request.
#[derive(Debug)]
pub struct Stderr {
    tag: Tag,
    lines: Lines,
}

impl Stderr {
    /// Nothing yet.
    #[must_use]
    pub fn new(tag: Tag) -> Self {
        Self { tag, lines: Lines::default() }
    }

    /// Logs the lines that `text` completes.
    pub fn push(&mut self, text: &[u8]) {
        self.lines.push(text, |line| self.tag.log(line));
    }

    /// The request is over: logs what is left.
    pub fn finish(&mut self) {
        self.lines.finish(|line| self.tag.log(line));
    }
}

impl Tag {
    /// Quoted, so that no script writes lines of its own into the log.
    fn log(&self, line: &str) {
        match self.request {
            Some(request) => {
                warn!(backend = %self.backend, %request, stderr = ?line, "a FastCGI application complains")
            }
            None => warn!(backend = %self.backend, stderr = ?line, "a FastCGI application complains of a probe"),
        }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.request {
            Some(request) => write!(f, "request {request} to {}", self.backend),
            None => write!(f, "a probe of {}", self.backend),
        }
    }
}

/// Cuts text into lines within limits.
#[derive(Debug, Default)]
struct Lines {
    line: Vec<u8>,
    /// Bytes so far.
    seen: usize,
}

impl Lines {
    fn push(&mut self, text: &[u8], mut log: impl FnMut(&str)) {
        let taken = &text[..text.len().min(MOST.saturating_sub(self.seen))];
        self.seen += text.len();
        for part in taken.split_inclusive(|&byte| byte == b'\n') {
            let room = LONGEST_LINE - self.line.len();
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            if part.ends_with(b"\n") {
                self.end_line(&mut log);
            }
        }
    }

    fn end_line(&mut self, log: &mut impl FnMut(&str)) {
        let line = self.line.trim_ascii_end();
        if !line.is_empty() {
            log(&String::from_utf8_lossy(line));
        }
        self.line.clear();
    }

    fn finish(&mut self, mut log: impl FnMut(&str)) {
        self.end_line(&mut log);
        if self.seen > MOST {
            log(&format!("({} bytes more)", self.seen - MOST));
        }
        self.seen = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(parts: &[&[u8]]) -> Vec<String> {
        let (mut lines, mut logged) = (Lines::default(), Vec::new());
        for part in parts {
            lines.push(part, |line| logged.push(line.to_owned()));
        }
        lines.finish(|line| logged.push(line.to_owned()));
        logged
    }

    #[test]
    fn u5_complaints_are_logged_by_whole_lines() {
        assert_eq!(lines(&[b"on", b"e\r\ntwo\n\n", b"thr", b"ee"]), ["one", "two", "three"]);
        assert_eq!(lines(&[b"bad \xff byte"]), ["bad \u{fffd} byte"]);
        assert!(lines(&[b"\n"]).is_empty());
    }

    #[test]
    fn u5_complaints_are_bounded() {
        let long = [b'x'; 3 * LONGEST_LINE];
        assert_eq!(lines(&[&long, b"\nnext"]), ["x".repeat(LONGEST_LINE), "next".to_owned()]);
        let endless = lines(&[&b"spam and more spam!\n".repeat(10_000)]);
        assert_eq!(endless.iter().map(|line| line.len() + 1).sum::<usize>(), MOST + 2 + endless.last().unwrap().len());
        assert_eq!(endless.last().unwrap(), &format!("({} bytes more)", 200_000 - MOST));
    }
}
