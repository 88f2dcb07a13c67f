//! What a mock backend may be told to do.

use std::time::Duration;

use bytes::Bytes;

/// What a backend does with a request.
#[derive(Debug, Clone)]
pub enum Behaviour {
    /// Answers.
    Reply(Reply),
    /// Answers 200 and tells what it received, as JSON: `method`, `target`, `headers` and `trailers` (lists of name and
    /// value), `body`. Accepts any upgrade and then echoes every byte.
    Echo,
    /// Takes the request and never answers.
    Silent,
    /// Closes the connection after the request head.
    CloseEarly,
    /// Sends these bytes in place of a response, and closes. Connections made before it was set are closed.
    Raw(Bytes),
}

impl Behaviour {
    /// [`Behaviour::Raw`] of a text.
    #[must_use]
    pub fn raw(text: &str) -> Self {
        Self::Raw(Bytes::copy_from_slice(text.as_bytes()))
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
        }
    }

    /// This status without a body.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self { status, ..Self::text("") }
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
}

impl From<Reply> for Behaviour {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}
