//! Headers, good and bad, and any bytes at all.

use proptest::prelude::*;
use weir_proto::model::ProxyProtocol;

use super::*;

/// Version 2, the connection of a client over TCP4, and these bytes after its addresses.
fn binary(values: &[u8]) -> Vec<u8> {
    let mut header = [&SIGNATURE[..], &[V2_PROXY, V2_TCP4, 0, 12]].concat();
    header.extend([192, 0, 2, 1, 10, 0, 0, 1, 0x12, 0x67, 0x18, 0xeb]);
    header.extend(values);
    with_length(header)
}

/// The same header, saying how long it is.
fn with_length(mut header: Vec<u8>) -> Vec<u8> {
    let length = u16::try_from(header.len() - FIXED).unwrap();
    header[FIXED - 2..FIXED].copy_from_slice(&length.to_be_bytes());
    header
}

fn ends(client: &str, here: &str) -> Option<Ends> {
    Some(Ends::new(client.parse().unwrap(), here.parse().unwrap()))
}

fn complete(bytes: &[u8]) -> Option<Ends> {
    match parse(bytes) {
        Ok(Parsed::Complete { length, ends }) if length == bytes.len() => ends,
        other => panic!("{other:?} of {bytes:?}"),
    }
}

#[test]
fn lines_name_the_client() {
    let four = ends("192.0.2.1:4711", "10.0.0.1:443");
    assert_eq!(complete(b"PROXY TCP4 192.0.2.1 10.0.0.1 4711 443\r\n"), four);
    assert_eq!(complete(b"PROXY TCP6 2001:db8::1 ::1 0 65535\r\n"), ends("[2001:db8::1]:0", "[::1]:65535"));
    assert_eq!(complete(b"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:10.0.0.1 4711 443\r\n"), four);
    for unknown in ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN ffff::1 whatever 1\r\n"] {
        assert_eq!(complete(unknown.as_bytes()), None);
    }
    let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(91));
    assert_eq!((longest.len(), complete(longest.as_bytes())), (MAX_LINE, None));
}

#[test]
fn binary_headers_name_the_client() {
    let four = ends("192.0.2.1:4711", "10.0.0.1:6379");
    assert_eq!(complete(&binary(&[])), four);
    let values = [4, 0, 0, 0x20, 0, 2, b'x', b'y'];
    assert_eq!(complete(&binary(&values)), four, "values that nobody knows");
    let mut local = binary(&[]);
    local[12] = V2_LOCAL;
    local[13] = V2_UNSPECIFIED;
    assert_eq!(complete(&local), None, "what a health check says of itself");
    let mut unspecified = binary(&[1]);
    unspecified[13] = V2_UNSPECIFIED;
    assert_eq!(complete(&unspecified), None);
    let unix = [&SIGNATURE[..], &[V2_PROXY, V2_UNIX, 0, 0], &[b'/'; 216]].concat();
    assert_eq!(complete(&with_length(unix)), None);
}

#[test]
fn the_checksum_counts_if_there_is_one() {
    assert_eq!(crc32c(b"123456789".iter().copied()), 0xe306_9283, "the check value of CRC-32C");
    let mut header = binary(&[CRC32C, 0, 4, 0, 0, 0, 0]);
    let sum = crc32c(header.iter().copied());
    let place = header.len() - 4;
    header[place..].copy_from_slice(&sum.to_be_bytes());
    assert_eq!(complete(&header), ends("192.0.2.1:4711", "10.0.0.1:6379"));
    header[FIXED] ^= 1;
    assert_eq!(parse(&header), Err(Refused::HeaderChecksum));
    assert_eq!(parse(&binary(&[CRC32C, 0, 3, 0, 0, 0])), Err(Refused::HeaderMalformed));
}

#[test]
fn what_is_no_header_is_refused_at_its_first_byte() {
    for text in
        ["G", "GET / HTTP/1.1\r\n", "PROXX", "PROXY\r\n", "proxy tcp4", "\r\n\r\n\0\r\nQUIX", "\x16\x03\x01", " P"]
    {
        assert_eq!(parse(text.as_bytes()), Err(Refused::HeaderMissing), "{text:?}");
    }
}

