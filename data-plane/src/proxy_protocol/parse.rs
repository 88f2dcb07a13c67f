//! What a header says, strictly: what no sender of this protocol would write is refused.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;
use std::str::FromStr;

use memchr::memchr;

use super::{Ends, SIGNATURE, V2_LOCAL, V2_PROXY, V2_TCP4, V2_TCP6, WORD};
use crate::stats::process::Refused;

/// The longest header of version 1, with its line end.
const MAX_LINE: usize = 107;
/// The longest header of version 2 that is taken, as in nginx; the protocol would allow 64 KiB.
pub const MAX_HEADER: usize = 4096;
/// Signature, command, family and length.
const FIXED: usize = 16;
/// No family.
const V2_UNSPECIFIED: u8 = 0x00;
/// A stream over a Unix socket, with two paths of 108 bytes.
const V2_UNIX: u8 = 0x31;
/// The TLV with a checksum of the header.
const CRC32C: u8 = 0x03;

/// How far bytes are a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed {
    /// All of them belong to it, and more are to come.
    Incomplete,
    /// It is there.
    Complete {
        /// How many of the bytes it has.
        length: usize,
        /// Whom it names; `None`: the connection is what it looks like.
        ends: Option<Ends>,
    },
}

/// Looks at the first bytes of a connection.
///
/// # Errors
/// If they are no header, as soon as that is sure.
pub fn parse(bytes: &[u8]) -> Result<Parsed, Refused> {
    if may_begin(bytes, SIGNATURE) {
        parse_binary(bytes)
    } else if may_begin(bytes, WORD) {
        parse_line(bytes)
    } else {
        Err(Refused::HeaderMissing)
    }
}

/// Whether the bytes, as far as they are there, are those with which a header begins.
fn may_begin(bytes: &[u8], with: &[u8]) -> bool {
    bytes.iter().zip(with).all(|(got, wanted)| got == wanted)
}

fn parse_line(bytes: &[u8]) -> Result<Parsed, Refused> {
    let within = &bytes[..bytes.len().min(MAX_LINE)];
    let Some(end) = memchr(b'\n', within) else {
        return if bytes.len() < MAX_LINE { Ok(Parsed::Incomplete) } else { Err(Refused::HeaderMalformed) };
    };
    let line = within[..end].strip_suffix(b"\r").and_then(|line| str::from_utf8(line).ok());
    let ends = line.and_then(line_ends).ok_or(Refused::HeaderMalformed)?;
    Ok(Parsed::Complete { length: end + 1, ends })
}

/// Whom a line names; `None` if it is malformed.
fn line_ends(line: &str) -> Option<Option<Ends>> {
    let rest = line.strip_prefix("PROXY ")?;
    match rest.split_once(' ').unwrap_or((rest, "")) {
        ("TCP4", ends) => words::<Ipv4Addr>(ends).map(Some),
        ("TCP6", ends) => words::<Ipv6Addr>(ends).map(Some),
        // Whatever follows is to be ignored.
        ("UNKNOWN", _) => Some(None),
        _ => None,
    }
}

fn words<A: FromStr + Into<IpAddr>>(text: &str) -> Option<Ends> {
    let mut words = text.split(' ');
    let mut next = || words.next();
    let [client, here] = [next()?, next()?].map(|word| word.parse::<A>().ok());
    let [client_port, here_port] = [next()?, next()?].map(port);
    let ends = Ends::new(SocketAddr::new(client?.into(), client_port?), SocketAddr::new(here?.into(), here_port?));
    words.next().is_none().then_some(ends)
}

/// Decimal, without sign or leading zeros.
fn port(word: &str) -> Option<u16> {
    let is_plain = word.bytes().all(|c| c.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
    word.parse().ok().filter(|_| is_plain)
}

fn parse_binary(bytes: &[u8]) -> Result<Parsed, Refused> {
    let Some(fixed) = bytes.first_chunk::<FIXED>() else { return Ok(Parsed::Incomplete) };
    let [.., command, family, high, low] = *fixed;
    let length = FIXED + usize::from(u16::from_be_bytes([high, low]));
    if length > MAX_HEADER {
        return Err(Refused::HeaderMalformed);
    }
    let Some(header) = bytes.get(..length) else { return Ok(Parsed::Incomplete) };
    let ends = match command {
        V2_PROXY => binary_ends(header, family)?,
        // Such as a health check of the sender: what else it says is to be ignored.
        V2_LOCAL => None,
        _ => return Err(Refused::HeaderMalformed),
    };
    Ok(Parsed::Complete { length, ends })
}

fn binary_ends(header: &[u8], family: u8) -> Result<Option<Ends>, Refused> {
    let body = &header[FIXED..];
    let (ends, size) = match family {
        V2_TCP4 => (Some(addresses(body, |octets: [u8; 4]| octets.into())), 12),
        V2_TCP6 => (Some(addresses(body, |octets: [u8; 16]| octets.into())), 36),
        V2_UNIX => (None, 216),
        V2_UNSPECIFIED => return Ok(None),
        _ => return Err(Refused::HeaderMalformed),
    };
    let ends = match ends {
        Some(None) => return Err(Refused::HeaderMalformed),
        Some(ends) => ends,
        None => None,
    };
    check_values(header, FIXED + size).map(|()| ends)
}

/// Two addresses, then two ports.
fn addresses<const N: usize>(body: &[u8], address: fn([u8; N]) -> IpAddr) -> Option<Ends> {
    let (client, rest) = body.split_first_chunk::<N>()?;
    let (here, rest) = rest.split_first_chunk::<N>()?;
    let [a, b, c, d] = *rest.first_chunk()?;
    let end = |octets: [u8; N], port| SocketAddr::new(address(octets), u16::from_be_bytes(port));
    Some(Ends::new(end(*client, [a, b]), end(*here, [c, d])))
}

/// Type, length and value, again and again to the end. None is used but the checksum, if there is one.
fn check_values(header: &[u8], mut at: usize) -> Result<(), Refused> {
    if header.len() < at {
        return Err(Refused::HeaderMalformed);
    }
    while let Some([kind, high, low]) = header[at..].first_chunk().copied() {
        let value = at + 3..at + 3 + usize::from(u16::from_be_bytes([high, low]));
        let bytes = header.get(value.clone()).ok_or(Refused::HeaderMalformed)?;
        at = value.end;
        if kind == CRC32C {
            let told = bytes.try_into().map_err(|_| Refused::HeaderMalformed)?;
            check_sum(header, value, u32::from_be_bytes(told))?;
        }
    }
    if at == header.len() { Ok(()) } else { Err(Refused::HeaderMalformed) }
}

/// The sum is that of the header with zeros in its own place.
fn check_sum(header: &[u8], place: Range<usize>, told: u32) -> Result<(), Refused> {
    let zeroed = header.iter().enumerate().map(|(at, byte)| if place.contains(&at) { 0 } else { *byte });
    if crc32c(zeroed) == told { Ok(()) } else { Err(Refused::HeaderChecksum) }
}

/// CRC-32C (RFC 9260, appendix A), bit by bit: few senders add it, to a hundred bytes.
fn crc32c(bytes: impl Iterator<Item = u8>) -> u32 {
    let shift = |sum: u32, _| if sum & 1 == 1 { sum >> 1 ^ 0x82f6_3b78 } else { sum >> 1 };
    !bytes.fold(!0, |sum, byte| (0..8).fold(sum ^ u32::from(byte), shift))
}

#[cfg(test)]
mod tests;
