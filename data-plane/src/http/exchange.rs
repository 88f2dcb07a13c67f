//! One request and its answer: what is known of it, counted and logged when it ends.
//!
//! An [`Exchange`] lives from the request head to the last byte of the response, moves from the request
//! path into the response body, and does its accounting when dropped, so that cancelled requests and
//! panics are counted like all others.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::time::Instant;

use super::connection::ClientConnection;
use super::limit::shorter;
use super::origin::Origin;
use super::request_id::RequestId;
use crate::plugin::{Finish, Outcome};
use crate::pool::{InFlight, Pool};
use crate::reason::Reason;
use crate::stats::access_log::Record;
use crate::worker::TableRef;

/// Status under which a request counts whose client left before any answer, as in nginx.
const CLIENT_LEFT: u16 = 499;

/// A request under way.
#[derive(Debug)]
pub struct Exchange {
    /// Names it in logs.
    pub id: RequestId,
    /// The client's connection.
    pub connection: Rc<ClientConnection>,
    /// Who it is from.
    pub origin: Origin,
    /// The table it reads.
    pub table: TableRef,
    /// When its head was complete.
    pub began: Instant,
    /// The endpoint that answers, once there is one.
    pub in_flight: Option<InFlight>,
    /// Tries so far.
    pub attempts: u32,
    /// Bytes of the response body so far.
    pub bytes: u64,
    /// What went wrong, if anything did.
    pub reason: Option<Reason>,
    /// How long its client waits, if it says that; zero = as long as it takes.
    pub patience: Duration,
    /// Its number in the table.
    pool: Option<usize>,
    /// Whether it counts as in flight there.
    flies: bool,
    status: Option<StatusCode>,
    upstream: Option<Duration>,
    /// Prepared only if there is an access log.
    log: Option<Box<Record>>,
    /// Hooks to run at the end.
    finish: Option<Box<Finish>>,
}

impl Exchange {
    /// A request whose head has just arrived. Boxed, as it moves through every step of the request path.
    #[must_use]
    pub fn begin(connection: Rc<ClientConnection>, origin: Origin) -> Box<Self> {
        connection.handle.activity.busy();
        let table = connection.worker.table();
        Box::new(Self {
            id: connection.worker.next_request(),
            origin,
            connection,
            table,
            began: Instant::now(),
            in_flight: None,
            attempts: 0,
            bytes: 0,
            reason: None,
            patience: Duration::ZERO,
            pool: None,
            flies: false,
            status: None,
            upstream: None,
            log: None,
            finish: None,
        })
    }

    /// The time that it has in this pool; zero = without a limit.
    #[must_use]
    pub fn limit(&self, pool: &Pool) -> Duration {
        shorter(pool.config.timeouts.request, self.patience)
    }

    /// Whether its client has said how long it waits, and that is over.
    #[must_use]
    pub fn is_past_patience(&self) -> bool {
        !self.patience.is_zero() && self.began.elapsed() >= self.patience
    }

    /// Notes what the access log wants of the request.
    pub fn log_request(&mut self, parts: &http::request::Parts) {
        if self.connection.worker.shared.log.enabled() {
            self.log = Some(Box::new(Record::of_request(parts)));
        }
    }

    /// Runs the last hooks of plugins at the end.
    pub fn finish_with(&mut self, finish: Box<Finish>) {
        self.finish = Some(finish);
    }

    /// Reads `table` from now on, out of the pool of the one before.
    pub fn change_table(&mut self, table: TableRef) {
        self.leave_pool();
        self.table = table;
    }

    /// The pool that the request is in.
    #[must_use]
    pub fn pool(&self) -> Option<&Arc<Pool>> {
        self.pool.and_then(|number| self.table.pools.at(number))
    }

    /// The number of that pool.
    #[must_use]
    pub fn pool_number(&self) -> Option<usize> {
        self.pool
    }

