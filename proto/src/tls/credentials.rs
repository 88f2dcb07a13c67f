//! What the files say, checked: nothing of it can fail a handshake by being malformed.

use std::fmt;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::default_provider;
use rustls::sign::CertifiedKey;

use super::Error;
use super::files::{AUTHORITIES, CERTIFICATE, Files, KEY};
use crate::model::{Authorities, BadCertificate, Certificate};

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
        let certificate = Certificate::from_pem(&files.certificate, &files.key).map_err(|bad| match bad {
            BadCertificate::Certificate(problem) => content(CERTIFICATE, problem),
            BadCertificate::Key(problem) => content(KEY, problem),
            BadCertificate::Mismatch => Error::Mismatch,
        })?;
        let authorities = Authorities::from_pem(&files.authorities).map_err(|problem| content(AUTHORITIES, problem))?;
        Ok(Self {
            key: certificate.key().clone(),
            authorities: authorities.store().clone(),
            expires: certificate.expires(),
            provider: Arc::new(default_provider()),
        })
    }
}

fn content(file: &'static str, problem: impl ToString) -> Error {
    Error::Content { file, problem: problem.to_string() }
}
