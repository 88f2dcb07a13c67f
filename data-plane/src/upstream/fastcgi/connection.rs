//! A connection shared by whoever holds it and the body that comes on it, as with HTTP.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};

use super::error::Error;
use super::head::Head;
use super::session::{Begin, Session};
use crate::http::body::UpstreamBody;
use crate::upstream::io::UpstreamIo;

/// A connection of a worker.
#[derive(Debug)]
pub struct Shared(Rc<RefCell<Session<UpstreamBody>>>);

/// The body of a response.
#[derive(Debug)]
pub struct Incoming {
    session: Rc<RefCell<Session<UpstreamBody>>>,
    /// It was given to its end: the connection may serve others.
    complete: bool,
}

impl Shared {
    /// A connection that was just made.
    #[must_use]
    pub fn new(io: UpstreamIo) -> Self {
        Self(Rc::new(RefCell::new(Session::new(io))))
    }

    /// Whether a request can be sent now.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.0.borrow().is_idle()
    }

    /// Whether no request will ever be sent again.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.0.borrow().is_over()
    }

    /// Whether the application said anything of the request.
    #[must_use]
    pub fn has_heard(&self) -> bool {
        self.0.borrow().has_heard()
    }

    /// Sends a request; gives the response when its head is there.
    ///
    /// # Errors
    /// If there is no head.
    pub async fn send(&self, request: Begin<UpstreamBody>) -> Result<Response<Incoming>, Error> {
        self.0.borrow_mut().begin(request);
        let Head { status, headers, length: _ } = poll_fn(|cx| self.0.borrow_mut().poll_head(cx)).await?;
        let mut response = Response::new(Incoming { session: self.0.clone(), complete: false });
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }

    /// Waits for the end of the request.
    ///
    /// # Errors
    /// If it does not end as announced.
    pub async fn ended(&self) -> Result<(), Error> {
        poll_fn(|cx| self.0.borrow_mut().poll_end(cx)).await
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.complete {
            return Poll::Ready(None);
        }
        let polled = self.session.borrow_mut().poll_data(cx);
        self.complete = matches!(polled, Poll::Ready(None | Some(Err(_))));
        polled.map(|data| data.map(|data| data.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.complete || self.session.borrow().rest_of_body() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        if self.complete {
            return SizeHint::with_exact(0);
        }
        self.session.borrow().rest_of_body().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
