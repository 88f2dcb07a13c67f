//! Who a client is, by its certificate: made ready for headers once a connection.
//!
//! Values are escaped as in RFC 4514, 2.4, so that no part of a name can look like another part: a comma is `\,`, and
//! what is no printable ASCII is a backslash and two hex digits a byte.

use std::cell::RefCell;
use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use http::HeaderValue;
use rustls::pki_types::CertificateDer;
use weir_proto::model::{ClientCa, HostPattern};
use x509_parser::extensions::GeneralName;
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::parse_x509_certificate;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use super::{CertificatesHandle, Terms};

/// What is known of a connection by TLS.
#[derive(Debug)]
pub struct Secured {
    /// What the handshake went by.
    terms: Arc<Terms>,
    /// The client, if it showed a certificate.
    identity: Option<Identity>,
    /// The last host that the connection was found to be good for.
    host: RefCell<String>,
}

/// A client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The subject, such as `CN=alice,O=shop`.
    pub subject: HeaderValue,
    /// Its alternative names, such as `DNS:a.example.com,URI:spiffe://shop/alice`.
    pub names: HeaderValue,
}

impl Secured {
    /// After a handshake by these terms, with this client.
    #[must_use]
    pub fn new(terms: Arc<Terms>, identity: Option<Identity>) -> Self {
        Self { terms, identity, host: RefCell::default() }
    }

    /// Whether this host has a certificate of its own, and the one that the client was shown is not for it.
    #[must_use]
    pub fn is_misdirected(&self, host: &str, certificates: &CertificatesHandle) -> bool {
        if *self.host.borrow() == host {
            return false;
        }
        let own = HostPattern::parse(host).is_ok_and(|host| self.terms.certificate.covers(&host));
        if !own && has_other(certificates, host, &self.terms) {
            return true;
        }
        *self.host.borrow_mut() = host.to_owned();
        false
    }

    /// The client, if it was asked by these authorities.
    #[must_use]
    pub fn identity_by(&self, ca: &ClientCa) -> Option<&Identity> {
        self.terms.client_ca.as_ref().filter(|own| own.authorities == ca.authorities)?;
        self.identity.as_ref()
    }
}

/// Whether this host has a certificate of its own, besides that of these terms.
fn has_other(certificates: &CertificatesHandle, host: &str, terms: &Terms) -> bool {
    certificates.load().find_own(host).is_some_and(|other| other.certificate != terms.certificate)
}

impl Identity {
    /// Of a certificate that is believed; `None` if it is none all the same.
    #[must_use]
    pub fn read(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = parse_x509_certificate(certificate).ok()?;
        let names = certificate.subject_alternative_name().ok()?;
        let names = names.iter().flat_map(|names| &names.value.general_names).filter_map(name);
        Some(Self {
            subject: HeaderValue::try_from(subject(certificate.subject())).ok()?,
            names: HeaderValue::try_from(names.collect::<Vec<_>>().join(",")).ok()?,
        })
    }
}

/// The most specific part first.
fn subject(subject: &X509Name<'_>) -> String {
    let parts: Vec<String> = subject.iter_rdn().map(|part| join(part.iter().map(attribute), "+")).collect();
    join(parts.into_iter().rev(), ",")
}

fn join(parts: impl Iterator<Item = String>, with: &str) -> String {
    parts.collect::<Vec<_>>().join(with)
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let oid = attribute.attr_type();
    let value = attribute.as_str().map_or(attribute.attr_value().data, str::as_bytes);
    match oid2abbrev(oid, oid_registry()) {
        Ok(kind) => format!("{kind}={}", escaped(value)),
        Err(_) => format!("{oid}={}", escaped(value)),
    }
}

/// Kinds that nobody goes by are left out.
fn name(name: &GeneralName<'_>) -> Option<String> {
    Some(match name {
        GeneralName::DNSName(name) => format!("DNS:{}", escaped(name.as_bytes())),
        GeneralName::URI(name) => format!("URI:{}", escaped(name.as_bytes())),
        GeneralName::RFC822Name(name) => format!("email:{}", escaped(name.as_bytes())),
        GeneralName::IPAddress(bytes) => format!("IP:{}", address(bytes)?),
        _ => return None,
    })
}

