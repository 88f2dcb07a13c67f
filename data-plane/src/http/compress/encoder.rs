//! The algorithms, behind one interface: bytes go in and come out in memory.

use std::fmt;
use std::io::{self, Write};
use std::mem;

use brotli::CompressorWriter;
use bytes::Bytes;
use flate2::write::GzEncoder;
use weir_proto::model::plugin::param::Algorithm;

/// Logarithm of the bytes that a body's repetitions are sought in. With the algorithms' own defaults an encoder would
/// take up to ten times the memory, for a per cent or two of a usual page.
const WINDOW: u32 = 18;

/// As others do for answers that are made on the fly: most of the gain for little time.
const GZIP_LEVEL: u8 = 6;
const BROTLI_LEVEL: u8 = 4;
const ZSTD_LEVEL: u8 = 3;

/// An encoder of these levels takes 4 and 3.4 MiB; one of level 9 took 31 and 11 MiB, which is for files.
const BROTLI_MOST: u8 = 5;
const ZSTD_MOST: u8 = 6;

/// Brotli's own buffer on the way out.
const BROTLI_BUFFER: usize = 4 << 10;

/// Compresses one body. It takes some 4 MiB at most (measured), with gzip 0.4.
pub enum Encoder {
    /// Gzip.
    Gzip(GzEncoder<Vec<u8>>),
    /// Brotli.
    Brotli(Box<CompressorWriter<Vec<u8>>>),
    /// Zstandard.
    Zstd(zstd::Encoder<'static, Vec<u8>>),
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gzip(_) => "Gzip",
            Self::Brotli(_) => "Brotli",
            Self::Zstd(_) => "Zstd",
        })
    }
}

impl Encoder {
    /// An encoder of this algorithm; `level` is 1 to 9, `None` = the algorithm's default.
    ///
    /// # Errors
    /// If there is no memory.
    pub fn new(algorithm: Algorithm, level: Option<u8>) -> io::Result<Self> {
        Ok(match algorithm {
            Algorithm::Gzip => {
                let level = flate2::Compression::new(level.unwrap_or(GZIP_LEVEL).into());
                Self::Gzip(GzEncoder::new(Vec::new(), level))
            }
            Algorithm::Brotli => {
                let level = level.unwrap_or(BROTLI_LEVEL).min(BROTLI_MOST).into();
                Self::Brotli(Box::new(CompressorWriter::new(Vec::new(), BROTLI_BUFFER, level, WINDOW)))
            }
            Algorithm::Zstd => {
                let level = level.unwrap_or(ZSTD_LEVEL).min(ZSTD_MOST).into();
                let mut encoder = zstd::Encoder::new(Vec::new(), level)?;
                encoder.window_log(WINDOW)?;
                Self::Zstd(encoder)
            }
        })
    }

    /// Takes bytes; some come out at once.
    ///
    /// # Errors
    /// If there is no memory.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<Bytes> {
        self.input().write_all(bytes)?;
        Ok(self.take())
    }

    /// What is held back, so that the client can read all that went in.
    ///
    /// # Errors
    /// If there is no memory.
    pub fn flush(&mut self) -> io::Result<Bytes> {
        self.input().flush()?;
        Ok(self.take())
    }

    /// The rest.
    ///
    /// # Errors
    /// If there is no memory.
    pub fn finish(self) -> io::Result<Bytes> {
        Ok(match self {
            Self::Gzip(encoder) => encoder.finish()?,
            Self::Brotli(encoder) => encoder.into_inner(),
            Self::Zstd(encoder) => encoder.finish()?,
        }
        .into())
    }

    fn input(&mut self) -> &mut dyn Write {
        match self {
            Self::Gzip(encoder) => encoder,
            Self::Brotli(encoder) => encoder,
            Self::Zstd(encoder) => encoder,
        }
    }

    fn take(&mut self) -> Bytes {
        mem::take(match self {
            Self::Gzip(encoder) => encoder.get_mut(),
            Self::Brotli(encoder) => encoder.get_mut(),
            Self::Zstd(encoder) => encoder.get_mut(),
        })
        .into()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    const ALL: [Algorithm; 3] = [Algorithm::Gzip, Algorithm::Brotli, Algorithm::Zstd];

    /// What a client can read of these bytes, which may break off.
    fn readable(algorithm: Algorithm, bytes: &[u8]) -> String {
        let mut text = Vec::new();
        // A body that is not at its end yet is an error after all that there is of it.
        let _ = match algorithm {
            Algorithm::Gzip => GzDecoder::new(bytes).read_to_end(&mut text),
            Algorithm::Brotli => brotli::Decompressor::new(bytes, 1).read_to_end(&mut text),
            Algorithm::Zstd => zstd::Decoder::new(bytes).unwrap().read_to_end(&mut text),
        };
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn all_that_went_in_can_be_read_after_a_flush() {
        for algorithm in ALL {
            let mut encoder = Encoder::new(algorithm, None).unwrap();
            let mut sent = Vec::new();
            for (event, so_far) in [("one ", "one "), ("two ", "one two "), ("three", "one two three")] {
                sent.extend(encoder.write(event.as_bytes()).unwrap());
                sent.extend(encoder.flush().unwrap());
                assert_eq!(readable(algorithm, &sent), so_far, "{algorithm:?}");
            }
            assert!(encoder.flush().unwrap().len() < 16, "{algorithm:?}: nothing is new");
        }
    }

    #[test]
    fn every_level_gives_back_what_went_in() {
        let text: String = (0..20_000).map(|number| format!("line {number}\n")).collect();
        for algorithm in ALL {
            for level in [None, Some(1), Some(9)] {
                let mut encoder = Encoder::new(algorithm, level).unwrap();
                let mut sent = encoder.write(text.as_bytes()).unwrap().to_vec();
                sent.extend(encoder.finish().unwrap());
                assert!(sent.len() < text.len() / 2, "{algorithm:?} {level:?}");
                assert_eq!(readable(algorithm, &sent), text, "{algorithm:?} {level:?}");
            }
        }
    }
}
