//! A response body that is compressed while it streams.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame};

use super::Encoder;
use crate::http::response::{ReplyBody, ReplyError};

/// Most bytes that are compressed at a time: others on the worker have their turn, and the output stays small.
const PIECE: usize = 32 << 10;

/// What an inner body gives, compressed. Nothing is held back while the upstream is silent: who streams events gets
/// each of them through at once.
#[derive(Debug)]
pub struct Compressed {
    inner: ReplyBody,
    /// `None` when all went out.
    encoder: Option<Encoder>,
    /// Read and not yet compressed.
    input: Bytes,
    /// Whether the encoder holds something back.
    holds: bool,
    trailers: Option<HeaderMap>,
    sent: u64,
}

impl Compressed {
    /// Compresses what is to come of `inner`.
    #[must_use]
    pub fn new(inner: ReplyBody, encoder: Encoder) -> Self {
        Self { inner, encoder: Some(encoder), input: Bytes::new(), holds: false, trailers: None, sent: 0 }
    }

    /// Whether all went out.
    #[must_use]
    pub fn is_end(&self) -> bool {
        self.encoder.is_none() && self.trailers.is_none()
    }

    /// The next piece of the compressed body.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ReplyError>>> {
        let polled = self.poll_output(cx);
        if let Poll::Ready(Ok(Some(frame))) = &polled {
            self.sent += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        // What counts is what the client gets.
        self.inner.set_bytes(self.sent);
        polled.map(Result::transpose)
    }

    fn poll_output(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame<Bytes>>, ReplyError>> {
        while self.encoder.is_some() {
            let output = if self.input.is_empty() { ready!(self.poll_inner(cx))? } else { self.encode()? };
            if !output.is_empty() {
                return Poll::Ready(Ok(Some(Frame::data(output))));
            }
        }
        Poll::Ready(Ok(self.trailers.take().map(Frame::trailers)))
    }

    fn encode(&mut self) -> Result<Bytes, ReplyError> {
        let piece = self.input.split_to(self.input.len().min(PIECE));
        self.holds = true;
        Ok(self.encoder.as_mut().map_or(Ok(Bytes::new()), |encoder| encoder.write(&piece))?)
    }

    /// Reads the inner body; gives what comes out of the encoder for want of input, and the rest at the end.
    fn poll_inner(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, ReplyError>> {
        let frame = match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Pending if self.holds => return Poll::Ready(self.flush()),
            Poll::Pending => return Poll::Pending,
            Poll::Ready(frame) => frame.transpose()?,
        };
        Poll::Ready(match frame.map(Frame::into_data) {
            Some(Ok(data)) => {
                self.input = data;
                Ok(Bytes::new())
            }
            Some(Err(trailers)) => {
                self.trailers = trailers.into_trailers().ok();
                self.finish()
            }
            None => self.finish(),
        })
    }

    fn flush(&mut self) -> Result<Bytes, ReplyError> {
        self.holds = false;
        Ok(self.encoder.as_mut().map_or(Ok(Bytes::new()), Encoder::flush)?)
    }

    fn finish(&mut self) -> Result<Bytes, ReplyError> {
        Ok(self.encoder.take().map_or(Ok(Bytes::new()), Encoder::finish)?)
    }
}
