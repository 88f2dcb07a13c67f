//! Certificates: made with ECDSA P-256, and read for what a decision about them needs.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use time::OffsetDateTime;
use weir_proto::tls::files::{AUTHORITIES, CERTIFICATE, KEY};
use weir_proto::tls::{Credentials, Files};
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::X509Certificate;

use super::{Content, Error};

/// Clocks of other machines may be behind by so many seconds.
const CLOCKS_DIFFER: i64 = 300;
/// An authority's life, in seconds: ten years.
const AUTHORITY_LIFE: i64 = 10 * 365 * 24 * 3600;

/// Certificate and key, in PEM.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Pair {
    /// The certificate.
    pub(super) certificate: Vec<u8>,
    /// Its private key.
    pub(super) key: Vec<u8>,
}

/// Which end of a connection a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The control plane's.
    Server,
    /// A proxy's.
    Client,
}

/// A certificate as it should be.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// Whose it is.
    pub(super) role: Role,
    /// DNS names and addresses of a server, URIs of a client.
    pub(super) names: BTreeSet<String>,
    /// How long it is to be valid.
    pub(super) life: Duration,
}

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    /// When it begins, in seconds since 1970.
    pub(super) begins: i64,
    /// When it ends.
    pub(super) ends: i64,
    /// Its alternative names.
    pub(super) names: BTreeSet<String>,
    /// Names its own key.
    pub(super) key_id: Vec<u8>,
    /// Names the key that signed it.
    pub(super) issuer_key_id: Vec<u8>,
}

/// What signs.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// What it says of itself.
    pub(super) facts: Facts,
    /// All authorities to believe, in PEM.
    pub(super) bundle: Vec<u8>,
}

/// A new authority, which signs itself.
///
/// # Errors
/// If there is no randomness, say.
pub(super) fn new_authority(now: i64) -> Result<Pair, Error> {
    let mut params = params("Weir certificate authority", now, AUTHORITY_LIFE)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate()?;
    Ok(pair(&params.self_signed(&key)?, &key))
}

fn pair(certificate: &rcgen::Certificate, key: &KeyPair) -> Pair {
    Pair { certificate: certificate.pem().into_bytes(), key: key.serialize_pem().into_bytes() }
}

fn params(name: &str, now: i64, life: i64) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date(now - CLOCKS_DIFFER);
    params.not_after = date(now.saturating_add(life));
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// The epoch for what is no date: such a certificate is never valid.
fn date(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

impl Authority {
    /// Reads what a place holds.
    ///
    /// # Errors
    /// Says what is missing or wrong.
    pub(super) fn read(content: &Content) -> Result<Self, String> {
        let certificate = text(content, CERTIFICATE)?;
        let key = KeyPair::from_pem(text(content, KEY)?).map_err(|_| format!("{KEY} is no private key"))?;
        let issuer =
            Issuer::from_ca_cert_pem(certificate, key).map_err(|_| format!("{CERTIFICATE} is no authority"))?;
        let facts = Facts::read(certificate.as_bytes())?;
        let bundle = content.get(AUTHORITIES).cloned().unwrap_or_else(|| certificate.as_bytes().to_vec());
        Ok(Self { issuer, facts, bundle })
    }

    /// A new certificate for what is wanted.
    ///
    /// # Errors
    /// If a name cannot be in a certificate.
    pub(super) fn sign(&self, wanted: &Wanted, now: i64) -> Result<Pair, Error> {
        let life = i64::try_from(wanted.life.as_secs()).unwrap_or(i64::MAX);
        let (name, usage) = match wanted.role {
            Role::Server => ("weir-control-plane", ExtendedKeyUsagePurpose::ServerAuth),
            Role::Client => ("weir-data-plane", ExtendedKeyUsagePurpose::ClientAuth),
        };
        let mut params = params(name, now, life)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.subject_alt_names =
            wanted.names.iter().map(|name| alternative(name, wanted.role)).collect::<Result<_, _>>()?;
        let key = KeyPair::generate()?;
        Ok(pair(&params.signed_by(&key, &self.issuer)?, &key))
    }
}

fn alternative(name: &str, role: Role) -> Result<SanType, rcgen::Error> {
    Ok(match (role, name.parse::<IpAddr>()) {
        (Role::Client, _) => SanType::URI(name.try_into()?),
        (Role::Server, Ok(address)) => SanType::IpAddress(address),
        (Role::Server, Err(_)) => SanType::DnsName(name.try_into()?),
    })
}

impl Facts {
    /// Reads the first certificate of a PEM text.
    ///
    /// # Errors
    /// Says what is wrong.
    pub(super) fn read(pem: &[u8]) -> Result<Self, String> {
        let der = CertificateDer::from_pem_slice(pem).map_err(|_| format!("{CERTIFICATE} is no certificate"))?;
        let (_, certificate) = x509_parser::parse_x509_certificate(&der).map_err(|error| error.to_string())?;
        let names = certificate.subject_alternative_name().map_err(|error| error.to_string())?;
        let names = names.into_iter().flat_map(|extension| &extension.value.general_names);
        let (key_id, issuer_key_id) = key_ids(&certificate);
        Ok(Self {
            begins: certificate.validity().not_before.timestamp(),
            ends: certificate.validity().not_after.timestamp(),
            names: names.map(plain).collect(),
            key_id,
            issuer_key_id,
        })
    }

    /// Whether two thirds of its life are over.
    #[must_use]
    pub(super) fn is_due(&self, now: i64) -> bool {
        now >= self.begins.saturating_add(self.ends.saturating_sub(self.begins) / 3 * 2)
    }
}

/// Its own, and the one of its issuer; empty if it does not say.
fn key_ids(certificate: &X509Certificate<'_>) -> (Vec<u8>, Vec<u8>) {
    let (mut own, mut issuer) = (Vec::new(), Vec::new());
    for extension in certificate.iter_extensions() {
        match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => own = id.0.to_vec(),
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                issuer = id.key_identifier.as_ref().map(|id| id.0.to_vec()).unwrap_or_default();
            }
            _ => {}
        }
    }
    (own, issuer)
}

/// As it was asked for; names of other kinds are never asked for.
fn plain(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::DNSName(name) | GeneralName::URI(name) => (*name).to_owned(),
        GeneralName::IPAddress(bytes) => address(bytes).unwrap_or_default(),
        other => format!("{other:?}"),
    }
}

fn address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|bytes| Ipv4Addr::from(bytes).to_string());
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(|bytes| Ipv6Addr::from(bytes).to_string())).ok()
}

/// Whether a plane could use these files.
///
/// # Errors
/// Says what is wrong with them.
pub(super) fn check(content: &Content) -> Result<(), String> {
    let file = |name| content.get(name).cloned().unwrap_or_default();
    let files = Files { certificate: file(CERTIFICATE), key: file(KEY), authorities: file(AUTHORITIES) };
    Credentials::try_from(&files).map(|_| ()).map_err(|error| error.to_string())
}

fn text<'a>(content: &'a Content, name: &str) -> Result<&'a str, String> {
    let bytes = content.get(name).ok_or_else(|| format!("{name} is missing"))?;
    std::str::from_utf8(bytes).map_err(|_| format!("{name} is no text"))
}
