//! Making an HTTP/1.1 connection to an endpoint.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::io::{UpstreamIo, WriteLimit};
use crate::http::body::UpstreamBody;
use crate::pool::Endpoint;
use crate::worker::Worker;

/// Why no connection was made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Not within the time given.
    #[error("no connection in time")]
    Timeout,
    /// Refused, unreachable and the like.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A connection to an endpoint, owned by one request or idle.
#[derive(Debug)]
pub struct Connection {
    /// Sends one request at a time.
    pub sender: SendRequest<UpstreamBody>,
    /// Write timeout of the current request.
    pub write_limit: WriteLimit,
    /// When it became idle.
    pub idle_since: Instant,
    /// Whether it served a request before.
    pub reused: bool,
}

/// Connects to `endpoint` and starts the task that drives the connection on this worker.
///
/// # Errors
/// If there is no connection within `limit` (zero = as long as the kernel tries).
pub async fn connect(
    worker: &Rc<Worker>,
    endpoint: &Arc<Endpoint>,
    limit: Duration,
    now: Instant,
) -> Result<Connection, ConnectError> {
    let stream = dial(endpoint, limit).await?;
    stream.set_nodelay(true)?;
    let write_limit = WriteLimit::default();
    let io = TokioIo::new(UpstreamIo::new(stream, write_limit.clone()));
    let (sender, driver) = http1::handshake(io).await.map_err(io::Error::other)?;
    let (endpoint, id) = (endpoint.clone(), worker.id);
    endpoint.shards.of(id).connects.increment();
    tokio::task::spawn_local(async move {
        // An error here is also given to the request that the connection served.
        let _ = driver.with_upgrades().await;
        endpoint.shards.of(id).closes.increment();
    });
    Ok(Connection { sender, write_limit, idle_since: now, reused: false })
}

async fn dial(endpoint: &Endpoint, limit: Duration) -> Result<TcpStream, ConnectError> {
    let connecting = TcpStream::connect(endpoint.address);
    if limit.is_zero() {
        return Ok(connecting.await?);
    }
    match timeout(limit, connecting).await {
        Ok(stream) => Ok(stream?),
        Err(_) => Err(ConnectError::Timeout),
    }
}
