//! One connection, shared by streams.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http2::{self, Connection, SendRequest};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::task::spawn_local;
use tokio::time::Instant;

use super::tasks::Tasks;
use crate::http::body::UpstreamBody;
use crate::pool::Endpoint;
use crate::upstream::connect::Open;
use crate::upstream::io::{UpstreamIo, WriteLimit};
use crate::upstream::tls::Terms;
use crate::upstream::transport::Transport;

/// Most streams of a connection, if its peer takes as many.
pub const MOST_STREAMS: u16 = 128;
/// Streams that a peer takes which has not said yet how many: no fewer, if it does as RFC 9113, 6.5.2 has it.
pub const USUAL_STREAMS: usize = 100;
/// What the peer may send of one stream before anybody reads it.
pub const STREAM_WINDOW: u32 = 128 << 10;
/// The same of a connection: of all its streams.
pub const CONNECTION_WINDOW: u32 = STREAM_WINDOW * MOST_STREAMS as u32;
/// Bytes of a request body that a stream takes before its peer does.
pub const SEND_BUFFER: usize = 64 << 10;
/// Bytes of the headers of a response.
pub const HEADER_LIST: u32 = 64 << 10;
/// When nothing came for so long, the peer is asked whether it is there.
const PING_AFTER: Duration = Duration::from_secs(15);
/// How long it has to answer.
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection.
#[derive(Debug)]
pub struct Shared {
    sender: SendRequest<UpstreamBody>,
    driver: Driver,
    load: Load,
    /// Whoever sends last sets it.
    write_limit: WriteLimit,
    /// What its TLS goes by, if it has that.
    terms: Option<Arc<Terms>>,
}

/// How much a connection has to do.
#[derive(Debug)]
struct Load {
    streams: Cell<usize>,
    /// When the last of its streams ended.
    idle_since: Cell<Instant>,
    /// Whether it served a request.
    used: Cell<bool>,
    /// Whether it may have another stream after it had none.
    kept: Cell<bool>,
}

/// What moves a connection on. Its task polls it, and others ask it what the peer allows; it goes when the connection
/// takes no more requests, as those that wait in it would never end.
type Driver = Rc<RefCell<Option<Connection<TokioIo<Transport<UpstreamIo>>, UpstreamBody, Tasks>>>>;

/// What a connection is made with.
#[derive(Debug)]
pub struct Settings {
    /// Shared with the socket.
    pub write_limit: WriteLimit,
    /// What its TLS goes by, if it has that.
    pub terms: Option<Arc<Terms>>,
    /// Streams that its peer is thought to take, until it says how many.
    pub streams: usize,
    /// Counts it.
    pub open: Open,
}

impl Shared {
    /// Says hello on `io`, and starts the tasks that drive the connection.
    ///
    /// # Errors
    /// If the connection broke already.
    pub async fn start(io: Transport<UpstreamIo>, settings: Settings) -> hyper::Result<Rc<Self>> {
        let Settings { write_limit, terms, streams, open } = settings;
        let open = Rc::new(open);
        let (sender, driver) = builder(Tasks(open.clone()), streams).handshake(TokioIo::new(io)).await?;
        let driver = Rc::new(RefCell::new(Some(driver)));
        spawn_local(drive(driver.clone(), open));
        let load = Load {
            streams: Cell::new(0),
            idle_since: Cell::new(Instant::now()),
            used: Cell::new(false),
            kept: Cell::new(true),
        };
        Ok(Rc::new(Self { sender, driver, load, write_limit, terms }))
    }

    /// Whether it was made as one to `endpoint` would be now, and takes requests at all.
    #[must_use]
    pub fn is_good(&self, endpoint: &Endpoint) -> bool {
        let is_idle = self.load.streams.get() == 0;
        let is_current = self.terms.as_ref().is_none_or(|terms| endpoint.goes_by(terms));
        !self.sender.is_closed() && is_current && (self.load.kept.get() || !is_idle)
    }

    /// Whether it has nothing to do since this long.
    #[must_use]
    pub fn is_idle_for(&self, time: Duration, now: Instant) -> bool {
        let idle_for = now.saturating_duration_since(self.load.idle_since.get());
        self.load.streams.get() == 0 && !time.is_zero() && idle_for >= time
    }

    /// Streams that the peer takes at once, as far as that is known.
    #[must_use]
    pub fn most(&self) -> usize {
        self.driver.borrow().as_ref().map_or(0, Connection::current_max_send_streams).min(MOST_STREAMS.into())
    }

    /// Whether the peer takes another stream now.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.streams() < self.most()
    }

    /// Streams that it has.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.load.streams.get()
    }

    /// A stream of it. Without `keep` it is no longer used once it has none.
    #[must_use]
    pub fn slot(self: &Rc<Self>, keep: bool) -> Slot {
        let load = &self.load;
        load.streams.set(load.streams.get() + 1);
        load.kept.set(keep);
        Slot { reused: load.used.replace(true), connection: self.clone() }
    }
}

async fn drive(driver: Driver, open: Rc<Open>) {
    let poll = |cx: &mut Context<'_>| match &mut *driver.borrow_mut() {
        Some(connection) => Pin::new(connection).poll(cx),
        None => Poll::Ready(Ok(())),
    };
    // An error here is also given to the requests that the connection served.
    let _ = poll_fn(poll).await;
    driver.take();
    drop(open);
}

fn builder(tasks: Tasks, streams: usize) -> http2::Builder<Tasks> {
    let mut builder = http2::Builder::new(tasks);
    builder
        .timer(TokioTimer::new())
        .initial_max_send_streams(streams)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .adaptive_window(false)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(HEADER_LIST)
        .keep_alive_interval(PING_AFTER)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}

/// A stream for one request; ends when dropped.
#[derive(Debug)]
pub struct Slot {
    connection: Rc<Shared>,
    /// Whether the connection served a request before.
    pub reused: bool,
}

impl Slot {
    /// Write timeout of the connection, from now on that of this request.
    #[must_use]
    pub fn write_limit(&self) -> &WriteLimit {
        &self.connection.write_limit
    }

    /// Sends a request.
    ///
    /// # Errors
    /// If there is no response; with the request if nothing of it was sent.
    pub async fn send(
        &self,
        request: Request<UpstreamBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<UpstreamBody>>> {
        self.connection.sender.clone().try_send_request(request).await
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let load = &self.connection.load;
        load.streams.set(load.streams.get() - 1);
        if load.streams.get() == 0 {
            load.idle_since.set(Instant::now());
        }
    }
}
