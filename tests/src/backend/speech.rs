//! What a mock backend speaks.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;

use crate::authority::{Authority, Pair};
use crate::tls::{VERSIONS, roots};

/// What a backend speaks: HTTP/1.1 by default.
#[derive(Debug, Clone, Default)]
pub struct Speech {
    /// How it speaks TLS.
    pub(super) tls: Option<Arc<ServerConfig>>,
    /// Whether it is HTTP/2, and nothing else.
    pub(super) http2: bool,
    /// Streams of HTTP/2 that it takes at once on a connection.
    pub(super) streams: Option<u32>,
}

impl Speech {
    /// HTTP/2 with prior knowledge.
    #[must_use]
    pub fn http2() -> Self {
        Self { http2: true, ..Self::default() }
    }

    /// The same, taking so many streams of HTTP/2 at once on a connection.
    #[must_use]
    pub fn with_streams(self, most: u32) -> Self {
        Self { streams: Some(most), ..self }
    }

    /// How it speaks TLS, if it does.
    #[must_use]
    pub fn config(&self) -> Option<&Arc<ServerConfig>> {
        self.tls.as_ref()
    }

    /// HTTP/1.1 within TLS, with this certificate.
    #[must_use]
    pub fn tls(pair: &Pair) -> Self {
        Self::with(pair, &["http/1.1"], None, false)
    }

    /// The same for those only who have a certificate of this authority.
    #[must_use]
    pub fn tls_for(pair: &Pair, clients: &Authority) -> Self {
        Self::with(pair, &["http/1.1"], Some(clients), false)
    }

    /// HTTP/2 within TLS, with this certificate.
    #[must_use]
    pub fn http2_tls(pair: &Pair) -> Self {
        Self::with(pair, &["h2"], None, true)
    }

    /// The same in these versions of TLS only.
    ///
    /// # Panics
    /// If it speaks no TLS.
    #[must_use]
    pub fn in_old_tls(pair: &Pair) -> Self {
        let config = config(pair, None, &VERSIONS[..1]);
        Self { tls: Some(Arc::new(config)), ..Self::default() }
    }

    fn with(pair: &Pair, protocols: &[&str], clients: Option<&Authority>, http2: bool) -> Self {
        let mut config = config(pair, clients, &VERSIONS);
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Self { tls: Some(Arc::new(config)), http2, streams: None }
    }
}

fn config(
    pair: &Pair,
    clients: Option<&Authority>,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> ServerConfig {
    let provider = Arc::new(default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(versions).expect("versions");
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let roots = Arc::new(roots(authority.pem()));
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
            builder.with_client_cert_verifier(verifier.expect("an authority"))
        }
    };
    let certificate = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("a key");
    builder.with_single_cert(vec![certificate], key).expect("a certificate with its key")
}