fn address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|v4| Ipv4Addr::from(v4).to_string());
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(|v6| Ipv6Addr::from(v6).to_string())).ok()
}

fn escaped(value: &[u8]) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value {
        match byte {
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' | b'=' => text.extend(['\\', char::from(*byte)]),
            b' '..=b'~' => text.push(char::from(*byte)),
            // Into a String nothing fails.
            _ => drop(write!(text, "\\{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};
    use weir_proto::model::Authorities;

    use super::*;
    use crate::tls::TermsMaker;
    use crate::tls::certificates::Certificates;
    use crate::tls::terms::tests::{certificate, terms};

    fn identity(subject: &[(DnType, &str)], names: Vec<SanType>) -> Identity {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        subject.iter().for_each(|(kind, value)| params.distinguished_name.push(kind.clone(), *value));
        params.subject_alt_names = names;
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        Identity::read(certificate.der()).unwrap()
    }

    #[test]
    fn a_client_has_a_subject_and_names() {
        let uri = SanType::URI("spiffe://shop/alice".try_into().unwrap());
        let names =
            vec![SanType::DnsName("a.example.com".try_into().unwrap()), uri, SanType::IpAddress([10, 0, 0, 1].into())];
        let both = [(DnType::OrganizationName, "shop"), (DnType::CommonName, "alice")];
        let Identity { subject, names } = identity(&both, names);
        assert_eq!(subject, "CN=alice,O=shop");
        assert_eq!(names, "DNS:a.example.com,URI:spiffe://shop/alice,IP:10.0.0.1");
    }

    #[test]
    fn no_part_of_a_name_can_look_like_another() {
        let uri = SanType::URI("spiffe://a,URI:spiffe://root".try_into().unwrap());
        let Identity { subject, names } = identity(&[(DnType::CommonName, "eve,CN=root\r\nx: y é")], vec![uri]);
        assert_eq!(subject, "CN=eve\\,CN\\=root\\0D\\0Ax: y \\C3\\A9");
        assert_eq!(names, "URI:spiffe://a\\,URI:spiffe://root");
    }

    #[test]
    fn who_was_asked_by_others_is_nobody() {
        let pem = |name: &str| {
            let key = KeyPair::generate().unwrap();
            CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap().pem()
        };
        let (mine, other) = (pem("a"), pem("b"));
        let ca =
            |pem: &str, required| ClientCa { authorities: Authorities::from_pem(pem.as_bytes()).unwrap(), required };
        let someone = identity(&[(DnType::CommonName, "alice")], Vec::new());
        let terms =
            |ca: Option<&ClientCa>| Arc::new(TermsMaker::default().make(&certificate("shop.example.com"), ca).unwrap());
        let secured = Secured::new(terms(Some(&ca(&mine, false))), Some(someone.clone()));
        assert_eq!(secured.identity_by(&ca(&mine, true)), Some(&someone));
        assert_eq!(secured.identity_by(&ca(&other, false)), None);
        let unasked = Secured::new(terms(None), Some(someone));
        assert_eq!(unasked.identity_by(&ca(&mine, false)), None);
    }

    #[test]
    fn a_host_with_another_certificate_is_misdirected_and_one_of_the_same_or_none_is_not() {
        let own = Arc::new(terms("*.shop.com"));
        let mut certificates = Certificates::default();
        let host = |host: &str| HostPattern::parse(host).unwrap();
        certificates.add(Some(&host("*.shop.com")), &own);
        certificates.add(Some(&host("shop.org")), &own);
        certificates.add(Some(&host("a.shop.com")), &Arc::new(terms("a.shop.com")));
        certificates.add(Some(&host("bank.com")), &Arc::new(terms("bank.com")));
        let live = CertificatesHandle::from(Arc::new(arc_swap::ArcSwap::from_pointee(certificates)));
        let secured = Secured::new(own, None);
        for (host, misdirected) in [
            ("b.shop.com", false),
            ("bank.com", true),
            ("bank.com", true),
            ("b.shop.com", false),
            ("a.shop.com", false),
            ("shop.org", false),
            ("nobody.com", false),
            ("", false),
        ] {
            assert_eq!(secured.is_misdirected(host, &live), misdirected, "{host}");
        }
    }
}
