//! Records: what both sides say on a connection (specification, 3.3). Pure.

use bytes::{Buf, Bytes, BytesMut};

/// Most bytes of content in one record.
pub const MAX_CONTENT: usize = 0xffff;
/// Bytes before the content.
pub const HEAD: usize = 8;

const VERSION: u8 = 1;
/// Number of the one request of a connection.
const REQUEST: u16 = 1;
const ROLE_RESPONDER: u8 = 1;
const KEEP_CONNECTION: u8 = 1;
/// Bytes of an end of request.
const END: usize = 8;

/// What we say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A request begins.
    Begin = 1,
    /// It is not wanted any more.
    Abort = 2,
    /// A part of its environment.
    Params = 4,
    /// A part of its body.
    Stdin = 5,
}

/// What an application says, in parts: a long record need not be complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Of its output. Never empty.
    Stdout(Bytes),
    /// Of its complaints. Never empty.
    Stderr(Bytes),
    /// The request is over.
    End(End),
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// Exit status of the script.
    pub app_status: u32,
    /// What the application made of the request.
    pub verdict: Verdict,
}

/// What an application made of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It ran.
    Complete,
    /// One connection has one request, says an application that was sent none besides.
    CannotMultiplex,
    /// No room for it.
    Overloaded,
    /// It is no responder.
    UnknownRole,
    /// A number that the specification does not have.
    Unknown(u8),
}

/// Bytes that are no record that an application may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadRecord {
    /// Another protocol, or lost count of bytes.
    #[error("version {0} of the protocol")]
    Version(u8),
    /// A type that only we may send, or nobody.
    #[error("a record of type {0}")]
    Kind(u8),
    /// Of a request that there is not.
    #[error("a record of request {0}")]
    Request(u16),
    /// An end of request of the wrong length.
    #[error("an end of request of {0} bytes")]
    End(u16),
}

/// The head of a record of ours.
#[must_use]
pub const fn head(kind: Kind, length: u16) -> [u8; HEAD] {
    let [request_high, request_low] = REQUEST.to_be_bytes();
    let [high, low] = length.to_be_bytes();
    [VERSION, kind as u8, request_high, request_low, high, low, 0, 0]
}

/// The record that begins a request. `keep`: the application is asked not to close afterwards.
#[must_use]
pub const fn begin(keep: bool) -> &'static [u8] {
    if keep { &const { begin_with(KEEP_CONNECTION) } } else { &const { begin_with(0) } }
}

const fn begin_with(flags: u8) -> [u8; HEAD + 8] {
    let [version, kind, request_high, request_low, high, low, ..] = head(Kind::Begin, 8);
    [version, kind, request_high, request_low, high, low, 0, 0, 0, ROLE_RESPONDER, flags, 0, 0, 0, 0, 0]
}

/// A record without content, which ends its stream.
#[must_use]
pub const fn empty(kind: Kind) -> &'static [u8] {
    match kind {
        Kind::Begin => &const { head(Kind::Begin, 0) },
        Kind::Abort => &const { head(Kind::Abort, 0) },
        Kind::Params => &const { head(Kind::Params, 0) },
        Kind::Stdin => &const { head(Kind::Stdin, 0) },
    }
}

/// Takes an application's bytes apart.
///
/// # Lifecycle
/// `Head` until eight bytes are there, then `Content` until all of it was given, piece by piece as it comes, then
/// `Padding`. An end of request is given when its padding has come, so that nothing of it is left on the connection.
#[derive(Debug, Default)]
pub struct Decoder(State);

#[derive(Debug, Clone, Copy, Default)]
enum State {
    #[default]
    Head,
    Content {
        source: Source,
        left: usize,
        padding: usize,
    },
    Padding(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Stdout,
    Stderr,
    End,
}

impl Decoder {
    /// The next piece of `input`, which is taken out of it; `None` if more bytes must come first.
    ///
    /// # Errors
    /// If the bytes are no record that an application may send. Nothing that follows means anything then.
    pub fn next(&mut self, input: &mut BytesMut) -> Result<Option<Piece>, BadRecord> {
        loop {
            match self.0 {
                State::Head if input.len() < HEAD => return Ok(None),
                State::Head => self.0 = read_head(input)?,
                State::Content { source: Source::End, padding, .. } => return Ok(self.end(input, padding)),
                State::Content { left: 0, padding, .. } => self.0 = State::Padding(padding),
                State::Content { source, left, padding } => {
                    let content = input.split_to(left.min(input.len())).freeze();
                    self.0 = State::Content { source, left: left - content.len(), padding };
                    return Ok((!content.is_empty()).then(|| source.piece(content)));
                }
                State::Padding(0) => self.0 = State::Head,
                State::Padding(_) if input.is_empty() => return Ok(None),
                State::Padding(left) => {
                    let some = left.min(input.len());
                    input.advance(some);
                    self.0 = State::Padding(left - some);
                }
            }
        }
    }

