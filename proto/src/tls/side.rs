//! What a server and a client make of their credentials. Both sides show a certificate and ask for one; TLS 1.3
//! only, as both sides are ours.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};

use super::{Credentials, Error};

/// The protocol that gRPC goes over.
const ALPN: &[u8] = b"h2";

/// One side of a handshake.
pub trait Side: Sized + Send + Sync + 'static {
    /// Built of these.
    ///
    /// # Errors
    /// If the library refuses them.
    fn new(credentials: &Credentials) -> Result<Self, Error>;
}

impl Side for ServerConfig {
    fn new(credentials: &Credentials) -> Result<Self, Error> {
        let Credentials { key, authorities, expires: _, provider } = credentials;
        let verifier = WebPkiClientVerifier::builder_with_provider(authorities.clone(), provider.clone());
        let mut config = Self::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])
            .map_err(setup)?
            .with_client_cert_verifier(verifier.build().map_err(setup)?)
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(key.clone())));
        config.alpn_protocols = vec![ALPN.to_vec()];
        // A resumed session is not judged again: an expired certificate would come in by it.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }
}

impl Side for ClientConfig {
    fn new(credentials: &Credentials) -> Result<Self, Error> {
        let Credentials { key, authorities, expires: _, provider } = credentials;
        let mut config = Self::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])
            .map_err(setup)?
            .with_root_certificates(authorities.clone())
            .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key.clone())));
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.resumption = Resumption::disabled();
        Ok(config)
    }
}

fn setup(error: impl ToString) -> Error {
    Error::Setup(error.to_string())
}
