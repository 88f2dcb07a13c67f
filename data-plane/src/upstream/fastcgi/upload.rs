//! The body of a request on its way to a script, whose length the script is told before it begins.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt;

use super::record::MAX_CONTENT;

/// A body in parts that a record takes.
#[derive(Debug)]
pub struct Upload<B> {
    /// Where the rest comes from.
    body: Option<B>,
    /// Parts that are here.
    parts: VecDeque<Bytes>,
    length: Option<u64>,
}

/// A body that does not reach its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UploadError {
    /// It broke off.
    #[error("the body of the request broke off")]
    Broken,
    /// Nobody says how long it is, and it is too long to wait for its end.
    #[error("the body of the request has no length")]
    NoLength,
}

impl<B> Upload<B> {
    /// No body.
    #[must_use]
    pub fn none() -> Self {
        Self { body: None, parts: VecDeque::new(), length: None }
    }

    /// A body of this length.
    #[must_use]
    pub fn streamed(body: B, length: u64) -> Self {
        Self { body: Some(body), parts: VecDeque::new(), length: Some(length) }
    }

    /// `CONTENT_LENGTH`; `None` if there is no body.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// Whether all of it was taken.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.body.is_none() && self.parts.is_empty()
    }
}

impl<B: Body<Data = Bytes> + Unpin> Upload<B> {
    /// Takes a body. One that does not say how long it is, is read to its end first, if it has at most `limit` bytes.
    ///
    /// # Errors
    /// If it breaks off, or is longer.
    pub async fn of(mut body: B, limit: u64) -> Result<Self, UploadError> {
        if body.is_end_stream() {
            return Ok(Self::none());
        }
        if let Some(length) = body.size_hint().exact() {
            return Ok(Self::streamed(body, length));
        }
        let (mut parts, mut length) = (VecDeque::new(), 0);
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| UploadError::Broken)?.into_data() else { continue };
            length += data.len() as u64;
            if length > limit {
                return Err(UploadError::NoLength);
            }
            parts.push_back(data);
        }
        Ok(Self { body: None, parts, length: Some(length) })
    }

    /// The next part, never empty and of at most [`MAX_CONTENT`] bytes; `None` at the end.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, UploadError>>> {
        loop {
            match self.parts.front_mut() {
                Some(part) if part.len() > MAX_CONTENT => return Poll::Ready(Some(Ok(part.split_to(MAX_CONTENT)))),
                Some(_) => match self.parts.pop_front() {
                    Some(part) if !part.is_empty() => return Poll::Ready(Some(Ok(part))),
                    _ => continue,
                },
                None => {}
            }
            let Some(body) = &mut self.body else { return Poll::Ready(None) };
            match ready!(Pin::new(body).poll_frame(cx)) {
                Some(Ok(frame)) => self.parts.extend(frame.into_data().ok()),
                Some(Err(_)) => return Poll::Ready(Some(Err(UploadError::Broken))),
                None => self.body = None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::poll_fn;

    use http_body::Frame;
    use http_body_util::{Empty, Full, StreamBody};

    use super::*;

    /// A body of these parts that does not say how long it is.
    fn chunked(parts: &[&'static str]) -> impl Body<Data = Bytes, Error = Infallible> + Unpin + use<> {
        let parts: Vec<_> = parts.iter().map(|part| Ok(Frame::data(Bytes::from_static(part.as_bytes())))).collect();
        StreamBody::new(tokio_stream::iter(parts))
    }

    async fn parts<B: Body<Data = Bytes> + Unpin>(mut upload: Upload<B>) -> Vec<Bytes> {
        let mut parts = Vec::new();
        while let Some(part) = poll_fn(|cx| upload.poll_next(cx)).await {
            parts.push(part.unwrap());
        }
        assert!(upload.is_complete());
        parts
    }

    #[tokio::test]
    async fn u5_a_body_with_a_length_is_streamed_in_parts_of_a_record() {
        let upload = Upload::of(Full::new(Bytes::from(vec![b'x'; 150_000])), 0).await.unwrap();
        assert_eq!(upload.length(), Some(150_000));
        let lengths: Vec<_> = parts(upload).await.iter().map(Bytes::len).collect();
        assert_eq!(lengths, [MAX_CONTENT, MAX_CONTENT, 150_000 - 2 * MAX_CONTENT]);
    }

    #[tokio::test]
    async fn u5_a_body_without_a_length_is_measured_within_a_limit() {
        let upload = Upload::of(chunked(&["one", "", "two"]), 6).await.unwrap();
        assert_eq!((upload.length(), parts(upload).await.concat()), (Some(6), b"onetwo".to_vec()));
        assert_eq!(Upload::of(chunked(&["one", "two"]), 5).await.err(), Some(UploadError::NoLength));
    }

    #[tokio::test]
    async fn u5_no_body_has_no_length() {
        let upload = Upload::of(Empty::<Bytes>::new(), 0).await.unwrap();
        assert!(upload.length().is_none() && upload.is_complete());
    }
}
