//! The proxies before this one whose word is taken for who a client is.

use std::net::IpAddr;

use weir_proto::model::plugin::param::admission::Network;

/// Networks of `--trusted-proxies`.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Vec<Network>);

impl TrustedProxies {
    /// These networks.
    #[must_use]
    pub fn new(networks: Vec<Network>) -> Self {
        Self(networks)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the proxy at this address is one of them.
    #[must_use]
    pub fn has(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.0.contains(&address))
    }
}

/// Reads one network of the flag.
///
/// # Errors
/// If it is no address or network.
pub fn parse_network(text: &str) -> Result<Network, String> {
    Network::try_from(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_trusted_in_either_family() {
        let trusted = TrustedProxies::new(["10.0.0.0/8", "::1"].map(|text| parse_network(text).unwrap()).into());
        let has = |text: &str| trusted.has(text.parse().unwrap());
        assert!(has("10.1.2.3") && has("::ffff:10.1.2.3") && has("::1"));
        assert!(!has("11.1.2.3") && !has("::2"));
        assert!(TrustedProxies::default().is_empty() && !TrustedProxies::default().has([127, 0, 0, 1].into()));
    }
}
