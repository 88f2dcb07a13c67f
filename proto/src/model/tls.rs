//! TLS with the clients of a Pool.

use super::{Authorities, Certificate, HostPattern, Rule};

/// What a Pool does for TLS with its clients, and asks of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Shown to clients that ask for a host of the Pool's rules; `None` = another's is.
    pub certificate: Option<Certificate>,
    /// Whether it is shown to those that ask for a host without a certificate, too.
    pub is_default: bool,
    /// Who certifies clients; `None` = they are not asked. With a certificate only.
    pub client_ca: Option<ClientCa>,
    /// Whether requests that did not come by TLS are sent there.
    pub redirect: bool,
}

/// Who certifies clients. A copy shares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCa {
    /// Those who do.
    pub authorities: Authorities,
    /// Whether a client without a certificate is turned away.
    pub required: bool,
}

impl Tls {
    /// The hosts for which the certificate is shown; `None` among them = those that have no other.
    pub fn served<'a>(&self, rules: &'a [Rule]) -> impl Iterator<Item = Option<&'a HostPattern>> {
        let names_all = !rules.is_empty() && rules.iter().all(|rule| !rule.hosts.is_empty());
        let rest = (self.is_default || !names_all).then_some(None);
        rules.iter().flat_map(|rule| &rule.hosts).map(Some).chain(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_without_hosts_makes_the_certificate_the_default() {
        let rule = |hosts: &[&str]| {
            let hosts = hosts.iter().map(|host| HostPattern::parse(host).unwrap()).collect();
            Rule { hosts, ..Rule::default() }
        };
        let served = |is_default: bool, rules: &[Rule]| {
            let tls = Tls { certificate: None, is_default, client_ca: None, redirect: false };
            tls.served(rules).map(|host| host.map_or("rest".to_owned(), ToString::to_string)).collect::<Vec<_>>()
        };
        assert_eq!(served(false, &[]), ["rest"]);
        assert_eq!(served(false, &[rule(&["a", "*.b"]), rule(&["c"])]), ["a", "*.b", "c"]);
        assert_eq!(served(true, &[rule(&["a"])]), ["a", "rest"]);
        assert_eq!(served(false, &[rule(&["a"]), rule(&[])]), ["a", "rest"]);
    }
}
