//! A plain client of HTTP/1.1 or HTTP/2: one connection, no retries, no clever defaults.

use std::net::SocketAddr;

use anyhow::Context;
use bytes::Bytes;
use futures_util::FutureExt;
use http::uri::Scheme;
use http::{HeaderMap, HeaderValue, Request, Uri, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
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
    sender: Sender,
}

#[derive(Debug)]
enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
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
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // Its error also reaches the request that it concerns.
        tokio::spawn(async move { connection.with_upgrades().await });
        Ok(Self { host: HeaderValue::from_str(host)?, sender: Sender::Http1(sender) })
    }

    /// Connects, and speaks HTTP/2 from the beginning.
    ///
    /// # Errors
    /// If that fails.
    pub async fn connect_http2(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("connect to {address}"))?;
        stream.set_nodelay(true)?;
        Self::over_http2(stream, &address.to_string()).await
    }

    /// Speaks HTTP/2 over a connection that is there, with this authority.
    ///
    /// # Errors
    /// If it is closed.
    pub async fn over_http2<S>(stream: S, host: &str) -> anyhow::Result<Self>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { host: HeaderValue::from_str(host)?, sender: Sender::Http2(sender) })
    }

    /// Another one that sends its requests on the same connection of HTTP/2.
    ///
    /// # Panics
    /// If it speaks HTTP/1.1.
    #[must_use]
    pub fn beside(&self) -> Self {
        match &self.sender {
            Sender::Http1(_) => panic!("HTTP/1.1 has one request at a time"),
            Sender::Http2(sender) => Self { host: self.host.clone(), sender: Sender::Http2(sender.clone()) },
        }
    }

    /// Sends a request and gives the response as it begins. Sets `Host`, or the authority, if the request has none.
    ///
    /// # Errors
    /// If the connection breaks before the response head.
    pub async fn begin(&mut self, mut request: Request<Body>) -> anyhow::Result<http::Response<hyper::body::Incoming>> {
        let sending = match &mut self.sender {
            Sender::Http1(sender) => {
                request.headers_mut().entry(header::HOST).or_insert_with(|| self.host.clone());
                sender.ready().await?;
                sender.send_request(request).boxed()
            }
            Sender::Http2(sender) => {
                *request.uri_mut() = absolute(request.uri(), &self.host)?;
                sender.ready().await?;
                sender.send_request(request).boxed()
            }
        };
        Ok(within("a response head", sending).await?)
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
        match &self.sender {
            Sender::Http1(sender) => sender.is_closed(),
            Sender::Http2(sender) => sender.is_closed(),
        }
    }
}

fn absolute(uri: &Uri, host: &HeaderValue) -> anyhow::Result<Uri> {
    let mut parts = uri.clone().into_parts();
    if parts.authority.is_none() {
        parts.authority = Some(host.to_str()?.parse()?);
    }
    parts.scheme.get_or_insert(Scheme::HTTP);
    Ok(Uri::from_parts(parts)?)
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
