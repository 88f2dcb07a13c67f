//! One worker: a thread with a runtime of its own, its own sockets on each listener, its own idle
//! upstream connections and its own view of the table. Workers share nothing but atomics.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::cache::Cache;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tracing::{debug, warn};
use weir_proto::model::PoolProtocol;

use crate::drain::Drain;
use crate::http::connection::{ClientConnection, Handle, Order};
use crate::http::downstream;
use crate::http::request_id::RequestId;
use crate::limits::Limits;
use crate::listener::Served;
use crate::listener::crowd::Crowd;
use crate::listener::numbers::ConnectionNumbers;
use crate::plugin::local::Locals;
use crate::plugin::names::Names;
use crate::stats::ProcessStats;
use crate::stats::access_log::AccessLog;
use crate::table::{Table, TableHandle};
use crate::tcp::{self, Buffers};
use crate::tls::{self, CertificatesHandle};
use crate::upstream::IdlePool;
use crate::upstream::fastcgi::backlog;

/// A table held by requests of one worker: counting its users touches no other worker's cache.
pub type TableRef = Rc<Arc<Table>>;

/// Time between two looks at idle connections and silent clients.
const SWEEP: Duration = Duration::from_secs(1);
/// Wait after a failed accept: with no file descriptor left, trying at once would fail at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What all workers share.
#[derive(Debug)]
pub struct Shared {
    /// The listeners, in order.
    pub listeners: Arc<[Served]>,
    /// The live table.
    pub table: TableHandle,
    /// Counters that belong to no pool.
    pub stats: Arc<ProcessStats>,
    /// Where finished requests are written.
    pub log: AccessLog,
    /// Numbers of client connections.
    pub numbers: ConnectionNumbers,
    /// What clients may ask.
    pub limits: Limits,
    /// How many connections clients have.
    pub crowd: Arc<Crowd>,
    /// How far the proxy is on its way out.
    pub drain: Drain,
    /// What handshakes of TLS go by.
    pub certificates: CertificatesHandle,
}

/// State of one worker; lives on its thread.
#[derive(Debug)]
pub struct Worker {
    /// Its number, from 0.
    pub id: usize,
    /// What it shares with the others.
    pub shared: Arc<Shared>,
    /// Its idle upstream connections.
    pub idle: IdlePool,
    /// What its connections of TCP move bytes by.
    pub buffers: Buffers,
    /// What plugins keep on it.
    pub locals: Locals,
    /// Names of headers that they have spelt out.
    pub names: Names,
    /// Its randomness.
    pub rng: RefCell<SmallRng>,
    /// Seconds since it began, moved by its sweep.
    pub clock: Arc<AtomicU32>,
    tables: RefCell<Tables>,
    requests: Cell<u64>,
    connections: RefCell<Vec<Rc<Handle>>>,
    last_closed: Notify,
}

#[derive(Debug)]
struct Tables {
    cache: Cache<TableHandle, Arc<Table>>,
    current: TableRef,
}

impl Worker {
    /// A worker that has not begun. `seed` makes its choices its own.
    #[must_use]
    pub fn new(id: usize, shared: Arc<Shared>, seed: u64) -> Rc<Self> {
        let mut cache = Cache::new(shared.table.clone());
        let current = Rc::new(cache.load().clone());
        Rc::new(Self {
            id,
            idle: IdlePool::default(),
            buffers: Buffers::default(),
            locals: Locals::default(),
            names: Names::default(),
            rng: RefCell::new(SmallRng::seed_from_u64(seed)),
            clock: Arc::default(),
            tables: RefCell::new(Tables { cache, current }),
            requests: Cell::new(0),
            connections: RefCell::default(),
            last_closed: Notify::new(),
            shared,
        })
    }

    /// The live table.
    pub fn table(&self) -> TableRef {
        let Tables { cache, current } = &mut *self.tables.borrow_mut();
        let live = cache.load();
        if !Arc::ptr_eq(live, current) {
            *current = Rc::new(live.clone());
        }
        current.clone()
    }

    /// Names the next request.
    pub fn next_request(&self) -> RequestId {
        self.requests.update(|number| number + 1);
        RequestId { worker: self.id, number: self.requests.get() }
    }

