//! The response body on its way to the client.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Sleep, sleep};
use weir_proto::model::ClientAbort;

use super::exchange::Exchange;
use super::lease::{self, Lease};
use crate::reason::Reason;

/// A body sent to a client. Ends its [`Exchange`] when dropped.
#[derive(Debug)]
pub enum ReplyBody {
    /// Made here.
    Local {
        /// What is left to send.
        text: Option<Bytes>,
        /// Ends with the body.
        exchange: Exchange,
    },
    /// Streamed from an upstream.
    Upstream(Box<Forwarded>),
    /// Of a 101, whose exchange goes on as a tunnel.
    Empty,
}

/// A body streamed from an upstream.
#[derive(Debug)]
pub struct Forwarded {
    /// Taken when the rest is read for nobody.
    incoming: Option<Incoming>,
    /// The connection it comes on, until the body is complete.
    lease: Option<Lease>,
    exchange: Option<Exchange>,
    read_timeout: Duration,
    /// Exists only while a read waits.
    waiting: Option<Pin<Box<Sleep>>>,
    failed: bool,
}

/// Why a response ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum ReplyError {
    /// The upstream's connection broke.
    #[error("the upstream broke off its response")]
    Broken(#[from] hyper::Error),
    /// The upstream sent nothing for too long.
    #[error("the upstream's response stalled")]
    Stalled,
}

impl ReplyBody {
    /// A body made here.
    #[must_use]
    pub fn local(text: &'static str, mut exchange: Exchange) -> Self {
        exchange.bytes = text.len() as u64;
        Self::Local { text: Some(Bytes::from_static(text.as_bytes())), exchange }
    }

    /// The body of an upstream's response.
    #[must_use]
    pub fn upstream(incoming: Incoming, lease: Lease, exchange: Exchange) -> Self {
        let read_timeout = exchange.pool().map_or(Duration::ZERO, |pool| pool.config.timeouts.read);
        let (lease, exchange) = (Some(lease), Some(exchange));
        Self::Upstream(Box::new(Forwarded {
            incoming: Some(incoming),
            lease,
            exchange,
            read_timeout,
            waiting: None,
            failed: false,
        }))
    }
}

impl Forwarded {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ReplyError>>> {
        let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
        match Pin::new(incoming).poll_frame(cx) {
            Poll::Pending => self.poll_stalled(cx),
            Poll::Ready(frame) => {
                self.waiting = None;
                match frame {
                    Some(Ok(frame)) => {
                        self.count(&frame);
                        Poll::Ready(Some(Ok(frame)))
                    }
                    Some(Err(error)) => Poll::Ready(Some(Err(self.fail(Reason::Reset, error.into())))),
                    None => {
                        self.complete();
                        Poll::Ready(None)
                    }
                }
            }
        }
    }

    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ReplyError>>> {
        if self.read_timeout.is_zero() {
            return Poll::Pending;
        }
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(self.read_timeout)));
        ready!(waiting.as_mut().poll(cx));
        Poll::Ready(Some(Err(self.fail(Reason::Timeout, ReplyError::Stalled))))
    }

    fn count(&mut self, frame: &Frame<Bytes>) {
        if let (Some(exchange), Some(data)) = (&mut self.exchange, frame.data_ref()) {
            exchange.bytes += data.len() as u64;
        }
    }

    /// A response broken off counts as a failure of the endpoint (H1), though nothing can be retried.
    fn fail(&mut self, reason: Reason, error: ReplyError) -> ReplyError {
        self.failed = true;
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
        let keepalive = self.exchange.as_ref().and_then(Exchange::pool).map(|pool| &pool.config.keepalive);
        if let (Some(lease), Some(keepalive)) = (self.lease.take(), keepalive) {
            lease.release(keepalive);
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
            Self::Empty => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Local { text, .. } => text.is_none(),
            Self::Upstream(forwarded) => forwarded.incoming.as_ref().is_none_or(Incoming::is_end_stream),
            Self::Empty => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Local { text, .. } => SizeHint::with_exact(text.as_ref().map_or(0, |t| t.len() as u64)),
            Self::Upstream(forwarded) => forwarded.incoming.as_ref().map(Incoming::size_hint).unwrap_or_default(),
            Self::Empty => SizeHint::with_exact(0),
        }
    }
}

impl Drop for Forwarded {
    fn drop(&mut self) {
        let Some(incoming) = self.incoming.take() else { return };
        if self.failed || self.lease.is_none() {
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
        let pool = self.exchange.as_ref().and_then(Exchange::pool).cloned();
        if let (Some(lease), Some(pool)) = (self.lease.take(), pool) {
            tokio::task::spawn_local(lease::drain(incoming, lease, pool, self.exchange.take()));
        }
    }
}
