//! What a listener hears, as lines of JSON.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame};
use serde_json::json;

use super::{Heard, Listening};

/// The body of an answer that goes on until its client has left, or so many requests are told.
#[derive(Debug)]
pub struct Lines {
    listening: Listening,
    left: Option<u64>,
}

impl Lines {
    /// All that is heard, or so many requests of it.
    #[must_use]
    pub fn new(listening: Listening, count: Option<u64>) -> Self {
        Self { listening, left: count }
    }
}

impl Body for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == Some(0) {
            return Poll::Ready(None);
        }
        let Some(heard) = ready!(self.listening.poll_next(cx)) else { return Poll::Ready(None) };
        if let (Heard::Request(_), Some(left)) = (&heard, &mut self.left) {
            *left -= 1;
        }
        Poll::Ready(Some(Ok(Frame::data(line(&heard)))))
    }
}

fn line(heard: &Heard) -> Bytes {
    let line = match heard {
        Heard::Request(record) => serde_json::to_string(&**record),
        Heard::Lost(number) => serde_json::to_string(&json!({ "lost": number })),
    };
    // A record has nothing that is no JSON.
    Bytes::from(line.unwrap_or_default() + "\n")
}
