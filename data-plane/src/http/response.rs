//! The response body on its way to the client.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use weir_proto::model::ClientAbort;

use super::attempt::Template;
use super::compress::{Compressed, Encoder};
use super::exchange::Exchange;
use super::grpc;
use super::lease::{self, Lease};
use super::read_limit::ReadLimit;
use crate::reason::Reason;
use crate::upstream::{Incoming, IncomingError};

/// A body sent to a client. Ends its [`Exchange`] when dropped.
#[derive(Debug)]
pub enum ReplyBody {
    /// Made here.
    Local {
        /// What is left to send.
        text: Option<Bytes>,
        /// Ends with the body.
        exchange: Box<Exchange>,
    },
    /// Streamed from an upstream.
    Upstream(Box<Forwarded>),
    /// Either of them, compressed.
    Compressed(Box<Compressed>),
    /// Of a 101, whose exchange goes on as a tunnel.
    Empty,
}

/// A body streamed from an upstream.
#[derive(Debug)]
pub struct Forwarded {
    /// Taken when the rest is read for nobody.
    incoming: Option<Incoming>,
    /// The connection it comes on, until the body is complete or broken.
    lease: Option<Lease>,
    exchange: Option<Box<Exchange>>,
    limit: ReadLimit,
    /// Its body may still be on the way: an upstream may answer before it has all of it.
    _request: Rc<Template>,
}

/// Why a response ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum ReplyError {
    /// The upstream's connection broke.
    #[error("the upstream broke off its response")]
    Broken(#[from] IncomingError),
    /// The upstream sent nothing for too long.
    #[error("the upstream's response stalled")]
    Stalled,
    /// There is no memory to compress it.
    #[error("the response could not be compressed")]
    Compression(#[from] std::io::Error),
}

impl ReplyBody {
    /// A body made here.
    #[must_use]
    pub fn local(text: Bytes, mut exchange: Box<Exchange>) -> Self {
        exchange.bytes = text.len() as u64;
        Self::Local { text: Some(text), exchange }
    }

    /// The body of an upstream's response to `request`.
    #[must_use]
    pub fn upstream(incoming: Incoming, lease: Lease, exchange: Box<Exchange>, request: Rc<Template>) -> Self {
        let limit = ReadLimit::of(&exchange);
        let (incoming, lease, exchange) = (Some(incoming), Some(lease), Some(exchange));
        Self::Upstream(Box::new(Forwarded { incoming, lease, exchange, limit, _request: request }))
    }

    /// The same compressed, if there is something to compress it.
    #[must_use]
    pub fn compressed(self, encoder: Option<Encoder>) -> Self {
        match encoder {
            Some(encoder) => Self::Compressed(Box::new(Compressed::new(self, encoder))),
            None => self,
        }
    }

    /// Sets how many bytes of it the client has got.
    pub fn set_bytes(&mut self, bytes: u64) {
        let exchange = match self {
            Self::Local { exchange, .. } => Some(exchange),
            Self::Upstream(forwarded) => forwarded.exchange.as_mut(),
            Self::Compressed(_) | Self::Empty => None,
        };
        if let Some(exchange) = exchange {
            exchange.bytes = bytes;
        }
    }
}

impl Forwarded {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ReplyError>>> {
        let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
        match Pin::new(incoming).poll_frame(cx) {
            Poll::Pending => {
                ready!(self.limit.poll_passed(cx));
                Poll::Ready(Some(self.give_up()))
            }
            Poll::Ready(Some(Ok(frame))) => {
                self.limit.progress();
                self.count(&frame);
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(self.fail(Reason::Reset, error.into())))),
            Poll::Ready(None) => {
                self.complete();
                Poll::Ready(None)
            }
        }
    }

    /// A call whose deadline has passed is told so; all else breaks off.
    fn give_up(&mut self) -> Result<Frame<Bytes>, ReplyError> {
        let error = self.fail(Reason::Timeout, ReplyError::Stalled);
        if self.exchange.as_ref().is_some_and(|exchange| exchange.is_past_patience()) {
            self.incoming = None;
            return Ok(Frame::trailers(grpc::deadline_exceeded()));
        }
        Err(error)
    }

    fn count(&mut self, frame: &Frame<Bytes>) {
        match frame.data_ref() {
            Some(data) => {
                if let Some(exchange) = &mut self.exchange {
                    exchange.bytes += data.len() as u64;
                }
            }
            // Nothing comes after trailers, and hyper does not ask.
            None => self.complete(),
        }
    }

    /// A response broken off counts as a failure of the endpoint (H1), though nothing can be retried.
    fn fail(&mut self, reason: Reason, error: ReplyError) -> ReplyError {
        self.lease = None;
        if let Some(exchange) = &mut self.exchange {
            exchange.reason = Some(reason);
            if let (Some(pool), Some(in_flight)) = (exchange.pool(), &exchange.in_flight) {
                pool.runtime.fail(in_flight.endpoint(), reason);
            }
        }
        error
    }

    /// The whole response was read: the connection is free for the next request.
    fn complete(&mut self) {
        let pool = self.exchange.as_ref().and_then(|exchange| exchange.pool());
        if let (Some(lease), Some(pool)) = (self.lease.take(), pool) {
            lease.release(pool);
        }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = ReplyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ReplyError>>> {
        match &mut *self {
            Self::Local { text, .. } => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Self::Upstream(forwarded) => forwarded.poll(cx),
            Self::Compressed(compressed) => compressed.poll(cx),
            Self::Empty => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Local { text, .. } => text.is_none(),
            Self::Upstream(forwarded) => forwarded.incoming.as_ref().is_none_or(Incoming::is_end_stream),
            Self::Compressed(compressed) => compressed.is_end(),
            Self::Empty => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Local { text, .. } => SizeHint::with_exact(text.as_ref().map_or(0, |t| t.len() as u64)),
            Self::Upstream(forwarded) => forwarded.incoming.as_ref().map(Incoming::size_hint).unwrap_or_default(),
            Self::Compressed(_) => SizeHint::new(),
            Self::Empty => SizeHint::with_exact(0),
        }
    }
}

impl Drop for Forwarded {
    fn drop(&mut self) {
        let Some(incoming) = self.incoming.take() else { return };
        if self.lease.is_none() {
            return;
        }
        if incoming.is_end_stream() {
            // hyper does not ask again for a body whose length it knows.
            return self.complete();
        }
        let Some(exchange) = &mut self.exchange else { return };
        exchange.reason = Some(Reason::ClientAbort);
        if exchange.pool().is_some_and(|pool| pool.config.on_client_abort == ClientAbort::Ignore) {
            self.detach(incoming);
        }
    }
}

impl Forwarded {
    /// Reads the rest for nobody, so that the upstream can finish (F6, `Ignore`).
    fn detach(&mut self, incoming: Incoming) {
        let pool = self.exchange.as_ref().and_then(|exchange| exchange.pool()).cloned();
        if let (Some(lease), Some(pool)) = (self.lease.take(), pool) {
            tokio::task::spawn_local(lease::drain(incoming, lease, pool, self.exchange.take()));
        }
    }
}
