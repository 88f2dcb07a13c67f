//! Who a request is from, and how it came: by its connection, or by what trusted proxies before this one say.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName};

use super::headers::X_FORWARDED_FOR;
use crate::trusted::TrustedProxies;

/// Fields that tell of a connection, if they are from a trusted proxy.
static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The client of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// Its address; the port is 0 where a proxy has not told it.
    pub client: SocketAddr,
    /// `http` or `https`, as the client sees it.
    pub scheme: &'static str,
}

impl Origin {
    /// What the headers say of a request that a trusted proxy has passed on, with this origin.
    #[must_use]
    pub fn behind(self, headers: &HeaderMap, trusted: &TrustedProxies) -> Self {
        let scheme = told_scheme(headers).unwrap_or(self.scheme);
        Self { client: self.client_behind(headers, trusted), scheme }
    }

    /// The last address that is no trusted proxy's, as each of them has added the one before it; the first if all are.
    /// What stands before one that cannot be read may be anybody's word.
    fn client_behind(self, headers: &HeaderMap, trusted: &TrustedProxies) -> SocketAddr {
        let fields: Vec<&[u8]> = headers.get_all(&X_FORWARDED_FOR).iter().map(|value| value.as_bytes()).collect();
        let hops = fields.iter().rev().flat_map(|field| field.rsplit(|byte| *byte == b','));
        let mut client = self.client;
        for address in hops.map_while(address) {
            client = address;
            if !trusted.has(address.ip()) {
                break;
            }
        }
        client
    }

    /// As logs have it.
    #[must_use]
    pub fn client_text(&self) -> String {
        match self.client.port() {
            0 => self.client.ip().to_string(),
            _ => self.client.to_string(),
        }
    }
}

/// An address, perhaps with a port, as some proxies write it.
fn address(text: &[u8]) -> Option<SocketAddr> {
    let text = str::from_utf8(text).ok()?.trim();
    let alone = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let with_port = || text.parse().ok();
    alone.parse::<IpAddr>().map(|ip| SocketAddr::new(ip.to_canonical(), 0)).ok().or_else(with_port)
}

/// The scheme that a proxy has been asked by; `None` if it does not say one.
pub(super) fn told_scheme(headers: &HeaderMap) -> Option<&'static str> {
    let mut fields = headers.get_all(&X_FORWARDED_PROTO).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else { return None };
    ["http", "https"].into_iter().find(|scheme| field.as_bytes().eq_ignore_ascii_case(scheme.as_bytes()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::trusted::parse_network;

    fn origin(fields: &[(&'static str, &'static str)]) -> Origin {
        let headers = fields
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        let trusted = ["10.0.0.0/8", "2001:db8::/32"].map(|text| parse_network(text).unwrap());
        let direct = Origin { client: "10.0.0.1:4711".parse().unwrap(), scheme: "http" };
        direct.behind(&headers, &TrustedProxies::new(trusted.into()))
    }

    #[test]
    fn u3_the_client_is_the_last_that_is_no_trusted_proxy() {
        for (fields, client) in [
            (&[][..], "10.0.0.1:4711"),
            (&["192.0.2.1"], "192.0.2.1"),
            (&["6.6.6.6, 192.0.2.1"], "192.0.2.1"),
            (&["6.6.6.6, 192.0.2.1, 10.0.0.2,2001:db8::7"], "192.0.2.1"),
            (&["6.6.6.6", "192.0.2.1 , 10.0.0.2", "10.0.0.3"], "192.0.2.1"),
            (&["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            (&["192.0.2.1:55, 10.0.0.2:66"], "192.0.2.1:55"),
            (&["[2001:db9::1]"], "2001:db9::1"),
            (&["[2001:db9::1]:55"], "[2001:db9::1]:55"),
            (&["::ffff:192.0.2.1"], "192.0.2.1"),
            (&["6.6.6.6, unknown, 10.0.0.2"], "10.0.0.2"),
            (&["6.6.6.6, , 10.0.0.2"], "10.0.0.2"),
            (&["6.6.6.6, 192.0.2"], "10.0.0.1:4711"),
            (&[""], "10.0.0.1:4711"),
        ] {
            let fields = fields.iter().map(|value| ("x-forwarded-for", *value)).collect::<Vec<_>>();
            assert_eq!(origin(&fields).client_text(), client, "{fields:?}");
        }
    }

    #[test]
    fn u3_the_scheme_is_what_the_proxy_says_if_it_is_one() {
        for (fields, scheme) in [
            (&[][..], "http"),
            (&["https"], "https"),
            (&["HTTPS"], "https"),
            (&["http"], "http"),
            (&["ftp"], "http"),
            (&["https, http"], "http"),
            (&["https", "https"], "http"),
        ] {
            let fields = fields.iter().map(|value| ("x-forwarded-proto", *value)).collect::<Vec<_>>();
            assert_eq!(origin(&fields).scheme, scheme, "{fields:?}");
        }
    }
}
