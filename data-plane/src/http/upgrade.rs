//! Other protocols on an HTTP/1.1 connection, such as WebSocket: bytes pass both ways until one side is
//! done or nothing moved for `timeouts.idle`.

use std::io;
use std::time::Duration;

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use super::exchange::Exchange;
use super::lease::Lease;

/// Bytes moved at once in one direction.
const CHUNK: usize = 16 << 10;

/// Joins both sides once the 101 is on its way. The exchange ends with the tunnel.
pub fn spawn(client: OnUpgrade, upstream: OnUpgrade, lease: Lease, exchange: Box<Exchange>) {
    tokio::task::spawn_local(async move {
        let idle = exchange.pool().map_or(Duration::ZERO, |pool| pool.config.timeouts.idle);
        if let (Ok(client), Ok(upstream)) = tokio::join!(client, upstream)
            && let Err(error) = tunnel(client, upstream, idle).await
        {
            debug!(%error, "a tunnel ended");
        }
        drop((lease, exchange));
    });
}

async fn tunnel(client: Upgraded, upstream: Upgraded, idle: Duration) -> io::Result<()> {
    let (mut client_reader, mut client_writer) = tokio::io::split(TokioIo::new(client));
    let (mut upstream_reader, mut upstream_writer) = tokio::io::split(TokioIo::new(upstream));
    let moved = std::cell::Cell::new(Instant::now());
    let both = async {
        tokio::try_join!(
            copy(&mut client_reader, &mut upstream_writer, &moved),
            copy(&mut upstream_reader, &mut client_writer, &moved)
        )
    };
    tokio::select! {
        ended = both => ended.map(|_| ()),
        () = silence(idle, &moved) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Copies until the reader ends, then closes the writer; half-closed connections stay usable.
async fn copy(
    reader: &mut (impl AsyncRead + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
    moved: &std::cell::Cell<Instant>,
) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let n = reader.read(&mut buffer).await?;
        moved.set(Instant::now());
        if n == 0 {
            return writer.shutdown().await;
        }
        writer.write_all(&buffer[..n]).await?;
        writer.flush().await?;
    }
}

/// Ends when nothing moved for `idle`; never if that is zero.
async fn silence(idle: Duration, moved: &std::cell::Cell<Instant>) {
    if idle.is_zero() {
        return std::future::pending().await;
    }
    while moved.get().elapsed() < idle {
        sleep_until(moved.get() + idle).await;
    }
}
