//! A connection just accepted whose first bytes are a header. It becomes a client's connection when the header is
//! there, so that all else goes by the client that it names.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::Ends;
use super::parse::{MAX_HEADER, Parsed, parse};
use crate::stats::process::Refused;
use crate::worker::Worker;

/// How long a header that is under way may take when the proxy closes.
const GRACE: Duration = Duration::from_secs(1);

/// Reads the header, then serves the connection; counts it by the reason if it is refused.
pub async fn arrive(worker: Rc<Worker>, listener: usize, mut stream: TcpStream, peer: SocketAddr) {
    let _arriving = worker.arriving();
    let read = if worker.shared.trusted.has(peer.ip()) {
        read_in_time(&worker, &mut stream).await
    } else {
        Err(Refused::Untrusted)
    };
    match read {
        Ok(ends) => worker.serve(listener, stream, peer, ends),
        Err(why) => {
            debug!(reason = why.as_str(), %peer, "a connection with the PROXY protocol was refused");
            worker.shared.stats.listeners[listener].refuse(why);
        }
    }
}

async fn read_in_time(worker: &Worker, stream: &mut TcpStream) -> Result<Option<Ends>, Refused> {
    let limit = worker.shared.limits.header_timeout;
    let limit = if limit.is_zero() { Duration::MAX } else { limit };
    let closing = async {
        worker.shared.drain.closing().await;
        sleep(GRACE).await;
    };
    tokio::select! {
        read = timeout(limit, read(stream)) => read.unwrap_or(Err(Refused::HeaderTimeout)),
        () = closing => Err(Refused::HeaderTimeout),
    }
}

/// Takes the header and not a byte more: what follows belongs to TLS, or is moved within the kernel.
async fn read(stream: &mut TcpStream) -> Result<Option<Ends>, Refused> {
    let mut bytes = vec![0; MAX_HEADER];
    let mut taken = 0;
    loop {
        let peeked = stream.peek(&mut bytes[taken..]).await.map_err(|_| Refused::HeaderIncomplete)?;
        if peeked == 0 {
            return Err(Refused::HeaderIncomplete);
        }
        let seen = taken + peeked;
        let parsed = parse(&bytes[..seen])?;
        let end = if let Parsed::Complete { length, .. } = parsed { length } else { seen };
        stream.read_exact(&mut bytes[taken..end]).await.map_err(|_| Refused::HeaderIncomplete)?;
        taken = end;
        if let Parsed::Complete { ends, .. } = parsed {
            return Ok(ends);
        }
    }
}