    /// Serves these sockets, one per listener, until the proxy closes and nothing of any connection is left.
    ///
    /// # Errors
    /// If a socket cannot be registered with the runtime.
    pub async fn run(self: Rc<Self>, sockets: Vec<TcpListener>) -> io::Result<()> {
        let mut accepting = Vec::new();
        for (listener, socket) in sockets.into_iter().enumerate() {
            let socket = tokio::net::TcpListener::from_std(socket)?;
            accepting.push(spawn_local(self.clone().accept(listener, socket)));
        }
        let sweeping = [spawn_local(self.clone().sweep()), spawn_local(self.clone().make_room())];
        for accepting in accepting {
            // Ends when the proxy closes. A panic in it ends the worker, and with it the process.
            accepting.await.map_err(io::Error::other)?;
        }
        self.finish_connections();
        tokio::select! {
            () = self.all_closed() => {}
            // What still runs is dropped with this thread's runtime.
            () = self.shared.drain.aborting() => {}
        }
        sweeping.iter().for_each(JoinHandle::abort);
        Ok(())
    }

    async fn all_closed(&self) {
        while !self.connections.borrow().is_empty() {
            self.last_closed.notified().await;
        }
    }

    /// Tells connections to end after the request that runs. One that is new or was in use until now is told by the
    /// next sweeps, as its next request may be on the way.
    fn finish_connections(&self) {
        let connections = self.connections.borrow();
        let old = connections.iter().filter(|c| c.order() == Order::Serve && !c.activity.is_fresh());
        old.for_each(|connection| connection.tell(Order::Finish));
    }

    async fn accept(self: Rc<Self>, listener: usize, socket: tokio::net::TcpListener) {
        loop {
            tokio::select! {
                biased;
                accepted = socket.accept() => match accepted {
                    Ok((stream, peer)) => self.take(listener, stream, peer),
                    Err(error) => {
                        warn!(%error, "a connection could not be accepted");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
                // Biased: what the kernel has accepted for us is taken before the socket closes.
                () = self.shared.drain.closing() => return,
            }
        }
    }

    fn take(self: &Rc<Self>, listener: usize, stream: TcpStream, peer: SocketAddr) {
        let Shared { stats, crowd, limits, .. } = &*self.shared;
        let place = match crowd.enter(peer.ip(), &stats.listeners[listener], limits) {
            Ok(place) => place,
            Err(why) => return stats.listeners[listener].refuse(why),
        };
        match stream.set_nodelay(true).and_then(|()| stream.local_addr()) {
            Ok(local) => {
                let connection = ClientConnection::new(self.clone(), listener, local, peer, place);
                match self.shared.listeners[listener] {
                    Served { protocol: PoolProtocol::Http, tls: true, .. } => {
                        spawn_local(tls::serve(stream, connection))
                    }
                    Served { protocol: PoolProtocol::Http, .. } => spawn_local(downstream::run(stream, connection)),
                    Served { protocol: PoolProtocol::Tcp, .. } => spawn_local(tcp::serve(stream, connection)),
                };
            }
            Err(error) => debug!(%error, "the client left before its connection was taken"),
        }
    }

    /// Takes a new connection into the list.
    pub fn remember(&self, connection: Rc<Handle>) {
        let mut connections = self.connections.borrow_mut();
        connection.slot.set(connections.len());
        connections.push(connection);
    }

    /// Forgets a connection of which nothing is left.
    pub fn forget(&self, connection: &Handle) {
        let slot = connection.slot.get();
        let mut connections = self.connections.borrow_mut();
        connections.swap_remove(slot);
        if let Some(moved) = connections.get(slot) {
            moved.slot.set(slot);
        }
        if connections.is_empty() {
            self.last_closed.notify_one();
        }
    }

    fn abort_silent_connections(&self) {
        let connections = self.connections.borrow();
        connections.iter().filter(|c| c.activity.is_overdue(&self.shared.limits)).for_each(|c| c.tell(Order::Abort));
    }

    /// Closes idle connections that are in the way of a request; see [`backlog`].
    async fn make_room(self: Rc<Self>) {
        loop {
            let wanted = backlog::room_wanted();
            self.idle.make_room();
            wanted.await;
        }
    }

    async fn sweep(self: Rc<Self>) {
        let mut ticks = interval(SWEEP);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let began = Instant::now();
        loop {
            let now = ticks.tick().await;
            let seconds = now.saturating_duration_since(began).as_secs();
            self.clock.store(u32::try_from(seconds).unwrap_or(u32::MAX), Relaxed);
            self.idle.sweep(now);
            self.locals.sweep();
            self.abort_silent_connections();
            if self.shared.drain.is_closing() {
                self.finish_connections();
            }
            // An idle worker must not keep an old table alive.
            drop(self.table());
        }
    }
}
