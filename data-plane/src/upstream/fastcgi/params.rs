//! The environment of a request as it goes over the wire: pairs of names and values (specification, 3.4). Pure.

use bytes::{BufMut, Bytes, BytesMut};

use super::record::{self, HEAD, Kind, MAX_CONTENT};

/// Most bytes of a request's environment. The head of a request has at most 72 KiB, and a part of it is there twice.
const MOST: usize = 160 << 10;
/// Room for the environment of a usual request, so that it grows no buffer.
const USUAL: usize = 1 << 10;
/// Lengths below this take one byte, others four.
const SHORT: usize = 0x80;

/// Pairs in records. A pair is never split over two, as php-fpm reads each by itself.
#[derive(Debug)]
pub struct Params {
    records: BytesMut,
    /// Where the record begins that the next pair goes into.
    last: Option<usize>,
}

/// More than an application should have to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the environment of the request is too large")]
pub struct TooLarge;

impl Default for Params {
    fn default() -> Self {
        Self { records: BytesMut::with_capacity(USUAL), last: None }
    }
}

impl Params {
    /// Adds a pair.
    ///
    /// # Errors
    /// If it is too large, or makes the whole too large.
    pub fn push(&mut self, name: &str, value: &[u8]) -> Result<(), TooLarge> {
        let length = length_of(name.len()) + length_of(value.len()) + name.len() + value.len();
        if length > MAX_CONTENT || self.records.len() + length > MOST {
            return Err(TooLarge);
        }
        let record = match self.last {
            Some(record) if self.records.len() - record - HEAD + length <= MAX_CONTENT => record,
            _ => self.open(),
        };
        put_length(&mut self.records, name.len());
        put_length(&mut self.records, value.len());
        self.records.put_slice(name.as_bytes());
        self.records.put_slice(value);
        self.write_head(record);
        Ok(())
    }

    /// Begins a record.
    fn open(&mut self) -> usize {
        let record = self.records.len();
        self.records.put_slice(&[0; HEAD]);
        self.last = Some(record);
        record
    }

    fn write_head(&mut self, record: usize) {
        let length = self.records.len() - record - HEAD;
        // At most `MAX_CONTENT`, which fits.
        let head = record::head(Kind::Params, u16::try_from(length).unwrap_or(u16::MAX));
        self.records[record..record + HEAD].copy_from_slice(&head);
    }

    /// The records, without the empty one that says that there are no more.
    #[must_use]
    pub fn finish(self) -> Bytes {
        self.records.freeze()
    }
}

fn length_of(length: usize) -> usize {
    if length < SHORT { 1 } else { 4 }
}

fn put_length(records: &mut BytesMut, length: usize) {
    match u8::try_from(length) {
        Ok(short) if length < SHORT => records.put_u8(short),
        // At most `MAX_CONTENT`, which fits.
        _ => records.put_u32(u32::try_from(length).unwrap_or(u32::MAX) | 1 << 31),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use bytes::Buf;
    use proptest::prelude::*;

    use super::*;

    fn read_length(bytes: &mut &[u8]) -> usize {
        if bytes[0] < 0x80 { bytes.get_u8().into() } else { (bytes.get_u32() & 0x7fff_ffff).try_into().unwrap() }
    }

    /// The pairs of these records, as an application that reads each record by itself finds them.
    pub(crate) fn pairs(mut records: &[u8]) -> Vec<(String, String)> {
        let mut found = Vec::new();
        while !records.is_empty() {
            assert_eq!(records[1], Kind::Params as u8);
            let length = usize::from(u16::from_be_bytes([records[4], records[5]]));
            let (mut content, rest) = records[HEAD..].split_at(length);
            while !content.is_empty() {
                let (name, value) = (read_length(&mut content), read_length(&mut content));
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                found.push((text(&content[..name]), text(&content[name..name + value])));
                content.advance(name + value);
            }
            records = rest;
        }
        found
    }

    #[test]
    fn u5_short_and_long_lengths_differ_in_size() {
        let mut params = Params::default();
        params.push("A", &[b'x'; 127]).unwrap();
        params.push("B", &[b'y'; 128]).unwrap();
        let records = params.finish();
        assert_eq!(&records[HEAD..HEAD + 3], [1, 127, b'A']);
        assert_eq!(&records[HEAD + 130..HEAD + 136], [1, 0x80, 0, 0, 128, b'B']);
    }

    #[test]
    fn u5_no_pair_is_split_over_two_records() {
        let mut params = Params::default();
        for name in ["A", "B", "C"] {
            params.push(name, &[b'x'; 40_000]).unwrap();
        }
        let names: Vec<_> = pairs(&params.finish()).into_iter().map(|(name, value)| (name, value.len())).collect();
        assert_eq!(names, ["A", "B", "C"].map(|name| (name.to_owned(), 40_000)));
    }

    #[test]
    fn u5_environments_are_bounded() {
        let mut params = Params::default();
        assert_eq!(params.push("A", &[0; MAX_CONTENT]), Err(TooLarge));
        while params.push("A", &[0; 10_000]).is_ok() {}
        assert!(params.finish().len() <= MOST);
    }

    proptest! {
        #[test]
        fn u5_pairs_arrive_as_they_were(sent in prop::collection::vec(("[A-Z_]{1,200}", ".{0,300}"), 0..40)) {
            let mut params = Params::default();
            for (name, value) in &sent {
                params.push(name, value.as_bytes()).unwrap();
            }
            prop_assert_eq!(pairs(&params.finish()), sent);
        }
    }
}
