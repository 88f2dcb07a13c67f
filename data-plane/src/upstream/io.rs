//! A stream to an endpoint that gives up when the peer takes no more bytes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};
use weir_proto::model::EndpointAddress;

use super::stream::Stream;
use crate::gather;

/// The write timeout of a connection, in milliseconds; 0 = none. It belongs to the connection's current
/// request, so whoever takes an idle connection sets it.
#[derive(Debug, Clone, Default)]
pub struct WriteLimit(Arc<AtomicU64>);

impl WriteLimit {
    /// Sets the limit from now on.
    pub fn set(&self, limit: Duration) {
        self.0.store(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX), Relaxed);
    }

    fn get(&self) -> Option<Duration> {
        match self.0.load(Relaxed) {
            0 => None,
            millis => Some(Duration::from_millis(millis)),
        }
    }
}

/// A stream whose writes fail with [`io::ErrorKind::TimedOut`] after [`WriteLimit`] without progress. The
/// timer exists only while a write waits.
///
/// A peer that answers early and closes breaks our writes while its answer waits to be read. hyper would give
/// up at the failed write, so such writes count as done: the reader then finds the answer, or the end.
#[derive(Debug)]
pub struct UpstreamIo {
    stream: Stream,
    limit: WriteLimit,
    waiting: Option<Pin<Box<Sleep>>>,
    peer_closed: bool,
}

impl UpstreamIo {
    /// Wraps `stream`.
    #[must_use]
    pub fn new(stream: Stream, limit: WriteLimit) -> Self {
        Self { stream, limit, waiting: None, peer_closed: false }
    }

    /// Connects.
    ///
    /// # Errors
    /// As the operating system says.
    pub async fn connect(address: &EndpointAddress, limit: WriteLimit) -> io::Result<Self> {
        Ok(Self::new(Stream::connect(address).await?, limit))
    }

    /// Whether the peer neither closed nor said anything.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.stream.try_read(&mut [0]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Writes what there is room for, without waiting.
    ///
    /// # Errors
    /// As the operating system says.
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        self.stream.try_write(buf)
    }

    /// Judges what became of a write of `len` bytes.
    fn watch(&mut self, cx: &mut Context<'_>, len: usize, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(result) = written {
            self.waiting = None;
            self.peer_closed |= result.as_ref().is_err_and(is_closed_by_peer);
            return Poll::Ready(if self.peer_closed { Ok(len) } else { result });
        }
        if self.waiting.is_none() {
            self.waiting = self.limit.get().map(|limit| Box::pin(sleep(limit)));
        }
        match &mut self.waiting {
            None => Poll::Pending,
            Some(timer) => {
                ready!(timer.as_mut().poll(cx));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

fn is_closed_by_peer(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

impl AsyncRead for UpstreamIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for UpstreamIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watch(cx, buf.len(), written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = gather::poll_write(&mut self.stream, cx, bufs);
        self.watch(cx, bufs.iter().map(|buf| buf.len()).sum(), written)
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

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn a_peer_that_takes_nothing_times_out() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let limit = WriteLimit::default();
        limit.set(Duration::from_millis(20));
        let mut io = UpstreamIo::new(Stream::Tcp(stream), limit);
        let chunk = vec![0; 1 << 20];
        let error = loop {
            match poll_fn(|cx| Pin::new(&mut io).poll_write(cx, &chunk)).await {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
