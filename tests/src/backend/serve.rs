//! The connections of a mock backend.

use std::io;
use std::sync::Arc;

use http::{Request, Response, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use rustls::HandshakeKind;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::answer::{Body, echo, plain, upgrade};
use super::{Behaviour, Counts, Speech};

/// What the connections of one backend share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) behaviour: Mutex<Behaviour>,
    pub(super) speech: Mutex<Speech>,
    /// True while answers may go out.
    pub(super) gate: watch::Sender<bool>,
    pub(super) counts: Counts,
}

impl Shared {
    fn behaviour(&self) -> Behaviour {
        self.behaviour.lock().clone()
    }

    pub(super) async fn released(&self) {
        // The sender lives as long as self, so waiting cannot fail.
        let _ = self.gate.subscribe().wait_for(|open| *open).await;
    }
}

/// Accepts until it is dropped, which ends every connection too.
pub(super) async fn run(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        shared.counts.connection();
        while connections.try_join_next().is_some() {}
        // Small answers go out at once: what is measured is the proxy.
        let _ = stream.set_nodelay(true);
        connections.spawn(connection(stream, shared.clone()));
    }
}

/// Its errors are the proxy's doing or part of the test: counted by `Counts`, not reported.
async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    let _open = shared.counts.open_connection();
    let speech = shared.speech.lock().clone();
    let Some(tls) = speech.tls.clone() else { return spoken(stream, &speech, shared.clone()).await };
    let Ok(stream) = TlsAcceptor::from(tls).accept(stream).await else { return };
    shared.counts.handshake(stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed));
    spoken(stream, &speech, shared.clone()).await;
}

async fn spoken(stream: impl Io, speech: &Speech, shared: Arc<Shared>) {
    match shared.behaviour() {
        Behaviour::Raw(bytes) => drop(raw(stream, &bytes, &shared).await),
        Behaviour::Hangup => {}
        _ => http(stream, speech, shared).await,
    }
}

async fn http(stream: impl Io, speech: &Speech, shared: Arc<Shared>) {
    let service = service_fn(move |request| {
        let shared = shared.clone();
        async move { answer(request, &shared).await }
    });
    let (io, timer) = (TokioIo::new(stream), TokioTimer::new());
    let _ = if speech.http2 {
        let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        builder.timer(timer).max_concurrent_streams(speech.streams.or(Some(200))).serve_connection(io, service).await
    } else {
        hyper::server::conn::http1::Builder::new().timer(timer).serve_connection(io, service).with_upgrades().await
    };
}

/// The bytes of a connection.
trait Io: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Io for T {}

async fn raw(mut stream: impl Io, bytes: &[u8], shared: &Shared) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let in_flight = shared.counts.request();
    shared.released().await;
    stream.write_all(bytes).await?;
    stream.shutdown().await?;
    in_flight.answered();
    Ok(())
}

/// An error closes the connection without an answer.
async fn answer(request: Request<Incoming>, shared: &Arc<Shared>) -> io::Result<Response<Body>> {
    let in_flight = shared.counts.request();
    if shared.behaviour().is_held() {
        shared.released().await;
    }
    let response = match shared.behaviour() {
        Behaviour::Reply(reply) => plain(request, reply, shared.clone()).await,
        Behaviour::Echo if request.headers().contains_key(header::UPGRADE) => upgrade(request),
        Behaviour::Echo => echo(request, in_flight.number()).await,
        Behaviour::Silent => std::future::pending().await,
        Behaviour::CloseEarly | Behaviour::Hangup | Behaviour::Raw(_) => return Err(io::Error::other("told to close")),
    };
    in_flight.answered();
    Ok(response)
}
