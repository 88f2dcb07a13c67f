//! Reads compressed bodies as clients do.

use std::io::Read;

/// What can be read of a body in this content coding, which may break off.
///
/// # Panics
/// If the coding is unknown.
#[must_use]
pub fn readable(coding: &str, bytes: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    // One that is not at its end yet is an error after all that there is of it.
    let _ = read(coding, bytes, &mut decoded);
    decoded
}

/// A body in this content coding.
///
/// # Panics
/// If it is none, not whole, or the coding is unknown.
#[must_use]
pub fn decoded(coding: &str, bytes: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    read(coding, bytes, &mut decoded).unwrap_or_else(|e| panic!("not in {coding}: {e}"));
    decoded
}

fn read(coding: &str, bytes: &[u8], into: &mut Vec<u8>) -> std::io::Result<usize> {
    match coding {
        "gzip" => flate2::read::GzDecoder::new(bytes).read_to_end(into),
        // A byte at a time: it gives nothing of a block that it lacks the end of.
        "br" => brotli::Decompressor::new(bytes, 1).read_to_end(into),
        "zstd" => zstd::Decoder::new(bytes)?.read_to_end(into),
        other => panic!("{other:?} is no content coding of a test"),
    }
}
