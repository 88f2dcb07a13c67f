//! A small HTTP/1.1 client for admin servers, and for the demo's requests.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use http::{HeaderValue, Request, Response, header};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than Weir's own limits make any answer wait by default.
const LIMIT: Duration = Duration::from_secs(90);

/// One kept-alive connection.
#[derive(Debug)]
pub(crate) struct Client {
    host: HeaderValue,
    sender: SendRequest<String>,
}

impl Client {
    /// Connects.
    pub(crate) async fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        Self::open(&address.to_string()).await
    }

    /// Connects to `host:port`.
    pub(crate) async fn open(authority: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(authority).await.with_context(|| format!("cannot connect to {authority}"))?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // Its error also reaches the request that it concerns.
        tokio::spawn(connection);
        Ok(Self { host: HeaderValue::from_str(authority)?, sender })
    }

    /// Whether another request may be sent.
    pub(crate) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Sends a request; `Host` is the address connected to.
    pub(crate) async fn send(&mut self, mut request: Request<String>) -> anyhow::Result<Response<Incoming>> {
        request.headers_mut().insert(header::HOST, self.host.clone());
        let exchange = async {
            self.sender.ready().await?;
            self.sender.send_request(request).await
        };
        Ok(timeout(LIMIT, exchange).await.context("no answer")??)
    }
}
