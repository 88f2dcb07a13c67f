//! A client's stream, looked at on the way.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::gather;
use crate::http::activity::Activity;

/// Looks at what passes on a client's stream.
pub(super) trait Watch: Unpin {
    /// At bytes from the client.
    ///
    /// # Errors
    /// Ends the connection.
    fn read(&mut self, activity: &Activity, bytes: &[u8]) -> io::Result<()>;

    /// At so many bytes that the client took.
    fn wrote(&mut self, _bytes: usize) {}
}

/// A client's stream, beginning with what was read before.
#[derive(Debug)]
pub(super) struct ClientIo<S, W> {
    stream: S,
    first: Bytes,
    activity: Arc<Activity>,
    watch: W,
}

impl<S, W: Watch> ClientIo<S, W> {
    /// `first` was read from the stream, and comes before what is still in it.
    pub(super) fn new(stream: S, first: Bytes, activity: Arc<Activity>, watch: W) -> Self {
        Self { stream, first, activity, watch }
    }

    fn note_write(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Ready(written) => {
                self.activity.wrote();
                self.watch.wrote(*written.as_ref().unwrap_or(&0));
            }
            Poll::Pending => self.activity.write_waits(),
        }
        written
    }

    fn take_first(&mut self, buf: &mut ReadBuf<'_>) {
        let taken = self.first.len().min(buf.remaining());
        buf.put_slice(&self.first[..taken]);
        self.first.advance(taken);
        if self.first.is_empty() {
            // Its memory goes.
            self.first = Bytes::new();
        }
    }
}

impl<S: AsyncRead + Unpin, W: Watch> AsyncRead for ClientIo<S, W> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = if self.first.is_empty() {
            Pin::new(&mut self.stream).poll_read(cx, buf)
        } else {
            self.take_first(buf);
            Poll::Ready(Ok(()))
        };
        let Self { activity, watch, .. } = &mut *self;
        match &buf.filled()[before..] {
            [] => read,
            bytes => watch.read(activity, bytes).map_or_else(|error| Poll::Ready(Err(error)), |()| read),
        }
    }
}

impl<S: AsyncWrite + Unpin, W: Watch> AsyncWrite for ClientIo<S, W> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.note_write(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = gather::poll_write(&mut self.stream, cx, bufs);
        self.note_write(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
