//! What handshakes for a host go by, made ready once.

use std::sync::Arc;

use rustls::CipherSuite::{self, TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{Ticketer, default_provider};
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
    /// Certificate, versions, who certifies clients. Of the ciphers that we speak, the client's order decides.
    config: Arc<ServerConfig>,
    /// The same, but of the ciphers of TLS 1.3 with AES-128 alone.
    swift: Arc<ServerConfig>,
    /// What clients are shown.
    pub certificate: Certificate,
    /// Whose certificates clients are asked for.
    pub client_ca: Option<ClientCa>,
}

impl Terms {
    /// What a handshake with a client that offers these ciphers goes by.
    ///
    /// OpenSSL puts AES-256 before AES-128, and whoever uses it leaves that as it is. SHA-384, which comes with AES-256,
    /// has no instructions of its own and takes a tenth of a handshake. So a client that asks for AES gets AES-128 if it
    /// takes that, too, as from BoringSSL and Go; one that has other wishes, such as ChaCha20 before both, gets those.
    #[must_use]
    pub fn config_for(&self, offered: &[CipherSuite]) -> &Arc<ServerConfig> {
        let takes_either =
            offered.first() == Some(&TLS13_AES_256_GCM_SHA384) && offered.contains(&TLS13_AES_128_GCM_SHA256);
        if takes_either { &self.swift } else { &self.config }
    }
}

/// Makes [`Terms`]. All that one maker made take each other's tickets, on any worker, as long as it is about one host.
#[derive(Debug)]
pub struct TermsMaker {
    provider: Arc<CryptoProvider>,
    swift: Arc<CryptoProvider>,
    /// Without one, no session is resumed.
    tickets: Option<Arc<dyn ProducesTickets>>,
}

impl Default for TermsMaker {
    fn default() -> Self {
        let tickets = Ticketer::new().inspect_err(|error| warn!(%error, "sessions of TLS will not be resumed"));
        let (provider, mut swift) = (default_provider(), default_provider());
        let slow = [TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256];
        swift.cipher_suites.retain(|cipher| !slow.contains(&cipher.suite()));
        Self { provider: Arc::new(provider), swift: Arc::new(swift), tickets: tickets.ok() }
    }
}

impl TermsMaker {
    /// Terms with this certificate.
    ///
    /// # Errors
    /// Names the field that the library refuses.
    pub fn make(&self, certificate: &Certificate, client_ca: Option<&ClientCa>) -> Result<Terms, Invalid> {
        let config = |provider| self.config(provider, certificate, client_ca).map(Arc::new);
        let (config, swift) = (config(&self.provider)?, config(&self.swift)?);
        Ok(Terms { config, swift, certificate: certificate.clone(), client_ca: client_ca.cloned() })
    }

    fn config(
        &self,
        provider: &Arc<CryptoProvider>,
        certificate: &Certificate,
        client_ca: Option<&ClientCa>,
    ) -> Result<ServerConfig, Invalid> {
        let versions = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
        let builder = self.asking(versions.map_err(|error| refused("secretName", &error))?, client_ca)?;
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certificate.key().clone())));
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
        // All that are offered here are strong; the strongest of both sides is taken, whoever names it first.
        config.ignore_client_order = true;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        match self.tickets.as_ref().filter(|_| client_ca.is_none()) {
            Some(tickets) => config.ticketer = tickets.clone(),
            // A resumed session is not judged again: a client that nobody certifies any more would come in by it.
            None => config.send_tls13_tickets = 0,
        }
        Ok(config)
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
    fn a_client_of_aes_gets_aes_128_if_it_takes_that_and_no_other_wish_is_overruled() {
        const CHACHA20: CipherSuite = TLS13_CHACHA20_POLY1305_SHA256;
        const AES_256: CipherSuite = TLS13_AES_256_GCM_SHA384;
        const AES_128: CipherSuite = TLS13_AES_128_GCM_SHA256;
        let terms = terms("a");
        let speaks = |offered: &[CipherSuite], cipher| {
            let ciphers = &terms.config_for(offered).crypto_provider().cipher_suites;
            ciphers.iter().any(|spoken| spoken.suite() == cipher)
        };
        let of_openssl = [AES_256, CHACHA20, AES_128];
        assert_eq!([AES_256, CHACHA20, AES_128].map(|cipher| speaks(&of_openssl, cipher)), [false, false, true]);
        for offered in [&[AES_256][..], &[AES_256, CHACHA20], &[CHACHA20, AES_256, AES_128], &[]] {
            assert!(speaks(offered, AES_256), "{offered:?}");
        }
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