    fn end(&mut self, input: &mut BytesMut, padding: usize) -> Option<Piece> {
        if input.len() < END + padding {
            return None;
        }
        let app_status = input.get_u32();
        let verdict = match input.get_u8() {
            0 => Verdict::Complete,
            1 => Verdict::CannotMultiplex,
            2 => Verdict::Overloaded,
            3 => Verdict::UnknownRole,
            number => Verdict::Unknown(number),
        };
        input.advance(3 + padding);
        self.0 = State::Head;
        Some(Piece::End(End { app_status, verdict }))
    }
}

impl Source {
    fn piece(self, content: Bytes) -> Piece {
        if self == Self::Stdout { Piece::Stdout(content) } else { Piece::Stderr(content) }
    }
}

/// `input` has a whole head.
fn read_head(input: &mut BytesMut) -> Result<State, BadRecord> {
    let (version, kind) = (input.get_u8(), input.get_u8());
    let (request, length, padding, _reserved) = (input.get_u16(), input.get_u16(), input.get_u8(), input.get_u8());
    if version != VERSION {
        return Err(BadRecord::Version(version));
    }
    let source = match kind {
        3 if usize::from(length) != END => return Err(BadRecord::End(length)),
        3 => Source::End,
        6 => Source::Stdout,
        7 => Source::Stderr,
        _ => return Err(BadRecord::Kind(kind)),
    };
    if request != REQUEST {
        return Err(BadRecord::Request(request));
    }
    Ok(State::Content { source, left: length.into(), padding: padding.into() })
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A record of an application.
    pub(crate) fn said(kind: u8, content: &[u8], padding: u8) -> Vec<u8> {
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        let mut record = vec![1, kind, 0, 1, length[0], length[1], padding, 0];
        record.extend_from_slice(content);
        record.extend(std::iter::repeat_n(0xaa, padding.into()));
        record
    }

    /// An end of request.
    pub(crate) fn end(app_status: u8, verdict: u8) -> Vec<u8> {
        said(3, &[0, 0, 0, app_status, verdict, 0, 0, 0], 0)
    }

    /// Output, complaints, end.
    type Heard = (Vec<u8>, Vec<u8>, Option<End>);

    /// What `bytes` say, fed in parts of this size.
    fn decode(bytes: &[u8], part: usize) -> Result<Heard, BadRecord> {
        let (mut decoder, mut input) = (Decoder::default(), BytesMut::new());
        let (mut stdout, mut stderr, mut ended) = (Vec::new(), Vec::new(), None);
        for part in bytes.chunks(part) {
            input.extend_from_slice(part);
            while let Some(piece) = decoder.next(&mut input)? {
                match piece {
                    Piece::Stdout(bytes) => stdout.extend_from_slice(&bytes),
                    Piece::Stderr(bytes) => stderr.extend_from_slice(&bytes),
                    Piece::End(end) => ended = Some(end),
                }
            }
        }
        Ok((stdout, stderr, ended))
    }

    #[test]
    fn u5_records_are_read_however_they_come_in() {
        let bytes = [said(6, b"hello ", 2), said(7, b"oh", 0), said(6, b"world", 255), said(6, b"", 3), end(7, 0)];
        let bytes = bytes.concat();
        for part in 1..=bytes.len() {
            let end = End { app_status: 7, verdict: Verdict::Complete };
            assert_eq!(decode(&bytes, part), Ok((b"hello world".to_vec(), b"oh".to_vec(), Some(end))), "{part}");
        }
    }

    #[test]
    fn u5_an_end_is_given_with_its_padding() {
        let bytes = said(3, &[0; 8], 4);
        assert_eq!(decode(&bytes[..bytes.len() - 1], 64).unwrap().2, None);
        assert!(decode(&bytes, 64).unwrap().2.is_some());
    }

    #[test]
    fn u5_what_no_application_may_say_is_refused() {
        let bad = |bytes: &[u8]| decode(bytes, 64).unwrap_err();
        assert_eq!(bad(b"HTTP/1.1 400 Bad"), BadRecord::Version(b'H'));
        for kind in [0, 1, 2, 4, 5, 8, 9, 10, 11, 255] {
            assert_eq!(bad(&said(kind, b"x", 0)), BadRecord::Kind(kind));
        }
        assert_eq!(bad(&[1, 6, 0, 2, 0, 0, 0, 0]), BadRecord::Request(2));
        assert_eq!(bad(&said(3, b"short", 0)), BadRecord::End(5));
    }

    #[test]
    fn u5_our_records_say_who_we_are() {
        assert_eq!(begin(true), [1, 1, 0, 1, 0, 8, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]);
        assert_eq!(begin(false)[10], 0);
        assert_eq!(head(Kind::Stdin, 0x1234), [1, 5, 0, 1, 0x12, 0x34, 0, 0]);
    }

    proptest! {
        /// Any bytes are records or refused, in the same way however they are cut, and never more than came in.
        #[test]
        fn u5_no_bytes_upset_the_decoder(bytes in prop::collection::vec(any::<u8>(), 0..600), part in 1..600_usize) {
            prop_assert_eq!(decode(&bytes, part), decode(&bytes, 1));
        }

        /// Records with a byte changed somewhere, which get further than chance alone.
        #[test]
        fn u5_no_broken_record_upsets_the_decoder(
            contents in prop::collection::vec((6..=7_u8, prop::collection::vec(any::<u8>(), 0..80), any::<u8>()), 1..6),
            place: prop::sample::Index, byte: u8, part in 1..200_usize,
        ) {
            let mut bytes: Vec<u8> = contents.iter().flat_map(|(kind, text, padding)| said(*kind, text, *padding)).collect();
            bytes.extend(end(0, 0));
            let place = place.index(bytes.len());
            bytes[place] = byte;
            let whole = decode(&bytes, 1);
            prop_assert_eq!(&decode(&bytes, part), &whole);
            if let Ok((stdout, stderr, _)) = whole {
                prop_assert!(stdout.len() + stderr.len() <= bytes.len());
            }
        }
    }
}
