//! Serving one client connection with hyper, request after request.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tracing::debug;

use super::activity::Activity;
use super::connection::{ClientConnection, Order};
use super::framing::HeadWatch;
use super::serve;
use crate::gather;
use crate::reason::Reason;

/// Serves `stream`, over TLS or not, until it ends or is told to.
pub async fn run<S>(stream: S, connection: Rc<ClientConnection>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let io = TokioIo::new(ClientIo::new(stream, connection.handle.activity.clone()));
    let service = service_fn(|request| serve::serve(connection.clone(), request));
    let mut server = http1::Builder::new();
    // Silent clients are found by the worker's sweep, which arms no timer per request.
    server.max_buf_size(connection.worker.shared.limits.head_buffer()).header_read_timeout(None);
    let mut serving = pin!(server.serve_connection(io, service).with_upgrades());
    let mut told = Order::Serve;
    let ended = poll_fn(|cx| {
        connection.handle.waker.get_or_init(|| cx.waker().clone());
        let order = connection.handle.order();
        if order == Order::Abort {
            return Poll::Ready(Ok(()));
        }
        if order != told {
            told = order;
            serving.as_mut().graceful_shutdown();
        }
        serving.as_mut().poll(cx)
    });
    if let Err(error) = ended.await {
        note(&connection, &error);
    }
}

/// hyper answered 400, 414 or 431 by itself: count it like our own.
fn note(connection: &ClientConnection, error: &hyper::Error) {
    debug!(%error, client = %connection.peer, "a connection ended");
    if error.is_parse() {
        let worker = &connection.worker;
        let unrouted = worker.shared.stats.unrouted.of(worker.id);
        unrouted.responses[3].increment();
        let reason = if error.is_parse_too_large() { Reason::TooLarge } else { Reason::BadRequest };
        unrouted.reasons[reason as usize].increment();
    }
}

/// A client's stream that watches request heads as they come in.
#[derive(Debug)]
struct ClientIo<S> {
    stream: S,
    activity: Arc<Activity>,
    watch: HeadWatch,
}

impl<S> ClientIo<S> {
    fn new(stream: S, activity: Arc<Activity>) -> Self {
        Self { stream, activity, watch: HeadWatch::default() }
    }

    fn note_write(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(_) => self.activity.wrote(),
            Poll::Pending => self.activity.write_waits(),
        }
        written
    }

    fn see(&mut self, bytes: &[u8]) {
        if bytes.is_empty() || self.activity.is_busy() {
            return;
        }
        if self.activity.head_begins() {
            self.watch.next_message();
        }
        self.watch.observe(bytes);
        self.activity.set_has_length(self.watch.has_length());
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ClientIo<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.see(&buf.filled()[before..]);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ClientIo<S> {
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
