//! What connections to the endpoints of a Backend go by, made ready once.

use std::hash::{Hash, Hasher};
use std::io;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::default_provider;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, version};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use weir_proto::model::{BackendTls, Invalid, TlsVersion, Trust};

use super::roots;
use super::unverified::Unverified;

/// What is spoken within TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spoken {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2: a server that does not agree to it by name does not speak it.
    Http2,
    /// What two others agree on.
    Bytes,
}

/// What connections to the endpoints of a Backend go by. Equal if the settings are.
#[derive(Debug)]
pub struct Terms {
    settings: BackendTls,
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
    bytes: Arc<ClientConfig>,
}

impl Terms {
    /// Of these settings.
    ///
    /// # Errors
    /// Names the field that the library refuses.
    pub fn new(settings: BackendTls) -> Result<Self, Invalid> {
        let provider = Arc::new(default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions(settings.minimum_version))
            .map_err(|error| refused("minimumVersion", &error))?
            .dangerous()
            .with_custom_certificate_verifier(verifier(&settings.trust, provider)?);
        let config = match &settings.certificate {
            None => builder.with_no_client_auth(),
            Some(own) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own.key().clone()))),
        };
        // They resume each other's sessions.
        let speaking = |protocol: &[u8]| {
            let mut config = config.clone();
            config.alpn_protocols = vec![protocol.to_vec()];
            Arc::new(config)
        };
        Ok(Self { settings, http1: speaking(b"http/1.1"), http2: speaking(b"h2"), bytes: Arc::new(config) })
    }

    /// What they were made of.
    #[must_use]
    pub fn settings(&self) -> &BackendTls {
        &self.settings
    }

    /// A connection within `stream`.
    ///
    /// # Errors
    /// If there is none; [`super::Fault::of`] tells why, if that is a matter of TLS.
    pub async fn connect<S>(&self, spoken: Spoken, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let config = match spoken {
            Spoken::Http1 => &self.http1,
            Spoken::Http2 => &self.http2,
            Spoken::Bytes => &self.bytes,
        };
        let name = self.settings.server_name.clone();
        let stream = TlsConnector::from(config.clone()).connect(name, stream).await?;
        if spoken == Spoken::Http2 && stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err(io::Error::other(rustls::Error::NoApplicationProtocol));
        }
        Ok(stream)
    }
}

impl PartialEq for Terms {
    fn eq(&self, other: &Self) -> bool {
        self.settings == other.settings
    }
}

impl Eq for Terms {}

impl Hash for Terms {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.settings.server_name.hash(state);
    }
}

/// Newest first.
static VERSIONS: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];

fn versions(minimum: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    match minimum {
        TlsVersion::V1_2 => &VERSIONS,
        TlsVersion::V1_3 => &VERSIONS[..1],
    }
}

fn verifier(trust: &Trust, provider: Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, Invalid> {
    let by = |authorities: Arc<RootCertStore>, provider| -> Result<Arc<dyn ServerCertVerifier>, Invalid> {
        let verifier = WebPkiServerVerifier::builder_with_provider(authorities, provider).build();
        Ok(verifier.map_err(|error| refused("ca", &error))?)
    };
    match trust {
        Trust::System => by(roots::of_system(), provider),
        Trust::Authorities(authorities) => by(authorities.store().clone(), provider),
        Trust::Anyone => Ok(Arc::new(Unverified(provider))),
    }
}

fn refused(field: &str, error: &impl ToString) -> Invalid {
    Invalid::new(field, error.to_string()).under("spec.tls")
}
