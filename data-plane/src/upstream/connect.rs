//! Making an HTTP/1.1 connection to an endpoint.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout};

use super::io::{UpstreamIo, WriteLimit};
use super::stream::Stream;
use crate::http::body::UpstreamBody;
use crate::pool::Endpoint;

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
    /// Counts it as open, also while it is a tunnel.
    _open: Rc<Open>,
}

/// Counts a connection as open while its driver or its user is there.
#[derive(Debug)]
struct Open {
    endpoint: Arc<Endpoint>,
    worker: usize,
}

impl Open {
    fn new(endpoint: Arc<Endpoint>, worker: usize) -> Rc<Self> {
        endpoint.shards.of(worker).connects.increment();
        Rc::new(Self { endpoint, worker })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.endpoint.shards.of(self.worker).closes.increment();
    }
}

/// Connects to `endpoint` and starts the task that drives the connection, both on the worker of this number.
///
/// # Errors
/// If there is no connection within `limit` (zero = as long as the kernel tries).
pub async fn connect(
    worker: usize,
    endpoint: &Arc<Endpoint>,
    limit: Duration,
    now: Instant,
) -> Result<Connection, ConnectError> {
    let stream = dial(endpoint, limit).await?;
    let write_limit = WriteLimit::default();
    let io = TokioIo::new(UpstreamIo::new(stream, write_limit.clone()));
    let (sender, driver) = http1::handshake(io).await.map_err(io::Error::other)?;
    let open = Open::new(endpoint.clone(), worker);
    let driven = open.clone();
    tokio::task::spawn_local(async move {
        // An error here is also given to the request that the connection served.
        let _ = driver.with_upgrades().await;
        drop(driven);
    });
    Ok(Connection { sender, write_limit, idle_since: now, reused: false, _open: open })
}

async fn dial(endpoint: &Endpoint, limit: Duration) -> Result<Stream, ConnectError> {
    let connecting = Stream::connect(&endpoint.address);
    if limit.is_zero() {
        return Ok(connecting.await?);
    }
    match timeout(limit, connecting).await {
        Ok(stream) => Ok(stream?),
        Err(_) => Err(ConnectError::Timeout),
    }
}
