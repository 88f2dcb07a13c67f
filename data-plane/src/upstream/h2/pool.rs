//! The connections of one worker, by endpoint.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use tokio::time::Instant;
use weir_proto::model::Keepalive;

use super::connection::USUAL_STREAMS;
use super::dial::{Dial, Waiting};
use super::{Settings, Shared, Slot};
use crate::pool::{Endpoint, EndpointId};
use crate::upstream::ConnectError;
use crate::upstream::connect::{Open, in_time};
use crate::upstream::io::{UpstreamIo, WriteLimit};
use crate::upstream::tls::Spoken;
use crate::upstream::transport::Transport;

/// Connections that one request waits for: others may fill up what it waited for.
const MOST_WAITS: usize = 8;

/// Connections, by endpoint. A copy is the same pool.
#[derive(Debug, Clone, Default)]
pub struct Pool(Rc<RefCell<HashMap<EndpointId, Set>>>);

#[derive(Debug)]
struct Set {
    endpoint: Arc<Endpoint>,
    idle_timeout: Duration,
    /// The oldest first: it is filled first, so that those that are not needed get idle.
    connections: Vec<Rc<Shared>>,
    /// Streams that the peer was last known to take on a connection.
    streams: usize,
    /// Those that are being made.
    dials: Vec<Dial>,
}

/// How a request wants to be connected.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// Number of its worker.
    pub worker: usize,
    /// How connections are kept.
    pub keepalive: &'a Keepalive,
    /// How long making a connection may take; zero = as long as the kernel tries.
    pub connect: Duration,
    /// How long the request can wait for that; zero = as long as it takes.
    pub patience: Duration,
}

impl Pool {
    /// A stream to `endpoint`, on a connection that is made if there is none with room.
    ///
    /// # Errors
    /// If there is none.
    pub async fn slot(&self, endpoint: &Arc<Endpoint>, wish: Wish<'_>) -> Result<Slot, Arc<ConnectError>> {
        if let Some(slot) = self.take(endpoint, wish.keepalive, false) {
            return Ok(slot);
        }
        let until = (!wish.patience.is_zero()).then(|| Instant::now() + wish.patience);
        for _ in 0..MOST_WAITS {
            self.wait(endpoint, wish).outcome(until).await?;
            if let Some(slot) = self.take(endpoint, wish.keepalive, false) {
                return Ok(slot);
            }
        }
        // One that is full sends it as soon as there is room.
        let slot = self.take(endpoint, wish.keepalive, true);
        slot.ok_or_else(|| Arc::new(ConnectError::Io(io::ErrorKind::ConnectionReset.into())))
    }

    /// A stream of the first connection with room, or else `anyway` of the least busy one.
    fn take(&self, endpoint: &Endpoint, keepalive: &Keepalive, anyway: bool) -> Option<Slot> {
        let mut all = self.0.borrow_mut();
        let set = all.get_mut(&endpoint.id)?;
        set.idle_timeout = keepalive.idle_timeout;
        set.connections.retain(|connection| connection.is_good(endpoint));
        let all = || set.connections.iter();
        let least_busy = || all().filter(|_| anyway).min_by_key(|connection| connection.streams());
        let connection = all().find(|connection| connection.has_room()).or_else(least_busy)?;
        Some(connection.slot(keepalive.max_idle > 0))
    }

    /// A place for one of the connections that are being made.
    fn wait(&self, endpoint: &Arc<Endpoint>, wish: Wish<'_>) -> Waiting {
        let mut all = self.0.borrow_mut();
        let set = all.entry(endpoint.id).or_insert_with(|| Set {
            endpoint: endpoint.clone(),
            idle_timeout: wish.keepalive.idle_timeout,
            connections: Vec::new(),
            streams: USUAL_STREAMS,
            dials: Vec::new(),
        });
        set.dials.retain(|dial| !dial.is_over());
        loop {
            match set.dials.last_mut().and_then(Dial::join) {
                Some(waiting) => return waiting,
                None => set.dial(self.clone(), wish),
            }
        }
    }

    fn add(&self, endpoint: &Endpoint, connection: Rc<Shared>) {
        if let Some(set) = self.0.borrow_mut().get_mut(&endpoint.id) {
            set.connections.push(connection);
        }
    }

    /// Closes what was idle too long, and gives up connections that take no more requests or belong to an endpoint that left:
    /// their streams come to their ends.
    pub fn sweep(&self, now: Instant) {
        self.0.borrow_mut().retain(|_, set| {
            let Set { endpoint, idle_timeout, connections, streams: _, dials } = set;
            connections.retain(|c| c.is_good(endpoint) && !c.is_idle_for(*idle_timeout, now));
            if endpoint.is_retired() {
                connections.clear();
            }
            dials.retain(|dial| !dial.is_over());
            !dials.is_empty() || !connections.is_empty()
        });
    }
}

impl Set {
    /// Makes another connection, for as many as the peer took on the newest.
    fn dial(&mut self, pool: Pool, wish: Wish<'_>) {
        self.streams = self.connections.last().map_or(self.streams, |newest| newest.most().max(1));
        let (endpoint, streams, Wish { worker, connect: limit, .. }) = (self.endpoint.clone(), self.streams, wish);
        let making = async move {
            let connection = connect(worker, &endpoint, limit, streams).await?;
            pool.add(&endpoint, connection);
            Ok(())
        };
        self.dials.push(Dial::start(making, streams));
    }
}

async fn connect(
    worker: usize,
    endpoint: &Arc<Endpoint>,
    limit: Duration,
    streams: usize,
) -> Result<Rc<Shared>, ConnectError> {
    let (write_limit, terms) = (WriteLimit::default(), endpoint.terms());
    let connecting = UpstreamIo::connect(&endpoint.address, write_limit.clone());
    let io = in_time(limit, Transport::within(connecting, terms.as_deref(), Spoken::Http2)).await?;
    let settings = Settings { write_limit, terms, streams, open: Open::new(endpoint.clone(), worker) };
    Shared::start(io, settings).await.map_err(|error| ConnectError::Io(io::Error::other(error)))
}
