//! Accepts connections and shakes hands, with many at a time and within a limit for each: a slow client holds up
//! nobody. What comes out is a stream of connections for the gRPC server.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;
use weir_proto::tls::Current;

use super::identity;
use super::{Refusal, Refusals};
use crate::scope::Scope;

/// Two round trips and a signature take milliseconds; a thousand proxies that come at once, a second or two.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);

/// Handshakes at a time; who comes when there are so many is turned away and comes back.
const HANDSHAKES: usize = 2048;

/// After a failed accept (no file descriptors left, say), to not spin.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Connections that the server has not taken yet.
const READY: usize = 64;

/// What is known of the other end of a connection.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Where it is.
    pub address: SocketAddr,
    /// What it may read, by its certificate.
    pub scope: Result<Scope, Refusal>,
}

/// A connection after its handshake.
#[derive(Debug)]
pub struct Connection {
    stream: TlsStream<TcpStream>,
    peer: Arc<Peer>,
}

/// What each handshake needs.
#[derive(Debug, Clone)]
struct Handshake {
    tls: Arc<Current<ServerConfig>>,
    refusals: Arc<Refusals>,
    ready: mpsc::Sender<io::Result<Connection>>,
}

/// The connections of a listener, as long as the stream lives.
#[must_use]
pub fn connections(
    listener: TcpListener,
    tls: Arc<Current<ServerConfig>>,
    refusals: Arc<Refusals>,
) -> ReceiverStream<io::Result<Connection>> {
    let (ready, connections) = mpsc::channel(READY);
    let handshake = Handshake { tls, refusals, ready };
    tokio::spawn(async move {
        let gone = handshake.ready.clone();
        tokio::select! {
            () = accept(&listener, &handshake) => {}
            () = gone.closed() => {}
        }
    });
    ReceiverStream::new(connections)
}

async fn accept(listener: &TcpListener, handshake: &Handshake) {
    let places = Arc::new(Semaphore::new(HANDSHAKES));
    loop {
        match listener.accept().await {
            Ok((stream, address)) => match places.clone().try_acquire_owned() {
                Ok(place) => drop(tokio::spawn(handshake.clone().run(stream, address, place))),
                Err(_) => tracing::debug!(%address, "too many handshakes at a time"),
            },
            Err(error) => {
                tracing::warn!(%error, "gRPC: cannot accept");
                sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

impl Handshake {
    async fn run(self, stream: TcpStream, address: SocketAddr, place: OwnedSemaphorePermit) {
        let shaken = tokio::select! {
            shaken = timeout(HANDSHAKE_WITHIN, self.shake(stream)) => shaken,
            () = self.ready.closed() => return,
        };
        drop(place);
        match shaken {
            // Fails only when the server has ended.
            Ok(Ok(stream)) => drop(self.ready.send(Ok(Connection::new(stream, address))).await),
            Ok(Err(error)) => self.failed(address, &error),
            Err(_) => tracing::debug!(%address, "a handshake takes too long"),
        }
    }

    async fn shake(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        stream.set_nodelay(true)?;
        TlsAcceptor::from(self.tls.side()).accept(stream).await
    }

    fn failed(&self, address: SocketAddr, error: &io::Error) {
        match Refusal::of_handshake(error) {
            Some(refusal) => self.refusals.note(address, &refusal),
            None => tracing::debug!(%address, %error, "a handshake failed"),
        }
    }
}

impl Connection {
    fn new(stream: TlsStream<TcpStream>, address: SocketAddr) -> Self {
        let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let scope = certificate.map_or(Err(Refusal::NoCertificate), |certificate| identity::scope(certificate));
        Self { stream, peer: Arc::new(Peer { address, scope }) }
    }
}

impl Connected for Connection {
    type ConnectInfo = Arc<Peer>;

    fn connect_info(&self) -> Arc<Peer> {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
