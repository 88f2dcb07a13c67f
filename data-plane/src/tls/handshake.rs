//! From an accepted connection of a TLS listener to one that serves requests.
//!
//! LIFECYCLE
//! ```text
//!   accepted -> hello -> terms found -> handshake done -> requests
//!      |          |           |               |
//!      +----------+-----------+---------------+--> failed, counted by reason; told to end; out of time
//! ```

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use rustls::HandshakeKind;
use rustls::server::Acceptor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::debug;

use super::prompt::Prompt;
use super::terms::HTTP2;
use super::{CertificatesHandle, Failure, Identity, Secured};
use crate::http::connection::{ClientConnection, Handle, Order};
use crate::http::downstream;
use crate::stats::Counter;

/// For a client that speaks HTTP without TLS.
const PLAIN: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: 38\r\nconnection: close\r\n\r\n\
    TLS is spoken here: begin with https:\n";
/// A fatal alert: unrecognized_name (RFC 6066, 3).
const UNKNOWN_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];
/// Of what a client without TLS has sent, so much is read before it is answered: a socket closed with bytes unread is
/// reset, and the answer lost.
const UNREAD: usize = 16 << 10;

/// What one worker counts of the handshakes of a listener.
#[derive(Debug, Default)]
pub struct Handshakes {
    /// Those that began a session.
    pub full: Counter,
    /// Those that resumed one.
    pub resumed: Counter,
    /// Those that failed, by [`Failure`].
    pub failed: [Counter; Failure::ALL.len()],
}

/// Serves a client's connection until it ends.
pub async fn serve(stream: TcpStream, connection: Rc<ClientConnection>) {
    let limit = connection.worker.shared.limits.tls_handshake_timeout;
    let shaken = tokio::select! {
        shaken = timeout(limit, shake(stream, &connection)) => shaken.unwrap_or(Err(Failure::Timeout)),
        () = aborted(&connection.handle) => return,
    };
    let counts = connection.listener_stats().handshakes.of(connection.worker.id);
    match shaken {
        Ok(stream) => {
            let resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
            if resumed {
                counts.resumed.increment()
            } else {
                counts.full.increment()
            }
            let is_http2 = stream.get_ref().1.alpn_protocol() == Some(HTTP2);
            let stream = Prompt(stream);
            if is_http2 {
                Box::pin(downstream::run_http2(stream, connection)).await;
            } else {
                downstream::run(stream, connection).await;
            }
        }
        Err(failure) => {
            counts.failed[failure as usize].increment();
            debug!(reason = failure.as_str(), client = %connection.peer, "a handshake failed");
        }
    }
}

/// Returns when the connection is told to end at once.
async fn aborted(handle: &Handle) {
    poll_fn(|cx| {
        handle.waker.get_or_init(|| cx.waker().clone());
        if handle.order() == Order::Abort { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

async fn shake(mut stream: TcpStream, connection: &ClientConnection) -> Result<TlsStream<TcpStream>, Failure> {
    if is_plain(&stream).await? {
        return Err(answer_plain(&mut stream).await);
    }
    let certificates = &connection.worker.shared.certificates;
    let (stream, secured) = shake_hands(stream, certificates).await?;
    // Set once: a connection has one handshake.
    let _ = connection.secured.set(Rc::new(secured));
    Ok(stream)
}

async fn shake_hands(
    stream: TcpStream,
    certificates: &CertificatesHandle,
) -> Result<(TlsStream<TcpStream>, Secured), Failure> {
    let mut hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await.map_err(|e| Failure::from(&e))?;
    let terms = certificates.load().find(hello.client_hello().server_name()).cloned();
    let Some(terms) = terms else {
        // Whether it arrives makes no difference.
        let _ = hello.io.write_all(&UNKNOWN_NAME).await;
        return Err(Failure::NoCertificate);
    };
    let stream = hello.into_stream(terms.config.clone()).await.map_err(|e| Failure::from(&e))?;
    let identity = stream.get_ref().1.peer_certificates().and_then(|chain| Identity::read(chain.first()?));
    Ok((stream, Secured::new(terms, identity)))
}

/// Whether the first byte is one that a method of HTTP begins with, and no handshake.
async fn is_plain(stream: &TcpStream) -> Result<bool, Failure> {
    let mut first = [0];
    match stream.peek(&mut first).await {
        Ok(1) => Ok(first[0].is_ascii_alphabetic()),
        _ => Err(Failure::ClientAbort),
    }
}

async fn answer_plain(stream: &mut TcpStream) -> Failure {
    let mut unread = vec![0; UNREAD];
    // The client hears of it as far as it still listens.
    let _ = stream.read(&mut unread).await;
    let _ = stream.write_all(PLAIN).await;
    let _ = stream.shutdown().await;
    Failure::PlainHttp
}
