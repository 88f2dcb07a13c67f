//! Making a connection to an endpoint.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout};

use super::io::{UpstreamIo, WriteLimit};
use super::tls::{Fault, Spoken, Terms};
use super::transport::Transport;
use super::{Speaks, fastcgi, h2};
use crate::http::body::UpstreamBody;
use crate::pool::Endpoint;

/// Why no connection was made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Not within the time given.
    #[error("no connection in time")]
    Timeout,
    /// This process or machine has no file descriptor, port or memory left: nobody's fault upstream.
    #[error(transparent)]
    Exhausted(io::Error),
    /// TLS came to nothing.
    #[error(transparent)]
    Tls(Fault),
    /// Refused, unreachable and the like.
    #[error(transparent)]
    Io(io::Error),
}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> Self {
        let errno = error.raw_os_error().map(Errno::from_raw_os_error);
        let is_ours = matches!(errno, Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM));
        if is_ours || error.kind() == io::ErrorKind::AddrNotAvailable {
            return Self::Exhausted(error);
        }
        match Fault::of(&error) {
            Some(fault) => Self::Tls(fault),
            None => Self::Io(error),
        }
    }
}

/// A connection to an endpoint, owned by one request or idle.
#[derive(Debug)]
pub struct Connection {
    /// Sends one request at a time.
    pub link: Link,
    /// Write timeout of the current request.
    pub write_limit: WriteLimit,
    /// When it became idle.
    pub idle_since: Instant,
    /// Whether it served a request before.
    pub reused: bool,
    /// What its TLS goes by, if it has that.
    terms: Option<Arc<Terms>>,
    /// Counts it as open, also while it is a tunnel; one that is shared counts itself.
    _open: Option<Rc<Open>>,
}

/// What is spoken on a connection.
#[derive(Debug)]
pub enum Link {
    /// HTTP/1.1, driven by a task.
    Http(SendRequest<UpstreamBody>),
    /// FastCGI, driven by who waits for its answer.
    FastCgi(fastcgi::Shared),
    /// A stream of HTTP/2, whose connection others use, too.
    Http2(h2::Slot),
}

impl Connection {
    /// The stream of a request on a shared connection.
    #[must_use]
    pub fn stream(slot: h2::Slot) -> Self {
        let (write_limit, reused) = (slot.write_limit().clone(), slot.reused);
        Self { link: Link::Http2(slot), write_limit, idle_since: Instant::now(), reused, terms: None, _open: None }
    }

    /// Whether a request can be sent now.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        match &self.link {
            Link::Http(sender) => sender.is_ready(),
            Link::FastCgi(session) => session.is_idle(),
            Link::Http2(_) => false,
        }
    }

    /// Whether it was made as one to `endpoint` would be now.
    #[must_use]
    pub fn is_current(&self, endpoint: &Endpoint) -> bool {
        self.terms.as_ref().is_none_or(|terms| endpoint.goes_by(terms))
    }

    /// Whether no request can be sent any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        match &self.link {
            Link::Http(sender) => sender.is_closed(),
            Link::FastCgi(session) => session.is_over(),
            // It was for one request.
            Link::Http2(_) => true,
        }
    }
}

/// Counts a connection as open while its driver or its user is there.
#[derive(Debug)]
pub struct Open {
    endpoint: Arc<Endpoint>,
    worker: usize,
}

impl Open {
    /// Counts a connection to `endpoint` on this worker.
    #[must_use]
    pub fn new(endpoint: Arc<Endpoint>, worker: usize) -> Self {
        endpoint.shards.of(worker).connects.increment();
        Self { endpoint, worker }
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
    let (write_limit, terms) = (WriteLimit::default(), endpoint.terms());
    let connecting = UpstreamIo::connect(&endpoint.address, write_limit.clone());
    let io = in_time(limit, Transport::within(connecting, terms.as_deref(), Spoken::Http1)).await?;
    let open = Rc::new(Open::new(endpoint.clone(), worker));
    let link = match (io, &endpoint.speaks) {
        (Transport::Plain(io), Speaks::FastCgi(_)) => Link::FastCgi(fastcgi::Shared::new(io)),
        (Transport::Plain(io), _) => Link::Http(drive(io, open.clone()).await?),
        (Transport::Tls(io), _) => Link::Http(drive(io, open.clone()).await?),
    };
    Ok(Connection { link, write_limit, idle_since: now, reused: false, terms, _open: Some(open) })
}

/// Starts the task that drives HTTP on a connection.
async fn drive<I>(io: I, open: Rc<Open>) -> io::Result<SendRequest<UpstreamBody>>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, driver) = http1::handshake(TokioIo::new(io)).await.map_err(io::Error::other)?;
    tokio::task::spawn_local(async move {
        // An error here is also given to the request that the connection served.
        let _ = driver.with_upgrades().await;
        drop(open);
    });
    Ok(sender)
}

/// What `connecting` comes to.
///
/// # Errors
/// If that is no connection, or not within `limit` (zero = as long as the kernel tries).
pub async fn in_time<T>(limit: Duration, connecting: impl Future<Output = io::Result<T>>) -> Result<T, ConnectError> {
    if limit.is_zero() {
        return Ok(connecting.await?);
    }
    match timeout(limit, connecting).await {
        Ok(connected) => Ok(connected?),
        Err(_) => Err(ConnectError::Timeout),
    }
}
