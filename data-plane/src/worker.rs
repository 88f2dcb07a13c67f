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
use crate::listener::crowd::{self, Crowd};
use crate::listener::numbers::ConnectionNumbers;
use crate::plugin::local::Locals;
use crate::plugin::names::Names;
use crate::proxy_protocol::{Ends, arrival};
use crate::stats::ProcessStats;
use crate::stats::access_log::AccessLog;
use crate::stats::process::Refused;
use crate::table::{Table, TableHandle};
use crate::tcp::{self, Buffers};
use crate::tls::{self, CertificatesHandle};
use crate::trace::Tracer;
use crate::trusted::TrustedProxies;
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
    /// Begins the traces of requests.
    pub tracer: Tracer,
    /// Numbers of client connections.
    pub numbers: ConnectionNumbers,
    /// What clients may ask.
    pub limits: Limits,
    /// Who may say who a client is.
    pub trusted: TrustedProxies,
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
    arriving: Cell<usize>,
    /// Sweeps in which idle connections are still to be told; `None` while the proxy serves.
    rounds: Cell<Option<usize>>,
    last_closed: Notify,
}

/// A connection that has not said yet whose it is.
#[derive(Debug)]
pub struct Arriving<'w>(&'w Worker);

impl Drop for Arriving<'_> {
    fn drop(&mut self) {
        self.0.arriving.update(|count| count - 1);
        self.0.note_closed();
    }
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
            arriving: Cell::new(0),
            rounds: Cell::new(None),
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

    /// Serves these sockets, each with the index of its listener, until the proxy closes and nothing of any connection is left.
    ///
    /// # Errors
    /// If a socket cannot be registered with the runtime.
    pub async fn run(self: Rc<Self>, sockets: Vec<(usize, TcpListener)>) -> io::Result<()> {
        let mut accepting = Vec::new();
        for (listener, socket) in sockets {
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
        while !self.is_empty() {
            self.last_closed.notified().await;
        }
    }

    fn is_empty(&self) -> bool {
        self.arriving.get() == 0 && self.connections.borrow().is_empty()
    }

    /// Tells connections to end after the request that runs. One that is new or was in use until now is told by the
    /// next sweeps, as its next request may be on the way. Each sweep tells its share of them: if all closed at once, their
    /// clients would come back at once, elsewhere.
    fn finish_connections(&self) {
        let connections = self.connections.borrow();
        let is_idle = |c: &&Rc<Handle>| c.order() == Order::Serve && !c.activity.is_fresh();
        let idle = || connections.iter().filter(is_idle);
        let rounds = self.rounds.get().unwrap_or_else(|| whole_sweeps(self.shared.drain.spread()));
        let share = idle().count().div_ceil(rounds.max(1));
        // A sweep that finds nobody takes nothing of the time: all may have been in use a moment ago.
        self.rounds.set(Some(rounds.saturating_sub(share.min(1))));
        idle().take(share).for_each(|connection| connection.finish());
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
        let Shared { stats, limits, listeners, .. } = &*self.shared;
        if !crowd::has_room(&stats.listeners[listener], limits) {
            return stats.listeners[listener].refuse(Refused::Listener);
        }
        if listeners[listener].proxy {
            spawn_local(arrival::arrive(self.clone(), listener, stream, peer));
        } else {
            self.serve(listener, stream, peer, None);
        }
    }

    /// Serves a connection from now on. `told`: its ends, where they are others than they look like.
    pub fn serve(self: &Rc<Self>, listener: usize, stream: TcpStream, peer: SocketAddr, told: Option<Ends>) {
        let ends = stream.set_nodelay(true).and_then(|()| match told {
            Some(ends) => Ok((ends.client, ends.here)),
            None => Ok((peer, stream.local_addr()?)),
        });
        let (peer, local) = match ends {
            Ok(ends) => ends,
            Err(error) => return debug!(%error, "the client left before its connection was taken"),
        };
        let place = match self.shared.crowd.enter(peer.ip(), &self.shared.limits) {
            Ok(place) => place,
            Err(why) => return self.shared.stats.listeners[listener].refuse(why),
        };
        let connection = ClientConnection::new(self.clone(), listener, local, peer, place);
        match self.shared.listeners[listener] {
            Served { protocol: PoolProtocol::Http, tls: true, .. } => spawn_local(tls::serve(stream, connection)),
            Served { protocol: PoolProtocol::Http, .. } => spawn_local(downstream::run(stream, connection)),
            Served { protocol: PoolProtocol::Tcp, .. } => spawn_local(tcp::serve(stream, connection)),
        };
    }

    /// Waits, when it leaves, for a connection of which it is not yet known whose it is, until that is dropped.
    pub fn arriving(&self) -> Arriving<'_> {
        self.arriving.update(|count| count + 1);
        Arriving(self)
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
        drop(connections);
        self.note_closed();
    }

    fn note_closed(&self) {
        if self.is_empty() {
            self.last_closed.notify_one();
        }
    }

    fn abort_silent_connections(&self) {
        let connections = self.connections.borrow();
        connections.iter().filter(|c| c.activity.is_overdue(&self.shared.limits)).for_each(|c| c.give_up());
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

/// How many sweeps there are in a time.
fn whole_sweeps(time: Duration) -> usize {
    usize::try_from(time.as_secs() / SWEEP.as_secs()).unwrap_or(usize::MAX)
}
