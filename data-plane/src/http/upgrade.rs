//! Other protocols in place of HTTP, such as WebSocket: bytes pass both ways until one side is done or nothing moved for
//! `timeouts.idle`. On HTTP/1.1 they take the connection, on HTTP/2 a stream.

use std::io;
use std::time::Duration;

use http::Response;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tracing::debug;

use super::exchange::Exchange;
use super::lease::Lease;
use super::websocket::Accept;
use crate::tunnel::{self, Broken, Movement};

/// Bytes moved at once in one direction.
const CHUNK: usize = 16 << 10;

/// A client's wish for another protocol.
#[derive(Debug)]
pub struct Asked {
    /// Its side, once it is answered.
    pub client: OnUpgrade,
    /// Of a WebSocket over HTTP/2.
    pub websocket: Option<Accept>,
}

impl Asked {
    /// Makes an upstream's 101 the answer to the client. False if it grants something else than what was asked.
    #[must_use]
    pub fn is_granted_by<B>(&self, response: &mut Response<B>) -> bool {
        self.websocket.as_ref().is_none_or(|accept| accept.grant(response))
    }
}

/// Joins both sides once the answer that grants it is on its way. The exchange ends with the tunnel.
pub fn spawn(client: OnUpgrade, upstream: OnUpgrade, lease: Lease, exchange: Box<Exchange>) {
    tokio::task::spawn_local(async move {
        let idle = exchange.pool().map_or(Duration::ZERO, |pool| pool.config.timeouts.idle);
        if let (Ok(client), Ok(upstream)) = tokio::join!(client, upstream)
            && let Err(broken) = tunnel(client, upstream, idle).await
        {
            debug!(?broken, "a tunnel ended");
        }
        drop((lease, exchange));
    });
}

async fn tunnel(client: Upgraded, upstream: Upgraded, idle: Duration) -> Result<(), Broken<io::Error>> {
    let (client_reader, client_writer) = tokio::io::split(TokioIo::new(client));
    let (upstream_reader, upstream_writer) = tokio::io::split(TokioIo::new(upstream));
    let movement = Movement::default();
    let there = copy(client_reader, upstream_writer, &movement);
    let back = copy(upstream_reader, client_writer, &movement);
    tunnel::join(idle, &movement, there, back).await
}

/// Copies until the reader ends, then closes the writer.
async fn copy(
    mut reader: impl AsyncRead + Unpin,
    mut writer: impl AsyncWrite + Unpin,
    movement: &Movement,
) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let n = reader.read(&mut buffer).await?;
        movement.note();
        if n == 0 {
            return writer.shutdown().await;
        }
        writer.write_all(&buffer[..n]).await?;
        writer.flush().await?;
    }
}
