//! The authorities of the system.

use std::sync::{Arc, LazyLock};

use rustls::RootCertStore;

/// Read once, as they are files.
static ROOTS: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    Arc::new(roots)
});

/// Those that the system had when they were asked for first.
#[must_use]
pub fn of_system() -> Arc<RootCertStore> {
    ROOTS.clone()
}
