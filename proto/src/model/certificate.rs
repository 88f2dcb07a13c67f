//! Certificates, as PEM brings them: whatever could fail a handshake by being malformed was refused when they were made.

use std::fmt;
use std::sync::Arc;

use rustls::InconsistentKeys;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use super::HostPattern;

/// What a server shows: a certificate with its key. Equal if the PEM texts are. A copy shares it.
#[derive(Clone)]
pub struct Certificate(Arc<Inner>);

struct Inner {
    certificate: Vec<u8>,
    private: Vec<u8>,
    key: Arc<CertifiedKey>,
    hosts: Vec<HostPattern>,
    expires: i64,
}

/// Why PEM texts are no certificate with its key. Says nothing of what is in the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadCertificate {
    /// The certificate.
    #[error("the certificate: {0}")]
    Certificate(String),
    /// The key.
    #[error("the key: {0}")]
    Key(&'static str),
    /// Each is good by itself.
    #[error("the key is not that of the certificate")]
    Mismatch,
}

impl Certificate {
    /// Of a certificate with those that lead from it to an authority, and of its key.
    ///
    /// # Errors
    /// Says which of them is wrong, and how.
    pub fn from_pem(certificate: &[u8], private: &[u8]) -> Result<Self, BadCertificate> {
        let chain = certificates(certificate).map_err(BadCertificate::Certificate)?;
        let (hosts, expires) = read(&chain[0]).map_err(BadCertificate::Certificate)?;
        // Why a key cannot be read may quote from it.
        let key = PrivateKeyDer::from_pem_slice(private).map_err(|_| BadCertificate::Key("no private key in PEM"))?;
        let key = CertifiedKey::from_der(chain, key, &default_provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => BadCertificate::Mismatch,
            _ => BadCertificate::Key("a private key that cannot be used"),
        })?;
        let (certificate, private) = (certificate.to_vec(), private.to_vec());
        Ok(Self(Arc::new(Inner { certificate, private, key: Arc::new(key), hosts, expires })))
    }

    /// The PEM text of the certificate.
    #[must_use]
    pub fn pem(&self) -> &[u8] {
        &self.0.certificate
    }

    /// The PEM text of the key.
    #[must_use]
    pub fn private_pem(&self) -> &[u8] {
        &self.0.private
    }

    /// For handshakes.
    #[must_use]
    pub fn key(&self) -> &Arc<CertifiedKey> {
        &self.0.key
    }

    /// The hosts that it is for: its DNS names and addresses.
    #[must_use]
    pub fn hosts(&self) -> &[HostPattern] {
        &self.0.hosts
    }

    /// When it ends, in seconds since 1970.
    #[must_use]
    pub fn expires(&self) -> i64 {
        self.0.expires
    }

    /// Whether clients take it for this host. A wildcard of a certificate stands for one label, which is what each
    /// host of a wildcard with the same suffix is mostly asked for.
    #[must_use]
    pub fn covers(&self, host: &HostPattern) -> bool {
        let parent = match host {
            HostPattern::Exact(host) => host.split_once('.').map(|(_, parent)| parent),
            HostPattern::Wildcard(_) => None,
        };
        let by_wildcard =
            |own: &HostPattern| matches!(own, HostPattern::Wildcard(suffix) if Some(suffix.as_str()) == parent);
        self.0.hosts.iter().any(|own| own == host || by_wildcard(own))
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        let (own, other) = (&self.0, &other.0);
        Arc::ptr_eq(own, other) || (own.certificate == other.certificate && own.private == other.private)
    }
}

impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { hosts, expires, .. } = &*self.0;
        f.debug_struct("Certificate").field("hosts", hosts).field("expires", expires).finish_non_exhaustive()
    }
}

/// At least one certificate.
pub(super) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.map_err(|error| error.to_string())?;
    if all.is_empty() { Err("no certificate in PEM".to_owned()) } else { Ok(all) }
}

/// Hosts and end of a certificate. A name that is no host of ours, such as one of a mailbox, is passed over.
fn read(certificate: &CertificateDer<'_>) -> Result<(Vec<HostPattern>, i64), String> {
    let (_, certificate) = parse_x509_certificate(certificate).map_err(|error| error.to_string())?;
    let names = certificate.subject_alternative_name().map_err(|error| error.to_string())?;
    let names = names.iter().flat_map(|names| &names.value.general_names);
    Ok((names.filter_map(host).collect(), certificate.validity().not_after.timestamp()))
}

fn host(name: &GeneralName<'_>) -> Option<HostPattern> {
    match name {
        GeneralName::DNSName(name) => HostPattern::parse(name).ok(),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => {
                <[u8; 4]>::try_from(*bytes).ok().map(|v4| HostPattern::Exact(std::net::Ipv4Addr::from(v4).to_string()))
            }
            _ => {
                let v6 = std::net::Ipv6Addr::from(<[u8; 16]>::try_from(*bytes).ok()?);
                Some(HostPattern::Exact(format!("[{v6}]")))
            }
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn pair(hosts: &[&str]) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.not_after = rcgen::date_time_ymd(2100, 1, 1);
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    fn of((certificate, key): &(String, String)) -> Result<Certificate, BadCertificate> {
        Certificate::from_pem(certificate.as_bytes(), key.as_bytes())
    }

    #[test]
    fn a_certificate_is_for_its_names_and_addresses_and_its_wildcards_for_one_label() {
        let certificate = of(&pair(&["Shop.example.com", "*.api.example.com", "127.0.0.1", "::1"])).unwrap();
        let covers = |host: &str| certificate.covers(&HostPattern::parse(host).unwrap());
        for host in ["shop.example.com", "a.api.example.com", "*.api.example.com", "127.0.0.1", "[::1]"] {
            assert!(covers(host), "{host}");
        }
        for host in ["example.com", "api.example.com", "a.b.api.example.com", "*.shop.example.com", "*.example.com"] {
            assert!(!covers(host), "{host}");
        }
        assert_eq!(certificate.expires(), 4_102_444_800);
    }

    #[test]
    fn what_is_wrong_is_said_without_a_word_of_the_key() {
        let (good, other) = (pair(&["a"]), pair(&["a"]));
        let half = |text: &str| text[..text.len() / 2].to_owned();
        for (broken, said) in [
            ((String::new(), good.1.clone()), "the certificate: no certificate in PEM"),
            ((half(&good.0), good.1.clone()), "the certificate: "),
            ((good.0.clone(), half(&good.1)), "the key: no private key in PEM"),
            ((good.0.clone(), good.0.clone()), "the key: no private key in PEM"),
            ((good.0.clone(), other.1), "the key is not that of the certificate"),
        ] {
            let error = of(&broken).unwrap_err().to_string();
            assert!(error.starts_with(said), "{error}");
        }
        let shown = format!("{:?}", of(&good).unwrap());
        assert!(good.1.lines().all(|line| !shown.contains(line)), "{shown}");
    }

    #[test]
    fn texts_that_are_equal_are_one_certificate() {
        let (one, other) = (pair(&["a"]), pair(&["a"]));
        assert_eq!(of(&one), of(&one));
        assert_ne!(of(&one), of(&other));
    }
}
