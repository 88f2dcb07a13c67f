//! A header for a backend.

use std::net::IpAddr;

use weir_proto::model::ProxyProtocol;

use super::{Ends, SIGNATURE, V2_PROXY, V2_TCP4, V2_TCP6};

impl Ends {
    /// What a backend is told of them.
    #[must_use]
    pub fn header(&self, version: ProxyProtocol) -> Vec<u8> {
        match version {
            ProxyProtocol::V1 => self.line().into_bytes(),
            ProxyProtocol::V2 => self.binary(),
        }
    }

    fn line(&self) -> String {
        let Self { client, here } = self;
        let family = if client.is_ipv4() { "TCP4" } else { "TCP6" };
        format!("PROXY {family} {} {} {} {}\r\n", client.ip(), here.ip(), client.port(), here.port())
    }

    fn binary(&self) -> Vec<u8> {
        let Self { client, here } = self;
        let mut addresses = octets(client.ip());
        addresses.extend(octets(here.ip()));
        addresses.extend(client.port().to_be_bytes());
        addresses.extend(here.port().to_be_bytes());
        let mut header = SIGNATURE.to_vec();
        // Of IPv4 these are 12 bytes, of IPv6 36.
        let (family, length) = if client.is_ipv4() { (V2_TCP4, 12_u16) } else { (V2_TCP6, 36) };
        header.extend([V2_PROXY, family]);
        header.extend(length.to_be_bytes());
        header.extend(addresses);
        header
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(client: &str, here: &str, version: ProxyProtocol) -> Vec<u8> {
        Ends::new(client.parse().unwrap(), here.parse().unwrap()).header(version)
    }

    #[test]
    fn version_1_is_a_line() {
        let line = |client, here| String::from_utf8(header(client, here, ProxyProtocol::V1)).unwrap();
        assert_eq!(line("192.0.2.1:4711", "10.0.0.1:6379"), "PROXY TCP4 192.0.2.1 10.0.0.1 4711 6379\r\n");
        assert_eq!(line("[2001:db8::1]:4711", "[::1]:6379"), "PROXY TCP6 2001:db8::1 ::1 4711 6379\r\n");
        let mapped = line("[::ffff:192.0.2.1]:4711", "[::ffff:10.0.0.1]:6379");
        assert_eq!(mapped, "PROXY TCP4 192.0.2.1 10.0.0.1 4711 6379\r\n");
    }

    #[test]
    fn version_2_is_binary() {
        let four = header("192.0.2.1:4711", "10.0.0.1:6379", ProxyProtocol::V2);
        let (fixed, addresses) = four.split_at(16);
        assert_eq!(fixed, b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c");
        assert_eq!(addresses, [192, 0, 2, 1, 10, 0, 0, 1, 0x12, 0x67, 0x18, 0xeb]);
        let six = header("[2001:db8::1]:4711", "[::1]:6379", ProxyProtocol::V2);
        assert_eq!(six[..16], *b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24");
        assert_eq!((six.len(), &six[16..18], &six[48..]), (52, &[0x20, 0x01][..], &[0x12, 0x67, 0x18, 0xeb][..]));
    }
}
