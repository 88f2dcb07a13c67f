//! What a client speaks, by its first bytes.

use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, ReadBuf};

use crate::http::connection::{Handle, Order};

/// What a client begins with that speaks HTTP/2 (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Read at once: with the first read most requests are here as a whole.
const CHUNK: usize = 4 << 10;

/// What is spoken on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// HTTP/1.0 and 1.1.
    Http1,
    /// HTTP/2, with prior knowledge or after a handshake that agreed on it.
    Http2,
}

/// The protocol, and what was read to know it. `None` if the connection ends before, or is told to.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin), handle: &Handle) -> Option<(Protocol, Bytes)> {
    let mut first = BytesMut::new();
    loop {
        let so_far = first.len();
        poll_fn(|cx| poll_more(stream, handle, cx, &mut first)).await?;
        if so_far == 0 {
            handle.activity.head_begins();
        }
        if let Some(protocol) = judge(&first) {
            return Some((protocol, first.freeze()));
        }
    }
}

fn poll_more(
    stream: &mut (impl AsyncRead + Unpin),
    handle: &Handle,
    cx: &mut Context<'_>,
    first: &mut BytesMut,
) -> Poll<Option<()>> {
    handle.waker.get_or_init(|| cx.waker().clone());
    if handle.order() != Order::Serve {
        return Poll::Ready(None);
    }
    let mut chunk = [MaybeUninit::uninit(); CHUNK];
    let mut chunk = ReadBuf::uninit(&mut chunk);
    let read = ready!(Pin::new(stream).poll_read(cx, &mut chunk));
    first.extend_from_slice(chunk.filled());
    Poll::Ready((read.is_ok() && !chunk.filled().is_empty()).then_some(()))
}

/// `None` while it may be either: `PRI` is a method that HTTP/1.1 lets be.
fn judge(first: &[u8]) -> Option<Protocol> {
    let compared = first.len().min(PREFACE.len());
    if first[..compared] != PREFACE[..compared] {
        Some(Protocol::Http1)
    } else {
        (compared == PREFACE.len()).then_some(Protocol::Http2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preface_and_nothing_else_is_http2() {
        assert_eq!(judge(PREFACE), Some(Protocol::Http2));
        assert_eq!(judge(&[PREFACE, b"\0\0\0\x04"].concat()), Some(Protocol::Http2));
        for http1 in ["GET / HTTP/1.1\r\n\r\n", "POST", "PUT", "PR0", "PRI * HTTP/1.1\r\n", "\r\n", "x"] {
            assert_eq!(judge(http1.as_bytes()), Some(Protocol::Http1), "{http1}");
        }
        for length in 1..PREFACE.len() {
            assert_eq!(judge(&PREFACE[..length]), None, "{length}");
        }
    }
}
