//! What sends the requests of probes, whichever HTTP the endpoint speaks.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::task::spawn_local;

use super::ProbeTarget;
use crate::http::failure::Failure;
use crate::upstream::tls::Spoken;
use crate::upstream::transport::Transport;

/// A connection.
#[derive(Debug)]
pub(super) enum Sender {
    Http1(http1::SendRequest<Empty<Bytes>>),
    Http2(http2::SendRequest<Empty<Bytes>>),
}

impl Sender {
    /// What is said within TLS to this target.
    pub(super) fn spoken(target: &ProbeTarget) -> Spoken {
        if target.http2 { Spoken::Http2 } else { Spoken::Http1 }
    }

    /// On a new connection to the target.
    pub(super) async fn start(target: &ProbeTarget, stream: Transport) -> Result<Self, Failure> {
        let io = TokioIo::new(stream);
        if target.http2 {
            let started = http2::handshake(TokioExecutor::new(), io).await;
            let (sender, driver) = started.map_err(|error| Failure::of_http2(&error, true))?;
            spawn_local(driver);
            return Ok(Self::Http2(sender));
        }
        let (sender, driver) = http1::handshake(io).await.map_err(|error| Failure::of(&error, true))?;
        spawn_local(driver);
        Ok(Self::Http1(sender))
    }

    pub(super) fn is_ready(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_ready(),
            Self::Http2(sender) => sender.is_ready(),
        }
    }

    pub(super) async fn send(&mut self, request: Request<Empty<Bytes>>) -> Result<Response<Incoming>, Failure> {
        match self {
            Self::Http1(sender) => sender.send_request(request).await.map_err(|error| Failure::of(&error, false)),
            Self::Http2(sender) => sender.send_request(request).await.map_err(|error| Failure::of_http2(&error, false)),
        }
    }
}
