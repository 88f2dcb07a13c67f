//! One connection to a control plane: TCP, TLS where its URL says so, and HTTP/2 on it.

use std::future::ready;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use http::uri::{PathAndQuery, Scheme};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::{InvalidDnsNameError, ServerName};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;
use tonic::transport::{Channel, Endpoint};
use weir_proto::tls::Current;

use super::targets::{Candidate, host};

/// To reach an address; a node that is gone does not even refuse.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// A control plane that is gone without a word is noticed after at most the sum of these two. A thousand proxies cost
/// it 500 pings a second, a fraction of one percent of a core.
const PING_EVERY: Duration = Duration::from_secs(2);
const PONG_WITHIN: Duration = Duration::from_secs(2);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("cannot connect")]
    Tcp(#[source] io::Error),
    #[error("cannot connect within {CONNECT_WITHIN:?}")]
    Timeout,
    #[error("no name to check the certificate against")]
    Name(#[from] InvalidDnsNameError),
    #[error("the TLS handshake failed")]
    Tls(#[source] io::Error),
    #[error("https needs certificates")]
    NoCertificates,
    #[error("HTTP/2 failed")]
    Http(#[from] tonic::transport::Error),
}

type Io = Either<TcpStream, TlsStream<TcpStream>>;

/// Connects, with the newest certificates if any.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    /// `None`: plain HTTP/2.
    pub(super) tls: Option<Arc<Current<ClientConfig>>>,
}

impl Connector {
    /// A channel to a candidate that is connected, and does not connect a second time.
    pub(super) async fn connect(&self, candidate: &Candidate) -> Result<Channel, ConnectError> {
        let tcp = timeout(CONNECT_WITHIN, TcpStream::connect(candidate.address)).await;
        let tcp = tcp.map_err(|_| ConnectError::Timeout)?.map_err(ConnectError::Tcp)?;
        tcp.set_nodelay(true).map_err(ConnectError::Tcp)?;
        let io = if is_tls(candidate) { Either::Right(self.shake(tcp, candidate).await?) } else { Either::Left(tcp) };
        Ok(channel(candidate, io).await?)
    }

    async fn shake(&self, tcp: TcpStream, candidate: &Candidate) -> Result<TlsStream<TcpStream>, ConnectError> {
        let tls = self.tls.as_ref().ok_or(ConnectError::NoCertificates)?;
        let name = ServerName::try_from(host(&candidate.url).to_owned())?;
        TlsConnector::from(tls.side()).connect(name, tcp).await.map_err(ConnectError::Tls)
    }
}

fn is_tls(candidate: &Candidate) -> bool {
    candidate.url.scheme_str() == Some("https")
}

/// The URL with the scheme `http`.
fn in_the_clear(url: Uri) -> Uri {
    let mut parts = url.into_parts();
    parts.scheme = Some(Scheme::HTTP);
    // A URL of a control plane has a host, and a path if only an empty one.
    parts.path_and_query.get_or_insert_with(|| PathAndQuery::from_static("/"));
    Uri::from_parts(parts).unwrap_or_default()
}

async fn channel(candidate: &Candidate, io: Io) -> Result<Channel, tonic::transport::Error> {
    let mut io = Some(io);
    let once = tower::service_fn(move |_| {
        let io = io.take().ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected));
        ready(io.map(TokioIo::new))
    });
    // To the library it is a connection in the clear: it would begin TLS of its own, or refuse to go without.
    Endpoint::from(in_the_clear(candidate.url.clone()))
        .origin(candidate.url.clone())
        .http2_keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PONG_WITHIN)
        .keep_alive_while_idle(true)
        .connect_with_connector(once)
        .await
}
