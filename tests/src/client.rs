//! A plain HTTP/1.1 client: one connection, no retries, no clever defaults.

use std::net::SocketAddr;

use anyhow::Context;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::within;

/// Any body a test may send.
pub type Body = BoxBody<Bytes, std::convert::Infallible>;

/// A body that is there as a whole.
#[must_use]
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed()
}

/// A response, read to its end.
#[derive(Debug)]
pub struct Response {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// Its trailers, if it had any.
    pub trailers: HeaderMap,
}

impl Response {
    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// If it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("no JSON ({e}): {}", self.text()))
    }

    /// A header's value; empty if it is not there.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().expect("a header of text"))
    }
}

/// One kept-alive connection.
#[derive(Debug)]
pub struct Client {
    host: HeaderValue,
    sender: SendRequest<Body>,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// If that fails.
    pub async fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("connect to {address}"))?;
        stream.set_nodelay(true)?;
        Self::over(stream, &address.to_string()).await
    }

    /// Over a connection that is there, with this `Host`.
    ///
    /// # Errors
    /// If it is closed.
    pub async fn over<S>(stream: S, host: &str) -> anyhow::Result<Self>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (sender, connection) = Builder::new().handshake(TokioIo::new(stream)).await?;
        // Its error also reaches the request that it concerns.
        tokio::spawn(async move { connection.with_upgrades().await });
        Ok(Self { host: HeaderValue::from_str(host)?, sender })
    }

    /// Sends a request and gives the response as it begins. Sets `Host` if the request has none.
    ///
    /// # Errors
    /// If the connection breaks before the response head.
    pub async fn begin(&mut self, mut request: Request<Body>) -> anyhow::Result<http::Response<hyper::body::Incoming>> {
        request.headers_mut().entry(header::HOST).or_insert_with(|| self.host.clone());
        self.sender.ready().await?;
        Ok(within("a response head", self.sender.send_request(request)).await?)
    }

    /// Sends a request and reads the whole response.
    ///
    /// # Errors
    /// If the connection breaks before its end.
    pub async fn send(&mut self, request: Request<Body>) -> anyhow::Result<Response> {
        let (head, body) = self.begin(request).await?.into_parts();
        let body = within("a response body", body.collect()).await?;
        let trailers = body.trailers().cloned().unwrap_or_default();
        Ok(Response { status: head.status.as_u16(), headers: head.headers, body: body.to_bytes(), trailers })
    }

    /// GET of a path.
    ///
    /// # Errors
    /// As for [`Client::send`].
    pub async fn get(&mut self, path: &str) -> anyhow::Result<Response> {
        self.send(Request::get(path).body(full(""))?).await
    }

    /// Whether the other side has closed the connection.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}

/// Sends a request on a connection of its own.
///
/// # Errors
/// If it gets no complete response.
pub async fn send(address: SocketAddr, request: Request<Body>) -> anyhow::Result<Response> {
    Client::connect(address).await?.send(request).await
}

/// GET on a connection of its own.
///
/// # Errors
/// As for [`send`].
pub async fn get(address: SocketAddr, path: &str) -> anyhow::Result<Response> {
    send(address, Request::get(path).body(full(""))?).await
}
