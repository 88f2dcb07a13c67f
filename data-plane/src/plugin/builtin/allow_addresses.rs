//! `AllowAddresses`: lets requests in by the address they come from; others are answered 403.

use std::net::IpAddr;

use http::StatusCode;
use weir_proto::model::plugin::param;
use weir_proto::model::plugin::param::admission::Network;

use super::client;
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
        let client = client::address(session, self.0.trusted_hops);
        if client.is_some_and(|client| self.lets_in(client)) {
            return Ok(Flow::GoOn);
        }
        Ok(Halt::new(StatusCode::FORBIDDEN, "this address may not come in\n").into())
    }
}

#[cfg(test)]
mod tests {
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
}
