//! An HTTP client: of plugins that ask other servers, over HTTP or HTTPS. Redirects are not followed.

use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{self, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};

/// How long a connection is kept without a request.
const IDLE: Duration = Duration::from_secs(60);
/// Connections of one client that are kept without a request.
const MOST_IDLE: usize = 64;

/// A client, and the connections that it keeps.
pub type Client = legacy::Client<HttpsConnector<HttpConnector>, Empty<Bytes>>;

/// Trusts the system's certificate authorities, read once.
static TLS: LazyLock<ClientConfig> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()
});

/// Reads the certificate authorities, if nobody has yet: files, for which no request should wait.
pub fn prepare() {
    LazyLock::force(&TLS);
}

/// A client without connections yet.
#[must_use]
pub fn new() -> Client {
    let mut tcp = HttpConnector::new();
    // The connector above it says which schemes there are.
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let tls = HttpsConnectorBuilder::new().with_tls_config(TLS.clone()).https_or_http().enable_http1();
    legacy::Builder::new(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(MOST_IDLE)
        .build(tls.wrap_connector(tcp))
}
