//! Who certifies others.

use std::fmt;
use std::sync::Arc;

use rustls::RootCertStore;

use super::certificate::certificates;

/// Authorities, at least one. Equal if the PEM texts are. A copy shares them.
#[derive(Clone)]
pub struct Authorities {
    pem: Arc<[u8]>,
    store: Arc<RootCertStore>,
}

impl Authorities {
    /// Of a PEM text with at least one authority.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn from_pem(pem: &[u8]) -> Result<Self, String> {
        let mut store = RootCertStore::empty();
        for authority in certificates(pem)? {
            store.add(authority).map_err(|error| error.to_string())?;
        }
        Ok(Self { pem: pem.into(), store: Arc::new(store) })
    }

    /// The PEM text.
    #[must_use]
    pub fn pem(&self) -> &[u8] {
        &self.pem
    }

    /// For handshakes.
    #[must_use]
    pub fn store(&self) -> &Arc<RootCertStore> {
        &self.store
    }
}

impl PartialEq for Authorities {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.pem, &other.pem) || self.pem == other.pem
    }
}

impl Eq for Authorities {}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorities").field("count", &self.store.len()).finish_non_exhaustive()
    }
}
