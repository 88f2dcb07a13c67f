//! An HTTP client: of plugins that ask other servers, over HTTP or HTTPS. Redirects are not followed.

use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{self, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;

use crate::upstream::tls::roots;

/// How long a connection is kept without a request.
const IDLE: Duration = Duration::from_secs(60);
/// Connections of one client that are kept without a request.
const MOST_IDLE: usize = 64;

/// A client, and the connections that it keeps.
pub type Client = legacy::Client<HttpsConnector<HttpConnector>, Empty<Bytes>>;

/// Trusts the system's certificate authorities, read once.
static TLS: LazyLock<ClientConfig> =
    LazyLock::new(|| ClientConfig::builder().with_root_certificates(roots::of_system()).with_no_client_auth());

/// Reads the certificate authorities, if nobody has yet: files, for which no request should wait.
pub fn prepare() {
    LazyLock::force(&TLS);
}

/// A client without connections yet.
#[must_use]
pub fn new() -> Client {
    with_tls(TLS.clone())
}

fn with_tls(tls: ClientConfig) -> Client {
    let mut tcp = HttpConnector::new();
    // The connector above it says which schemes there are.
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let tls = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
    legacy::Builder::new(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(MOST_IDLE)
        .build(tls.wrap_connector(tcp))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use http::Uri;
    use http_body_util::BodyExt;
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
    use rustls::{RootCertStore, ServerConfig};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;

    /// A server that answers each connection's first request with `hello`, and its certificate.
    async fn server() -> (SocketAddr, CertificateDer<'static>) {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der()).into();
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![cert.der().clone()], key);
        let acceptor = TlsAcceptor::from(Arc::new(config.unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                stream.read_u8().await.unwrap();
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await.unwrap();
            }
        });
        (address, cert.der().clone())
    }

    #[tokio::test]
    async fn p1_only_a_server_with_a_certificate_that_is_trusted_is_asked() {
        let (address, certificate) = server().await;
        let url: Uri = format!("https://{address}/").parse().unwrap();
        assert!(new().get(url.clone()).await.unwrap_err().is_connect());
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        let client = with_tls(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth());
        let body = client.get(url).await.unwrap().into_body().collect().await.unwrap();
        assert_eq!(body.to_bytes(), "hello");
    }
}
