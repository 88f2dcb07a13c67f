//! Who a client is, by its certificate: made ready for headers once a connection.
//!
//! Values are escaped as in RFC 4514, 2.4, so that no part of a name can look like another part: a comma is `\,`, and
//! what is no printable ASCII is a backslash and two hex digits a byte.

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use http::HeaderValue;
use rustls::pki_types::CertificateDer;
use weir_proto::model::ClientCa;
use x509_parser::extensions::GeneralName;
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::parse_x509_certificate;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// What is known of a connection by TLS.
#[derive(Debug)]
pub struct Secured {
    /// Whose certificate the client was asked for.
    pub client_ca: Option<ClientCa>,
    /// The client, if it showed one.
    pub identity: Option<Identity>,
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
    /// The client, if it was asked by these authorities.
    #[must_use]
    pub fn identity_by(&self, ca: &ClientCa) -> Option<&Identity> {
        self.client_ca.as_ref().filter(|own| own.authorities == ca.authorities)?;
        self.identity.as_ref()
    }
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
        let secured = Secured { client_ca: Some(ca(&mine, false)), identity: Some(someone.clone()) };
        assert_eq!(secured.identity_by(&ca(&mine, true)), Some(&someone));
        assert_eq!(secured.identity_by(&ca(&other, false)), None);
        let unasked = Secured { client_ca: None, identity: Some(someone) };
        assert_eq!(unasked.identity_by(&ca(&mine, false)), None);
    }
}