    /// Moves into the pool of this number, out of the one before.
    pub fn enter_pool(&mut self, number: usize) {
        self.return_to_pool(number);
        if let Some(pool) = self.pool() {
            pool.runtime.shards.of(self.connection.worker.id).requests.increment();
        }
    }

    /// Moves into a pool that it was in before.
    pub fn return_to_pool(&mut self, number: usize) {
        if self.pool != Some(number) {
            self.leave_pool();
            self.pool = Some(number);
        }
    }

    fn leave_pool(&mut self) {
        self.end_flight();
        self.pool = None;
    }

    /// Counts as in flight in its pool from now on: it has an endpoint.
    pub fn begin_flight(&mut self) {
        if !std::mem::replace(&mut self.flies, true) {
            self.pool().inspect(|pool| pool.runtime.in_flight.enter());
        }
    }

    /// It has none any more.
    pub fn end_flight(&mut self) {
        if std::mem::take(&mut self.flies) {
            self.pool().inspect(|pool| pool.runtime.in_flight.leave());
        }
    }

    /// Notes the head of the upstream's response, which came `after` the choice of its endpoint.
    pub fn answered(&mut self, status: StatusCode, after: Duration) {
        self.status = Some(status);
        self.upstream = Some(after);
        if let Some(pool) = self.pool() {
            pool.runtime.shards.of(self.connection.worker.id).upstream_duration.observe(after);
        }
    }

    /// Notes an answer made here.
    pub fn answered_here(&mut self, status: StatusCode, reason: Option<Reason>) {
        self.status = Some(status);
        self.reason = reason;
        self.in_flight = None;
        let refused = matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT)
            || matches!(reason, Some(Reason::QueueTimeout | Reason::TooLarge | Reason::TooSlow));
        if let (Some(pool), Some(reason), true) = (self.pool(), reason, refused) {
            pool.runtime.shards.of(self.connection.worker.id).dropped[reason as usize].increment();
        }
    }

    fn count(&self, status: u16) {
        let worker = &self.connection.worker;
        let class = usize::from(status / 100).clamp(1, 5) - 1;
        if let Some(in_flight) = &self.in_flight {
            in_flight.endpoint().shards.of(worker.id).responses[class].increment();
        } else if let Some(pool) = self.pool() {
            pool.runtime.shards.of(worker.id).local_responses[class].increment();
        } else {
            let unrouted = worker.shared.stats.unrouted.of(worker.id);
            unrouted.responses[class].increment();
            if let Some(reason) = self.reason {
                unrouted.reasons[reason as usize].increment();
            }
        }
    }

    fn write_log(&mut self, status: u16, duration: Duration) {
        let Some(mut record) = self.log.take() else { return };
        record.request = self.id.to_string();
        record.client = self.origin.client_text();
        self.connection.listener_name().clone_into(&mut record.listener);
        record.status = status;
        record.bytes = self.bytes;
        record.duration = duration;
        record.upstream_duration = self.upstream;
        record.attempts = self.attempts;
        record.reason = self.reason.map(Reason::as_str);
        record.pool = self.pool().map(|pool| pool.config.name.to_string());
        if let Some(in_flight) = &self.in_flight {
            record.backend = Some(in_flight.endpoint().backend.name().to_owned());
            record.address = Some(in_flight.endpoint().address.to_string());
        }
        self.connection.worker.shared.log.record(record);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let duration = self.began.elapsed();
        if self.status.is_none() {
            self.reason = Some(Reason::ClientAbort);
        }
        let status = self.status.map_or(CLIENT_LEFT, |status| status.as_u16());
        self.count(status);
        if let Some(pool) = self.pool() {
            pool.runtime.shards.of(self.connection.worker.id).request_duration.observe(duration);
        }
        if let Some(finish) = self.finish.take() {
            let outcome = Outcome { status, duration, upstream: self.upstream, bytes: self.bytes };
            finish.run(&self.connection, &outcome);
        }
        self.write_log(status, duration);
        self.leave_pool();
        self.connection.handle.activity.idle();
    }
}
