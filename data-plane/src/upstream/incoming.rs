//! The body of an upstream's response, whatever the upstream speaks.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::fastcgi;

/// A body as it comes in.
#[derive(Debug)]
pub enum Incoming {
    /// Over HTTP.
    Http(hyper::body::Incoming),
    /// Over FastCGI.
    FastCgi(fastcgi::Incoming),
}

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum IncomingError {
    /// Over HTTP.
    #[error(transparent)]
    Http(#[from] hyper::Error),
    /// Over FastCGI.
    #[error(transparent)]
    FastCgi(#[from] fastcgi::Error),
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = IncomingError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, IncomingError>>> {
        match self.get_mut() {
            Self::Http(body) => Pin::new(body).poll_frame(cx).map_err(IncomingError::from),
            Self::FastCgi(body) => Pin::new(body).poll_frame(cx).map_err(IncomingError::from),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http(body) => body.is_end_stream(),
            Self::FastCgi(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http(body) => body.size_hint(),
            Self::FastCgi(body) => body.size_hint(),
        }
    }
}
