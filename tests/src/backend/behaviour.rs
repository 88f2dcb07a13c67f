//! What a mock backend may be told to do.

use std::time::Duration;

use bytes::Bytes;

/// What a backend does with a request.
#[derive(Debug, Clone)]
pub enum Behaviour {
    /// Answers.
    Reply(Reply),
    /// Answers 200 and tells what it received, as JSON: `number` (how many requests there were so far), `method`, `target`, `headers` and `trailers` (lists of name and
    /// value), `body`. Accepts any upgrade and then echoes every byte.
    Echo,
    /// Takes the request and never answers.
    Silent,
    /// Closes the connection after the request head.
    CloseEarly,
    /// Closes each connection as it comes, without reading anything. Connections made before it was set are closed
    /// after the next request head.
    Hangup,
    /// Sends these bytes in place of a response, and closes. Connections made before it was set are closed.
    Raw(Bytes),
}

impl Behaviour {
    /// [`Behaviour::Raw`] of a text.
    #[must_use]
    pub fn raw(text: &str) -> Self {
        Self::Raw(Bytes::copy_from_slice(text.as_bytes()))
    }

    /// Whether the gate holds back the answer as a whole.
    pub(super) fn is_held(&self) -> bool {
        !matches!(self, Self::Reply(Reply { head_first: true, .. }))
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// Header names and values.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Bytes,
    /// Trailer names and values; if there are any the body goes in chunks.
    pub trailers: Vec<(String, String)>,
    /// How long it takes.
    pub delay: Duration,
    /// How long each byte of the body takes besides.
    pub trickle: Duration,
    /// Whether the head goes out before the request's body is read, and only the response's body can be held.
    pub head_first: bool,
}

impl Reply {
    /// 200 with this body.
    #[must_use]
    pub fn text(body: &str) -> Self {
        Self {
            status: 200,
            headers: Vec::new(),
            body: Bytes::copy_from_slice(body.as_bytes()),
            trailers: Vec::new(),
            delay: Duration::ZERO,
            trickle: Duration::ZERO,
            head_first: false,
        }
    }

    /// This status without a body.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self::text("").with_status(status)
    }

    /// With this status.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With one more trailer.
    #[must_use]
    pub fn trailer(mut self, name: &str, value: &str) -> Self {
        self.trailers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// After this time.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// With a body that comes byte by byte, each after this time.
    #[must_use]
    pub fn trickling(mut self, each: Duration) -> Self {
        self.trickle = each;
        self
    }

    /// With a head that waits for nothing: not for the request's body, which is never read, nor for
    /// [`super::Backend::release`], which only the response's body waits for.
    #[must_use]
    pub fn head_first(mut self) -> Self {
        self.head_first = true;
        self
    }

    /// Whether its body is sent as a whole, together with its head.
    pub(super) fn is_whole(&self) -> bool {
        self.trailers.is_empty() && self.trickle.is_zero() && !self.head_first
    }
}

impl From<Reply> for Behaviour {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}
