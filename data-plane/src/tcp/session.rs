//! One connection of a client: what is known of it, counted and logged when it ends.
//!
//! A [`Session`] lives from the accept to the last byte, and does its accounting when dropped, so that what is cut off
//! is counted like all else.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use weir_proto::model::EndpointAddress;

use super::buffers::Buffers;
use crate::http::connection::ClientConnection;
use crate::pool::{Endpoint, Pool};
use crate::reason::Reason;
use crate::stats::access_log::{Ended, TcpRecord};
use crate::worker::TableRef;

/// A connection under way.
#[derive(Debug)]
pub struct Session {
    /// The client's side.
    pub connection: Rc<ClientConnection>,
    /// The table it reads.
    pub table: TableRef,
    /// Tries so far.
    pub attempts: u32,
    /// Bytes that went to the endpoint so far.
    pub upstream: Cell<u64>,
    /// Bytes that went to the client so far.
    pub downstream: Cell<u64>,
    /// What went wrong, if anything did.
    pub reason: Option<Reason>,
    began: Instant,
    time: Timestamp,
    pool: Option<Arc<Pool>>,
    /// Whether it counts among the pool's connections in flight.
    flies: bool,
    joined: Option<Joined>,
}

/// The endpoint that a connection got.
#[derive(Debug)]
struct Joined {
    endpoint: Arc<Endpoint>,
    /// Time since the accept.
    after: Duration,
}

impl Session {
    /// A connection just accepted.
    #[must_use]
    pub fn begin(connection: Rc<ClientConnection>) -> Self {
        // From the worker's point of view it is never silent: it has its own limit for that.
        connection.handle.activity.busy();
        Self {
            table: connection.worker.table(),
            connection,
            attempts: 0,
            upstream: Cell::new(0),
            downstream: Cell::new(0),
            reason: None,
            began: Instant::now(),
            time: Timestamp::now(),
            pool: None,
            flies: false,
            joined: None,
        }
    }

    /// Number of its worker.
    #[must_use]
    pub fn worker(&self) -> usize {
        self.connection.worker.id
    }

    /// What its worker moves bytes by.
    #[must_use]
    pub fn buffers(&self) -> &Buffers {
        &self.connection.worker.buffers
    }

    /// The pool that it is in.
    #[must_use]
    pub fn pool(&self) -> Option<&Arc<Pool>> {
        self.pool.as_ref()
    }

    /// Moves into `pool`, out of the one before.
    pub fn enter_pool(&mut self, pool: &Arc<Pool>) {
        self.leave_pool();
        pool.runtime.shards.of(self.worker()).requests.increment();
        self.pool = Some(pool.clone());
    }

    /// Moves out of the pool that it is in.
    pub fn leave_pool(&mut self) {
        self.end_flight();
        self.pool = None;
    }

    /// It is on its way to an endpoint of its pool from now on.
    pub fn begin_flight(&mut self) {
        if let Some(pool) = self.pool.as_ref().filter(|_| !self.flies) {
            pool.runtime.in_flight.enter();
            self.flies = true;
        }
    }

    /// It is no longer.
    pub fn end_flight(&mut self) {
        if let Some(pool) = self.pool.as_ref().filter(|_| self.flies) {
            pool.runtime.in_flight.leave();
            self.flies = false;
        }
    }

    /// Notes the endpoint that it is connected to from now on.
    pub fn join(&mut self, endpoint: Arc<Endpoint>) {
        self.joined = Some(Joined { endpoint, after: self.began.elapsed() });
    }

    /// Notes that it cannot be served, and why.
    pub fn refuse(&mut self, reason: Reason) {
        self.reason = Some(reason);
        let worker = self.worker();
        match &self.pool {
            Some(pool) => pool.runtime.shards.of(worker).dropped[reason as usize].increment(),
            None => self.connection.worker.shared.stats.unrouted.of(worker).reasons[reason as usize].increment(),
        }
    }

    fn record(&self, duration: Duration) -> TcpRecord {
        let endpoint = self.joined.as_ref().map(|joined| &joined.endpoint);
        TcpRecord {
            time: self.time,
            client: self.connection.peer.to_string(),
            listener: self.connection.listener_name().to_owned(),
            protocol: "TCP",
            bytes_upstream: self.upstream.get(),
            bytes_downstream: self.downstream.get(),
            duration,
            connect_duration: self.joined.as_ref().map(|joined| joined.after),
            pool: self.pool.as_ref().map(|pool| pool.config.name.to_string()),
            backend: endpoint.map(|endpoint| endpoint.backend.name().to_owned()),
            address: endpoint.map(|endpoint| &endpoint.address).map(EndpointAddress::to_string),
            attempts: self.attempts,
            reason: self.reason.map(Reason::as_str),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let worker = &self.connection.worker;
        let ended = Ended { status: None, reason: self.reason, duration: self.began.elapsed() };
        if worker.shared.log.keeps(ended, &mut *worker.rng.borrow_mut()) {
            worker.shared.log.record_tcp(Box::new(self.record(ended.duration)));
        }
        self.leave_pool();
    }
}
