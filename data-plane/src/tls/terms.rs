//! What handshakes for a host go by, made ready once.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{Ticketer, cipher_suite, default_provider};
use rustls::server::{NoServerSessionStorage, ProducesTickets, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{ConfigBuilder, ServerConfig, WantsVerifier};
use tracing::warn;
use weir_proto::model::{Certificate, ClientCa, Invalid};

/// HTTP/2 within TLS (RFC 9113, 3.1).
pub const HTTP2: &[u8] = b"h2";
/// What is spoken within TLS, the best first.
const PROTOCOLS: [&[u8]; 2] = [HTTP2, b"http/1.1"];

/// What handshakes for a host go by.
#[derive(Debug)]
pub struct Terms {
    /// Certificate, versions, who certifies clients.
    pub config: Arc<ServerConfig>,
    /// What clients are shown.
    pub certificate: Certificate,
    /// Whose certificates clients are asked for.
    pub client_ca: Option<ClientCa>,
}

/// Makes [`Terms`]. All that one maker made take each other's tickets, on any worker, as long as it is about one host.
#[derive(Debug)]
pub struct TermsMaker {
    provider: Arc<CryptoProvider>,
    /// Without one, no session is resumed.
    tickets: Option<Arc<dyn ProducesTickets>>,
}

impl Default for TermsMaker {
    fn default() -> Self {
        let tickets = Ticketer::new().inspect_err(|error| warn!(%error, "sessions of TLS will not be resumed"));
        Self { provider: Arc::new(provider()), tickets: tickets.ok() }
    }
}

impl TermsMaker {
    /// Terms with this certificate.
    ///
    /// # Errors
    /// Names the field that the library refuses.
    pub fn make(&self, certificate: &Certificate, client_ca: Option<&ClientCa>) -> Result<Terms, Invalid> {
        let versions = ServerConfig::builder_with_provider(self.provider.clone()).with_safe_default_protocol_versions();
        let builder = self.asking(versions.map_err(|error| refused("secretName", &error))?, client_ca)?;
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certificate.key().clone())));
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
        config.ignore_client_order = true;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        match self.tickets.as_ref().filter(|_| client_ca.is_none()) {
            Some(tickets) => config.ticketer = tickets.clone(),
            // A resumed session is not judged again: a client that nobody certifies any more would come in by it.
            None => config.send_tls13_tickets = 0,
        }
        Ok(Terms { config: Arc::new(config), certificate: certificate.clone(), client_ca: client_ca.cloned() })
    }

    fn asking(
        &self,
        builder: ConfigBuilder<ServerConfig, WantsVerifier>,
        client_ca: Option<&ClientCa>,
    ) -> Result<ConfigBuilder<ServerConfig, rustls::server::WantsServerCert>, Invalid> {
        let Some(ca) = client_ca else { return Ok(builder.with_no_client_auth()) };
        let verifier =
            WebPkiClientVerifier::builder_with_provider(ca.authorities.store().clone(), self.provider.clone());
        let verifier = if ca.required { verifier } else { verifier.allow_unauthenticated() };
        let verifier = verifier.build().map_err(|error| refused("clientCa.secretName", &error))?;
        Ok(builder.with_client_cert_verifier(verifier))
    }
}

/// Ring's ciphers in our order, which decides, whatever the client's is: all are strong, and AES-128 with SHA-256 costs the
/// least. OpenSSL puts AES-256 first, and whoever uses it leaves that as it is; SHA-384, which comes with that, has no
/// instructions of its own.
fn provider() -> CryptoProvider {
    let mut provider = default_provider();
    let swift = [
        cipher_suite::TLS13_AES_128_GCM_SHA256,
        cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    ]
    .map(|cipher| cipher.suite());
    // Stable: the others keep their order.
    provider.cipher_suites.sort_by_key(|cipher| !swift.contains(&cipher.suite()));
    provider
}

fn refused(field: &str, error: &impl ToString) -> Invalid {
    Invalid::new(field, error.to_string()).under("spec.tls")
}

#[cfg(test)]
pub(super) mod tests {
    use rcgen::{CertificateParams, KeyPair};
    use weir_proto::model::Authorities;

    use super::*;

    /// A certificate for this host.
    pub(in crate::tls) fn certificate(host: &str) -> Certificate {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![host.to_owned()]).unwrap().self_signed(&key).unwrap();
        Certificate::from_pem(certificate.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap()
    }

    /// Terms with one.
    pub(in crate::tls) fn terms(host: &str) -> Terms {
        TermsMaker::default().make(&certificate(host), None).unwrap()
    }

    #[test]
    fn aes_128_comes_first_whatever_the_client_prefers() {
        let config = terms("a").config;
        assert!(config.ignore_client_order);
        let ciphers = &config.crypto_provider().cipher_suites;
        assert_eq!(ciphers[0].suite(), rustls::CipherSuite::TLS13_AES_128_GCM_SHA256);
        assert_eq!(ciphers.len(), default_provider().cipher_suites.len(), "none is missing");
    }

    #[test]
    fn who_is_asked_for_a_certificate_gets_no_ticket() {
        let (maker, certificate) = (TermsMaker::default(), certificate("a"));
        let ca = ClientCa { authorities: Authorities::from_pem(certificate.pem()).unwrap(), required: false };
        let asked = maker.make(&certificate, Some(&ca)).unwrap().config;
        assert!(asked.send_tls13_tickets == 0 && !asked.ticketer.enabled() && !asked.session_storage.can_cache());
        let free = maker.make(&certificate, None).unwrap().config;
        assert!(free.send_tls13_tickets > 0 && free.ticketer.enabled());
        let again = maker.make(&certificate, None).unwrap().config;
        let ticket = free.ticketer.encrypt(b"session").unwrap();
        assert_eq!(again.ticketer.decrypt(&ticket).as_deref(), Some(&b"session"[..]), "they take each other's");
    }
}
