//! A server of HTTP/2 that misbehaves as it is told, stream by stream.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use bytes::Bytes;
use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::{Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

/// What is done with a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// It is answered, with its body.
    Answer,
    /// It is refused: nothing was done with it.
    Refuse,
    /// It is reset as one that failed.
    Fail,
    /// It is answered, and the connection takes no stream after it.
    Leave,
    /// Nothing is done with it, as the connection takes none at all; of its first stream only.
    GoAway,
}

/// A server.
#[derive(Debug)]
pub struct Http2Server {
    address: SocketAddr,
    counts: Arc<Counts>,
    _task: AbortOnDropHandle<()>,
}

#[derive(Debug, Default)]
struct Counts {
    connections: AtomicU64,
    answered: AtomicU64,
}

type Script = Arc<dyn Fn(u64, u64) -> Act + Send + Sync>;

impl Http2Server {
    /// One that does with each stream what `script` says of its connection's and its own number, both from 1.
    ///
    /// # Panics
    /// If there is no free port.
    pub async fn start(script: impl Fn(u64, u64) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let (address, counts) = (listener.local_addr().expect("a bound socket"), Arc::<Counts>::default());
        let task = tokio::spawn(accept(listener, Arc::new(script), counts.clone()));
        Self { address, counts, _task: AbortOnDropHandle::new(task) }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.counts.connections.load(SeqCst)
    }

    /// Streams answered so far.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.counts.answered.load(SeqCst)
    }
}

async fn accept(listener: TcpListener, script: Script, counts: Arc<Counts>) {
    while let Ok((stream, _)) = listener.accept().await {
        let number = counts.connections.fetch_add(1, SeqCst) + 1;
        tokio::spawn(serve(stream, number, script.clone(), counts.clone()));
    }
}

async fn serve(stream: TcpStream, connection: u64, script: Script, counts: Arc<Counts>) {
    if script(connection, 1) == Act::GoAway {
        return drop(go_away(stream).await);
    }
    let Ok(mut streams) = h2::server::handshake(stream).await else { return };
    let mut number = 0;
    while let Some(Ok((request, respond))) = streams.accept().await {
        number += 1;
        act(script(connection, number), &mut streams, request, respond, &counts);
    }
}

fn act(
    act: Act,
    streams: &mut Connection<TcpStream, Bytes>,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    counts: &Arc<Counts>,
) {
    match act {
        Act::Refuse => return respond.send_reset(Reason::REFUSED_STREAM),
        Act::Fail => return respond.send_reset(Reason::INTERNAL_ERROR),
        Act::Leave => streams.graceful_shutdown(),
        Act::Answer | Act::GoAway => {}
    }
    let counts = counts.clone();
    tokio::spawn(async move {
        if answer(request, respond).await.is_ok() {
            counts.answered.fetch_add(1, SeqCst);
        }
    });
}

/// Waits for a stream and says, in frames of RFC 9113, that none was looked at.
async fn go_away(mut stream: TcpStream) -> io::Result<()> {
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    const GOAWAY: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    stream.write_all(&SETTINGS).await?;
    stream.read_exact(&mut [0; PREFACE]).await?;
    let mut head = [0; 9];
    while head[3] != HEADERS {
        stream.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        stream.read_exact(&mut vec![0; length as usize]).await?;
    }
    stream.write_all(&GOAWAY).await?;
    // The client closes.
    stream.read_to_end(&mut Vec::new()).await.map(drop)
}

/// Length of what a client says first.
const PREFACE: usize = 24;
/// Type of the frame that begins a stream.
const HEADERS: u8 = 1;

/// Gives the body back.
async fn answer(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) -> Result<(), h2::Error> {
    let mut body = request.into_body();
    let mut received = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        received.extend_from_slice(&piece);
        body.flow_control().release_capacity(piece.len())?;
    }
    let mut sending = respond.send_response(Response::new(()), false)?;
    sending.send_data(received.into(), true)
}
