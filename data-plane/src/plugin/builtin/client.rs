//! Where a client is, behind proxies that are trusted.

use std::net::IpAddr;

use http::HeaderMap;

use crate::plugin::Session;

/// The address that so many trusted proxies have passed on; that of the connection's other end if there are none.
/// `None` = what the outermost of them says is no address.
pub(super) fn address(session: &Session<'_>, hops: u8) -> Option<IpAddr> {
    match hops {
        0 => Some(session.client().to_canonical()),
        hops => forwarded(session.headers(), hops.into()),
    }
}

/// The last one of the header is that of the connection's other end, which Weir has put there itself. With fewer than
/// there should be, the first one.
fn forwarded(headers: &HeaderMap, hops: usize) -> Option<IpAddr> {
    let all = headers.get_all("x-forwarded-for");
    let mut list = all.iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).collect::<Vec<_>>();
    list.reverse();
    let text = std::str::from_utf8(list.get(hops).or(list.last())?).ok()?.trim();
    text.parse().map(|address: IpAddr| address.to_canonical()).ok()
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn p1_only_trusted_proxies_are_believed() {
        let headers: HeaderMap = ["9.9.9.9, 10.0.0.1", "10.0.0.2"]
            .map(|text| (HeaderName::from_static("x-forwarded-for"), HeaderValue::from_static(text)))
            .into_iter()
            .collect();
        let at = |hops| forwarded(&headers, hops).map(|address| address.to_string());
        assert_eq!(at(1).as_deref(), Some("10.0.0.1"));
        assert_eq!(at(2).as_deref(), Some("9.9.9.9"));
        assert_eq!(at(9).as_deref(), Some("9.9.9.9"));
        assert_eq!(forwarded(&HeaderMap::new(), 1), None);
    }

    #[test]
    fn p1_what_is_no_address_is_nobodys() {
        for text in ["unknown", "", "10.0.0.1, , 10.0.0.2"] {
            let value = HeaderValue::from_static(text);
            let headers = [(HeaderName::from_static("x-forwarded-for"), value)].into_iter().collect();
            assert_eq!(forwarded(&headers, 1), None, "{text:?}");
        }
    }
}
