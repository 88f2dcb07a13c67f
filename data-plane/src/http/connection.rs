//! A client's connection: what its requests share, and how long it may be silent.

use std::cell::{Cell, OnceCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use http::HeaderMap;

use super::activity::Activity;
use super::alarm::Alarms;
use super::headers::Downstream;
use super::origin::Origin;
use crate::listener::crowd::Place;
use crate::listener::numbers::ConnectionNumber;
use crate::stats::process::ListenerStats;
use crate::tls::Secured;
use crate::worker::{Shared, Worker};

/// One accepted connection. Lives as long as anything of it does: its requests, a tunnel that it became,
/// an upstream request that outlives its client. The worker waits for it when it leaves.
#[derive(Debug)]
pub struct ClientConnection {
    /// The worker it lives on.
    pub worker: Rc<Worker>,
    /// Index of its listener.
    pub listener: usize,
    /// Our end of it.
    pub local: SocketAddr,
    /// The client, or the last proxy of trust between it and this one.
    pub peer: SocketAddr,
    /// What its requests add to their headers.
    pub downstream: Downstream,
    /// Its number, for `Rotate`.
    pub number: ConnectionNumber,
    /// What the worker sees of it.
    pub handle: Rc<Handle>,
    /// What TLS says of it; empty without TLS, and before the handshake is done.
    pub secured: OnceCell<Rc<Secured>>,
    /// End waits for upstreams.
    pub alarms: Alarms,
    /// Whether it is of a copy of a request: nobody is at its other end, and nobody counts it or waits for it.
    pub is_copy: bool,
    /// Requests so far.
    requests: Cell<u64>,
    _place: Place,
}

/// The worker's side of a connection.
#[derive(Debug)]
pub struct Handle {
    /// Shared with the stream, which sees the bytes come and go.
    pub activity: Arc<Activity>,
    /// Wakes the connection's task when it is told to end.
    pub waker: OnceCell<Waker>,
    /// Its place in the worker's list.
    pub slot: Cell<usize>,
    /// Whether its protocol can tell the client that the connection ends, so that no request is lost with it.
    pub says_goodbye: Cell<bool>,
    order: Cell<Order>,
}

/// What a connection's task is told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// Nothing.
    #[default]
    Serve,
    /// Finish the request that runs, then close.
    Finish,
    /// Close now.
    Abort,
}

impl ClientConnection {
    /// A connection just accepted, for which there is a place.
    #[must_use]
    pub fn new(worker: Rc<Worker>, listener: usize, local: SocketAddr, peer: SocketAddr, place: Place) -> Rc<Self> {
        let handle = Rc::new(Handle::new(&worker));
        worker.remember(handle.clone());
        let connection = Self {
            downstream: downstream(&worker, listener, peer),
            number: worker.shared.numbers.take(),
            worker,
            listener,
            local,
            peer,
            handle,
            secured: OnceCell::new(),
            requests: Cell::new(0),
            alarms: Alarms::default(),
            is_copy: false,
            _place: place,
        };
        connection.listener_stats().connections.enter();
        Rc::new(connection)
    }

    /// The connection of a copy of one of its requests.
    #[must_use]
    pub fn copy(&self) -> Rc<Self> {
        Rc::new(Self {
            worker: self.worker.clone(),
            listener: self.listener,
            local: self.local,
            peer: self.peer,
            downstream: self.downstream.clone(),
            number: self.number.copy(),
            handle: Rc::new(Handle::new(&self.worker)),
            secured: self.secured.clone(),
            requests: Cell::new(0),
            alarms: Alarms::default(),
            is_copy: true,
            _place: Place::default(),
        })
    }

    /// Who a request with these headers is from.
    #[must_use]
    pub fn origin(&self, headers: &HeaderMap) -> Origin {
        let origin = Origin { client: self.peer, scheme: self.downstream.scheme() };
        if self.downstream.is_trusted() { origin.behind(headers, &self.worker.shared.trusted) } else { origin }
    }

    /// Whether a request for this host came by a connection that was made for another one, which has its own
    /// certificate: clients may send requests for any host of a certificate on one connection of HTTP/2 (RFC 9113, 9.1.2).
    #[must_use]
    pub fn is_misdirected(&self, host: &str) -> bool {
        self.secured.get().is_some_and(|secured| secured.is_misdirected(host, &self.worker.shared.certificates))
    }

    /// Counts a request, and says whether it is the last that may come.
    pub fn count_request(&self) -> bool {
        self.requests.update(|requests| requests + 1);
        let most = self.worker.shared.limits.max_requests_per_connection;
        most != 0 && self.requests.get() >= most
    }

    /// Counters of its listener.
    #[must_use]
    pub fn listener_stats(&self) -> &ListenerStats {
        &self.worker.shared.stats.listeners[self.listener]
    }

    /// Name of its listener.
    #[must_use]
    pub fn listener_name(&self) -> &str {
        &self.listener_stats().name
    }
}

fn downstream(worker: &Worker, listener: usize, peer: SocketAddr) -> Downstream {
    let Shared { listeners, trusted, .. } = &*worker.shared;
    Downstream::new(peer.ip(), listeners[listener].tls, trusted.has(peer.ip()))
}

impl Drop for ClientConnection {
    fn drop(&mut self) {
        if self.is_copy {
            return;
        }
        self.listener_stats().connections.leave();
        self.worker.forget(&self.handle);
    }
}

impl Handle {
    fn new(worker: &Worker) -> Self {
        Self {
            activity: Arc::new(Activity::new(worker.clock.clone())),
            waker: OnceCell::new(),
            slot: Cell::new(0),
            says_goodbye: Cell::new(false),
            order: Cell::default(),
        }
    }

    /// What the task is told.
    #[must_use]
    pub fn order(&self) -> Order {
        self.order.get()
    }

    /// Tells the connection's task to end with the requests that run, if it was not told to end already.
    pub fn finish(&self) {
        if self.order() == Order::Serve {
            self.tell(Order::Finish);
        }
    }

    /// Ends a connection that was silent for too long: at once if it can say no goodbye, or said it before.
    pub fn give_up(&self) {
        let says_goodbye = self.says_goodbye.get() && self.order() == Order::Serve;
        self.tell(if says_goodbye { Order::Finish } else { Order::Abort });
    }

    /// Tells the connection's task.
    pub fn tell(&self, order: Order) {
        self.order.set(order);
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }
}
