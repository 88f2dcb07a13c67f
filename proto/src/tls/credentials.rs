//! What the files say, checked: nothing of it can fail a handshake by being malformed.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, RootCertStore};
use x509_parser::parse_x509_certificate;

use super::Error;
use super::files::{AUTHORITIES, CERTIFICATE, Files, KEY};

/// A certificate with its key, and the authorities that are believed.
#[derive(Clone)]
pub struct Credentials {
    /// Certificate and key, which belong together.
    pub key: Arc<CertifiedKey>,
    /// At least one.
    pub authorities: Arc<RootCertStore>,
    /// When the certificate ends, in seconds since 1970.
    pub expires: i64,
    pub(super) provider: Arc<CryptoProvider>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("expires", &self.expires).finish_non_exhaustive()
    }
}

impl TryFrom<&Files> for Credentials {
    type Error = Error;

    fn try_from(files: &Files) -> Result<Self, Error> {
        let provider = Arc::new(default_provider());
        let chain = certificates(CERTIFICATE, &files.certificate)?;
        let expires = expiry(&chain[0])?;
        // Why a key cannot be read may quote from it.
        let key = PrivateKeyDer::from_pem_slice(&files.key).map_err(|_| content(KEY, "no private key in PEM"))?;
        let key = CertifiedKey::from_der(chain, key, &provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => Error::Mismatch,
            _ => content(KEY, "a private key that cannot be used"),
        })?;
        let mut authorities = RootCertStore::empty();
        for authority in certificates(AUTHORITIES, &files.authorities)? {
            authorities.add(authority).map_err(|error| content(AUTHORITIES, error))?;
        }
        Ok(Self { key: Arc::new(key), authorities: Arc::new(authorities), expires, provider })
    }
}

fn content(file: &'static str, problem: impl ToString) -> Error {
    Error::Content { file, problem: problem.to_string() }
}

/// At least one.
fn certificates(file: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.map_err(|error| content(file, error))?;
    if all.is_empty() { Err(content(file, "no certificate in PEM")) } else { Ok(all) }
}

fn expiry(certificate: &CertificateDer<'_>) -> Result<i64, Error> {
    let (_, certificate) = parse_x509_certificate(certificate).map_err(|error| content(CERTIFICATE, error))?;
    Ok(certificate.validity().not_after.timestamp())
}
