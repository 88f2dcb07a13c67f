//! Serving one client connection: HTTP/1.1 request after request, HTTP/2 many at a time.

mod client_io;
mod fault;
mod floods;
mod http1;
mod http2;
mod preface;
mod stall;

pub use fault::Fault;

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

use super::connection::{ClientConnection, Handle, Order};
use preface::Protocol;

/// Serves `stream`, over TLS or not, until it ends or is told to. What is spoken, the first bytes say.
pub async fn run<S>(mut stream: S, connection: Rc<ClientConnection>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    match preface::read(&mut stream, &connection.handle).await {
        Some((Protocol::Http1, first)) => http1::run(stream, first, connection).await,
        // Boxed, as its future is large and most connections are none of it.
        Some((Protocol::Http2, first)) => Box::pin(http2::run(stream, first, connection)).await,
        None => {}
    }
}

/// Serves `stream`, whose handshake has agreed on HTTP/2.
pub async fn run_http2<S>(stream: S, connection: Rc<ClientConnection>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    http2::run(stream, Bytes::new(), connection).await;
}

/// Drives `serving` until it ends or is told to: at once, or, by `leave`, after the requests that run.
async fn drive<F>(mut serving: Pin<&mut F>, handle: &Handle, leave: impl Fn(Pin<&mut F>)) -> hyper::Result<()>
where
    F: Future<Output = hyper::Result<()>>,
{
    let mut told = Order::Serve;
    poll_fn(|cx| {
        handle.waker.get_or_init(|| cx.waker().clone());
        let order = handle.order();
        if order == Order::Abort {
            return Poll::Ready(Ok(()));
        }
        if order != told {
            told = order;
            leave(serving.as_mut());
        }
        serving.as_mut().poll(cx)
    })
    .await
}
