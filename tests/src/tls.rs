//! A client that speaks TLS.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::authority::{Authority, Pair};
use crate::{Client, within};

/// A client; its connections resume each other's sessions.
#[derive(Debug, Clone)]
pub struct TlsClient(Arc<ClientConfig>);

/// What a client may speak.
pub const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

impl TlsClient {
    /// One that believes this authority, in these versions, and perhaps has a certificate.
    ///
    /// # Panics
    /// If the certificate is none.
    #[must_use]
    pub fn new(authority: &Authority, versions: &[&'static SupportedProtocolVersion], own: Option<&Pair>) -> Self {
        Self::believing(authority.pem(), versions, own)
    }

    /// One that believes this certificate, in PEM, in these versions, and perhaps has one of its own.
    ///
    /// # Panics
    /// If one is none.
    #[must_use]
    pub fn believing(pem: &str, versions: &[&'static SupportedProtocolVersion], own: Option<&Pair>) -> Self {
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots(pem));
        Self(Arc::new(match own {
            None => builder.with_no_client_auth(),
            Some(Pair { certificate: pem, key }) => {
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
                builder.with_client_auth_cert(vec![certificate(pem)], key).expect("a certificate with its key")
            }
        }))
    }

    /// One that believes this authority, in any version.
    #[must_use]
    pub fn trusting(authority: &Authority) -> Self {
        Self::new(authority, &VERSIONS, None)
    }

    /// The same, offering these protocols within TLS.
    #[must_use]
    pub fn offering(&self, protocols: &[&str]) -> Self {
        let mut config = (*self.0).clone();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Self(Arc::new(config))
    }

    /// The same, not telling the name that it connects to.
    #[must_use]
    pub fn silent(&self) -> Self {
        let mut config = (*self.0).clone();
        config.enable_sni = false;
        Self(Arc::new(config))
    }

    /// Connects, and believes a certificate for this name only.
    ///
    /// # Errors
    /// If the handshake fails.
    pub async fn connect(&self, address: SocketAddr, name: &str) -> anyhow::Result<Secure> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        self.shake_hands(stream, name).await
    }

    /// The same on a connection that has begun with something else.
    ///
    /// # Errors
    /// If the handshake fails.
    pub async fn shake_hands(&self, stream: TcpStream, name: &str) -> anyhow::Result<Secure> {
        let name = ServerName::try_from(name.to_owned())?;
        let stream = within("a handshake", TlsConnector::from(self.0.clone()).connect(name, stream)).await?;
        Ok(Secure { stream })
    }
}

/// A connection whose handshake is done.
#[derive(Debug)]
pub struct Secure {
    stream: TlsStream<TcpStream>,
}

impl Secure {
    /// Whether its session began on another connection.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        self.stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// What is spoken within TLS, if that was agreed on.
    #[must_use]
    pub fn protocol(&self) -> Option<&[u8]> {
        self.stream.get_ref().1.alpn_protocol()
    }

    /// Whether the server showed this certificate.
    #[must_use]
    pub fn was_shown(&self, pair: &Pair) -> bool {
        let shown = self.stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        shown == Some(&certificate(&pair.certificate))
    }

    /// The bytes within TLS.
    #[must_use]
    pub fn into_stream(self) -> TlsStream<TcpStream> {
        self.stream
    }

    /// Speaks HTTP from now on, with this `Host`.
    ///
    /// # Errors
    /// If the connection is closed.
    pub async fn http(self, host: &str) -> anyhow::Result<Client> {
        Client::over(self.stream, host).await
    }

    /// Speaks HTTP/2 from now on, with this authority.
    ///
    /// # Errors
    /// If the connection is closed.
    pub async fn http2(self, host: &str) -> anyhow::Result<Client> {
        Client::over_http2(self.stream, host).await
    }
}

fn certificate(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate")
}

/// What believes this certificate, in PEM, and no other.
pub(crate) fn roots(pem: &str) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(certificate(pem)).expect("an authority");
    roots
}