#[test]
fn malformed_lines_are_refused() {
    for line in [
        "PROXY \r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP5 192.0.2.1 10.0.0.1 1 2\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 1 2\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 1 2 \r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 1 2 3\r\n",
        "PROXY TCP4  192.0.2.1 10.0.0.1 1 2\r\n",
        "PROXY  TCP4 192.0.2.1 10.0.0.1 1 2\r\n",
        "PROXY TCP4 192.0.2.1\t10.0.0.1 1 2\r\n",
        "PROXY TCP4 192.0.2.256 10.0.0.1 1 2\r\n",
        "PROXY TCP4 192.0.02.1 10.0.0.1 1 2\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 +1 2\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 01 2\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 1 65536\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 1\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 1 \r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 192.0.2.1 10.0.0.1 1 2\r\n",
        "PROXY TCP6 [::1] ::1 1 2\r\n",
        "PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
        "PROXY UNKNOWN\u{e9}\r\n",
        "PROXY UNKNOWNX\r\n",
    ] {
        assert_eq!(parse(line.as_bytes()), Err(Refused::HeaderMalformed), "{line:?}");
    }
    let endless = format!("PROXY UNKNOWN {}", "x".repeat(93));
    assert_eq!(parse(&endless.as_bytes()[..MAX_LINE - 1]), Ok(Parsed::Incomplete));
    assert_eq!(parse(endless.as_bytes()), Err(Refused::HeaderMalformed));
}

#[test]
fn malformed_binary_headers_are_refused() {
    let changed = |at: usize, to: u8| {
        let mut header = binary(&[]);
        header[at] = to;
        header
    };
    for (what, header) in [
        ("version 1", changed(12, 0x11)),
        ("version 3", changed(12, 0x31)),
        ("no such command", changed(12, 0x22)),
        ("datagrams", changed(13, 0x12)),
        ("no such family", changed(13, 0x41)),
        ("addresses of IPv6 in the length of IPv4", changed(13, V2_TCP6)),
        ("paths in the length of IPv4", changed(13, V2_UNIX)),
        ("addresses cut off", with_length(binary(&[])[..FIXED + 11].to_vec())),
        ("too long", changed(14, 0x10)),
        ("a value's type alone", binary(&[4])),
        ("a value without its length", binary(&[4, 0])),
        ("a value cut off", binary(&[4, 0, 2, 1])),
    ] {
        assert_eq!(parse(&header), Err(Refused::HeaderMalformed), "{what}");
    }
}

fn any_address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(IpAddr::from)]
}

fn any_ends() -> impl Strategy<Value = Ends> {
    let end = || (any_address(), any::<u16>()).prop_map(SocketAddr::from);
    (end(), end()).prop_map(|(client, here)| Ends::new(client, here))
}

fn beginning() -> impl Strategy<Value = &'static [u8]> {
    let binary: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21";
    prop_oneof![Just(&b""[..]), Just(&WORD[..]), Just(&b"PROXY TCP4 "[..]), Just(&SIGNATURE[..]), Just(binary)]
}

proptest! {
    #[test]
    fn what_is_written_is_read_whatever_follows_and_never_before_it_is_whole(
        ends in any_ends(),
        first in any::<bool>(),
        more in any::<Vec<u8>>(),
    ) {
        let header = ends.header(if first { ProxyProtocol::V1 } else { ProxyProtocol::V2 });
        let read = Parsed::Complete { length: header.len(), ends: Some(ends) };
        prop_assert_eq!(parse(&[&header[..], &more].concat()), Ok(read));
        for end in 0..header.len() {
            prop_assert_eq!(parse(&header[..end]), Ok(Parsed::Incomplete));
        }
    }

    #[test]
    fn any_bytes_are_a_header_or_none(beginning in beginning(), rest in any::<Vec<u8>>()) {
        let bytes = [beginning, &rest].concat();
        if let Ok(Parsed::Complete { length, .. }) = parse(&bytes) {
            prop_assert!(length <= bytes.len());
        }
    }
}
