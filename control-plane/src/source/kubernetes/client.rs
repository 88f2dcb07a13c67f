//! The way to the API server.

use std::time::Duration;

use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ConfigExt, retry::InvalidBackoff, retry::RetryPolicy};
use kube::config::InferConfigError;
use kube::{Client, Config};
use tower::retry::RetryLayer;
use tower::{BoxError, ServiceBuilder};

/// How long it may take to connect.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// A watch may be silent for minutes. Without probes, an API server that is gone without a word would be noticed
/// only when the watch should have ended.
const PROBE_AFTER: Duration = Duration::from_secs(10);
const PROBE_EVERY: Duration = Duration::from_secs(5);
const PROBES: u32 = 3;

/// An answer of 429, 503 or 504 is asked for again a few times, after the time that the API server names, if it
/// does; then it is a failure.
const RETRIES: u32 = 3;
const RETRY_AFTER: Duration = Duration::from_millis(100);
const RETRY_AFTER_MOST: Duration = Duration::from_secs(2);

/// Why there is no way to an API server.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nothing says where it is.
    #[error(
        "there is no Kubernetes cluster to watch: {0}. Run in a pod with a service account, set KUBECONFIG, or \
         serve manifests of a folder with --folder DIR"
    )]
    NoCluster(String),
    /// What says where it is is wrong.
    #[error("Kubernetes: {0}")]
    Client(#[from] kube::Error),
    /// The limits of retries contradict each other.
    #[error("Kubernetes: retries: {0}")]
    Retries(#[from] InvalidBackoff),
}

impl From<InferConfigError> for ClientError {
    fn from(error: InferConfigError) -> Self {
        Self::NoCluster(error.to_string())
    }
}

/// A client by KUBECONFIG or ~/.kube/config, else by the service account of the pod. Connects when it is used.
///
/// # Errors
/// If neither is there, or one is malformed.
pub async fn connect() -> Result<Client, ClientError> {
    client(Config::infer().await?)
}

/// A client with our limits.
pub(super) fn client(config: Config) -> Result<Client, ClientError> {
    let https = config.rustls_https_connector_with_connector(connector())?;
    let retries = RetryPolicy::new(RETRY_AFTER, RETRY_AFTER_MOST, RETRIES, true)?;
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .layer(RetryLayer::new(retries))
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(HttpClient::builder(TokioExecutor::new()).build::<_, Body>(https));
    Ok(Client::new(service, config.default_namespace))
}

fn connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false); // TLS is put on top of it
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT_WITHIN));
    connector.set_keepalive(Some(PROBE_AFTER));
    connector.set_keepalive_interval(Some(PROBE_EVERY));
    connector.set_keepalive_retries(Some(PROBES));
    connector
}
