//! Real peers of WebSocket, by tungstenite: a server, and clients that come to a proxy by HTTP/1.1 or HTTP/2.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use anyhow::{Context, anyhow, ensure};
use futures_util::{SinkExt, StreamExt};
use http::{HeaderValue, Method, Request, Version, header};
use hyper::ext::Protocol;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request as Asked, Response as Granted};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async, client_async};
use tokio_util::task::AbortOnDropHandle;

use crate::client::full;
use crate::{Client, within};

/// A server that sends every message back, but does as it is told by some:
/// - `via`: says the `Via` of the request that opened it;
/// - `ping TEXT`: sends a ping, and says `pong TEXT` once it is answered;
/// - `close CODE REASON`: closes so;
/// - `abort`: closes the connection with no word.
///
/// It ends when dropped.
#[derive(Debug)]
pub struct WebSocketServer {
    address: SocketAddr,
    counts: Arc<Counts>,
    _task: AbortOnDropHandle<()>,
}

#[derive(Debug, Default)]
struct Counts {
    open: AtomicUsize,
    closed: AtomicUsize,
    broken: AtomicUsize,
}

impl WebSocketServer {
    /// Starts one.
    ///
    /// # Panics
    /// If there is no free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let (address, counts) = (listener.local_addr().expect("a bound socket"), Arc::<Counts>::default());
        let task = AbortOnDropHandle::new(tokio::spawn(accept(listener, counts.clone())));
        Self { address, counts, _task: task }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// WebSockets that are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.counts.open.load(SeqCst)
    }

    /// Those that ended with a word of farewell.
    #[must_use]
    pub fn closed(&self) -> usize {
        self.counts.closed.load(SeqCst)
    }

    /// Those that broke off, not by the server's own doing.
    #[must_use]
    pub fn broken(&self) -> usize {
        self.counts.broken.load(SeqCst)
    }
}

async fn accept(listener: TcpListener, counts: Arc<Counts>) {
    let mut tasks = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        tasks.spawn(serve(stream, counts.clone()));
    }
}

/// Who comes with no handshake is a probe, and no WebSocket.
async fn serve(stream: TcpStream, counts: Arc<Counts>) {
    // Small messages go out at once.
    let _ = stream.set_nodelay(true);
    let mut via = String::new();
    #[expect(clippy::result_large_err, reason = "the library's own type")]
    let note = |asked: &Asked, granted: Granted| -> Result<Granted, ErrorResponse> {
        via = asked
            .headers()
            .get(header::VIA)
            .map(|via| String::from_utf8_lossy(via.as_bytes()).into_owned())
            .unwrap_or_default();
        Ok(granted)
    };
    let Ok(mut socket) = accept_hdr_async(stream, note).await else { return };
    counts.open.fetch_add(1, SeqCst);
    let ended = converse(&mut socket, &via).await;
    counts.open.fetch_sub(1, SeqCst);
    match ended {
        Ok(()) | Err(Error::ConnectionClosed) => counts.closed.fetch_add(1, SeqCst),
        Err(_) => counts.broken.fetch_add(1, SeqCst),
    };
}

async fn converse(socket: &mut WebSocketStream<TcpStream>, via: &str) -> Result<(), Error> {
    while let Some(message) = socket.next().await.transpose()? {
        let text = message.to_text().unwrap_or_default().to_owned();
        match (&message, text.split_once(' ').unwrap_or((&text, ""))) {
            (Message::Text(_), ("abort", _)) => return Ok(()),
            (Message::Text(_), ("via", _)) => socket.send(via.into()).await?,
            (Message::Text(_), ("ping", said)) => socket.send(Message::Ping(said.to_owned().into())).await?,
            (Message::Text(_), ("close", said)) => socket.close(Some(farewell(said))).await?,
            (Message::Pong(_), _) => socket.send(format!("pong {text}").into()).await?,
            (Message::Text(_) | Message::Binary(_), _) => socket.send(message).await?,
            // The library has answered it.
            _ => {}
        }
    }
    Ok(())
}

/// Of `CODE REASON`.
fn farewell(said: &str) -> CloseFrame {
    let (code, reason) = said.split_once(' ').unwrap_or((said, ""));
    CloseFrame { code: code.parse::<u16>().unwrap_or(1011).into(), reason: reason.into() }
}

/// The bytes below a WebSocket.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A client's end.
pub type Socket = WebSocketStream<Box<dyn Io>>;

/// Opens one over a connection of HTTP/1.1.
///
/// # Errors
/// If it is not granted.
pub async fn open(stream: impl Io + 'static, path: &str) -> anyhow::Result<Socket> {
    let stream: Box<dyn Io> = Box::new(stream);
    let (socket, _) = within("a handshake", client_async(format!("ws://localhost{path}"), stream)).await?;
    Ok(socket)
}

/// Opens one as a stream of a connection of HTTP/2 (RFC 8441).
///
/// # Errors
/// If it is not granted.
pub async fn open_http2(client: &mut Client, path: &str) -> anyhow::Result<Socket> {
    let mut request = Request::new(full(""));
    *request.method_mut() = Method::CONNECT;
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = path.parse()?;
    request.extensions_mut().insert(Protocol::from_static("websocket"));
    request.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    let response = client.begin(request).await?;
    ensure!(response.status() == 200, "status {}", response.status());
    let stream: Box<dyn Io> = Box::new(TokioIo::new(hyper::upgrade::on(response).await?));
    Ok(WebSocketStream::from_raw_socket(stream, Role::Client, None).await)
}

/// Sends a message, and gives what comes next.
///
/// # Errors
/// If nothing does.
pub async fn exchange(socket: &mut Socket, message: impl Into<Message>) -> anyhow::Result<Message> {
    socket.send(message.into()).await?;
    next(socket).await
}

/// Says farewell, and waits until it is answered and the connection is at its end.
///
/// # Errors
/// If it breaks off before.
pub async fn leave(mut socket: Socket) -> anyhow::Result<()> {
    let answer = exchange(&mut socket, Message::Close(None)).await?;
    ensure!(matches!(answer, Message::Close(_)), "{answer:?}");
    match within("the end", socket.next()).await {
        None | Some(Err(Error::ConnectionClosed)) => Ok(()),
        Some(other) => Err(anyhow!("{other:?}")),
    }
}

/// What comes next.
///
/// # Errors
/// If nothing does.
pub async fn next(socket: &mut Socket) -> anyhow::Result<Message> {
    Ok(within("a message", socket.next()).await.context("the end")??)
}
