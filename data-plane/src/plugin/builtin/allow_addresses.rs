//! `AllowAddresses`: lets requests in by the address they come from; others are answered 403.

use std::net::IpAddr;

use http::{HeaderMap, StatusCode};
use weir_proto::model::plugin::param;
use weir_proto::model::plugin::param::admission::Network;

use crate::plugin::{Flow, Halt, Hooks, Session, Stage, Step};

/// The type.
#[derive(Debug)]
pub(super) struct AllowAddresses(pub(super) param::AllowAddresses);

impl AllowAddresses {
    fn lets_in(&self, client: IpAddr) -> bool {
        let has = |networks: &[Network]| networks.iter().any(|network| network.0.contains(&client));
        let param::AllowAddresses { allow, deny, trusted_hops: _ } = &self.0;
        !has(deny) && (allow.is_empty() || has(allow))
    }
}

impl Stage for AllowAddresses {
    fn hooks(&self) -> Hooks {
        Hooks { pre: true, ..Hooks::default() }
    }

    fn pre(&self, session: &mut Session<'_>) -> Step {
        let hops = usize::from(self.0.trusted_hops);
        let client = if hops == 0 { Some(session.client().to_canonical()) } else { forwarded(session.headers(), hops) };
        if client.is_some_and(|client| self.lets_in(client)) {
            return Ok(Flow::GoOn);
        }
        Ok(Halt::new(StatusCode::FORBIDDEN, "this address may not come in\n").into())
    }
}

/// The address that so many trusted proxies have passed on. The last one of the header is that of the connection's
/// other end, which Weir has put there itself. With fewer than there should be, the first one.
fn forwarded(headers: &HeaderMap, hops: usize) -> Option<IpAddr> {
    let all = headers.get_all("x-forwarded-for");
    let mut list = all.iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).collect::<Vec<_>>();
    list.reverse();
    let text = std::str::from_utf8(list.get(hops).or(list.last())?).ok()?.trim();
    text.parse().map(|address: IpAddr| address.to_canonical()).ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn networks(texts: &[&str]) -> Vec<Network> {
        texts.iter().map(|text| Network::try_from((*text).to_owned()).unwrap()).collect()
    }

    #[test]
    fn p1_what_is_denied_is_not_allowed() {
        let lets_in = |allow: &[&str], deny: &[&str], client: &str| {
            let param = param::AllowAddresses { allow: networks(allow), deny: networks(deny), trusted_hops: 0 };
            AllowAddresses(param).lets_in(client.parse().unwrap())
        };
        assert!(lets_in(&[], &[], "10.1.2.3"));
        assert!(lets_in(&["10.0.0.0/8"], &[], "10.1.2.3") && !lets_in(&["10.0.0.0/8"], &[], "11.1.2.3"));
        assert!(!lets_in(&["10.0.0.0/8"], &["10.1.0.0/16"], "10.1.2.3"));
        assert!(!lets_in(&[], &["2001:db8::/32"], "2001:db8::1") && lets_in(&[], &["2001:db8::/32"], "2001:db9::1"));
    }

    #[test]
    fn p1_only_trusted_proxies_are_believed() {
        let headers: HeaderMap = ["9.9.9.9, 10.0.0.1", "10.0.0.2"]
            .map(|text| (http::HeaderName::from_static("x-forwarded-for"), HeaderValue::from_static(text)))
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
            let headers = [(http::HeaderName::from_static("x-forwarded-for"), value)].into_iter().collect();
            assert_eq!(forwarded(&headers, 1), None, "{text:?}");
        }
    }
}
