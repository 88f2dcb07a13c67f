//! Ends streams of HTTP/2 whose client takes no more of them.
//!
//! On a connection with one stream a client that stops reading stops the connection, which the worker's sweep sees. With
//! many, a client can leave the window of one stream closed while it reads the others (CVE-2019-9511, 9517): the stream
//! keeps its upstream connection and what is buffered of it for nothing. Nobody polls its body then, so a look at the
//! clock goes with the task of the stream.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use tokio::task::spawn_local;
use tokio::time::Instant;

use crate::http::alarm::Alarm;
use crate::http::response::{ReplyBody, ReplyError};

/// Since when a stream waits for its client to take something; `None` while it waits for anything else.
#[derive(Debug, Default)]
pub(super) struct Taking(Cell<Option<Instant>>);

impl Taking {
    fn waits(&self) {
        self.0.set(Some(Instant::now()));
    }
}

/// A response body that notes when its client is to take something.
#[derive(Debug)]
pub(super) struct TakenBody {
    /// `None` of a response that has no content.
    body: Option<ReplyBody>,
    taking: Rc<Taking>,
}

impl TakenBody {
    /// The body of a response whose head is on its way now.
    pub(super) fn new(body: Option<ReplyBody>, taking: Rc<Taking>) -> Self {
        taking.waits();
        Self { body, taking }
    }
}

impl Body for TakenBody {
    type Data = Bytes;
    type Error = ReplyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ReplyError>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(cx);
        match &polled {
            Poll::Pending => self.taking.0.set(None),
            Poll::Ready(_) => self.taking.waits(),
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(ReplyBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), ReplyBody::size_hint)
    }
}

/// Runs the streams of a connection on its worker, each with an end when its client stalls.
#[derive(Debug, Clone)]
pub(super) struct Streams {
    /// Zero = never.
    limit: Duration,
    /// Of the stream that begins: hyper runs it right after it has given its request to the service.
    next: Rc<RefCell<Option<Rc<Taking>>>>,
}

impl Streams {
    /// Streams that end when their client takes nothing for `limit` (zero = never).
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, next: Rc::default() }
    }

    /// What is noted of the stream that begins now.
    pub(super) fn begin(&self) -> Rc<Taking> {
        let taking = Rc::<Taking>::default();
        *self.next.borrow_mut() = Some(taking.clone());
        taking
    }
}

impl<F: Future<Output = ()> + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        match self.next.borrow_mut().take().filter(|_| !self.limit.is_zero()) {
            // Boxed, as a future holds what it is given twice: there, and where it pins it.
            Some(taking) => spawn_local(until_stalled(Box::pin(stream), taking, self.limit)),
            None => spawn_local(stream),
        };
    }
}

/// Runs a stream to its end, or until its client takes nothing for too long. Given up, it is reset.
async fn until_stalled(mut stream: impl Future<Output = ()> + Unpin, taking: Rc<Taking>, limit: Duration) {
    let mut alarm = Alarm::default();
    std::future::poll_fn(|cx| {
        if Pin::new(&mut stream).poll(cx).is_ready() {
            return Poll::Ready(());
        }
        match taking.0.get() {
            Some(since) => alarm.poll_passed(cx, since + limit),
            None => Poll::Pending,
        }
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::{sleep, timeout};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn r7_a_stream_that_its_client_does_not_take_ends() {
        let (taking, began) = (Rc::<Taking>::default(), Instant::now());
        taking.waits();
        until_stalled(pending(), taking, LIMIT).await;
        assert_eq!(began.elapsed(), LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_is_taken_slowly_or_waits_for_its_upstream_does_not_end() {
        let taking = Rc::<Taking>::default();
        let noted = taking.clone();
        let stream = async move {
            for _ in 0..10 {
                noted.waits();
                sleep(LIMIT - Duration::from_secs(1)).await;
            }
            noted.0.set(None);
            sleep(LIMIT * 10).await;
        };
        let whole = (LIMIT - Duration::from_secs(1)) * 10 + LIMIT * 10;
        let began = Instant::now();
        until_stalled(Box::pin(stream), taking, LIMIT).await;
        assert_eq!(began.elapsed(), whole);
        let upstream = until_stalled(pending(), Rc::default(), LIMIT);
        assert!(timeout(LIMIT * 100, upstream).await.is_err());
    }
}
