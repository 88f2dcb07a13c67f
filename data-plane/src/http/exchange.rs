//! One request and its answer: what is known of it, counted and logged when it ends.
//!
//! An [`Exchange`] lives from the request head to the last byte of the response, moves from the request
//! path into the response body, and does its accounting when dropped, so that cancelled requests and
//! panics are counted like all others.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use http::request::Parts;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::connection::ClientConnection;
use super::limit::shorter;
use super::origin::Origin;
use super::request_id::RequestId;
use crate::explain::live::Try;
use crate::matcher::Place;
use crate::plugin::{Finish, Halt, Outcome};
use crate::pool::{Endpoint, InFlight, Pool};
use crate::reason::Reason;
use crate::stats::access_log::{Ended, Head, Record};
use crate::trace::Recorder;
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
    /// Collects what is done for it, if it is sampled.
    pub trace: Option<Rc<Recorder>>,
    /// Where its rule is in the table, once it has one.
    pub place: Option<Place>,
    /// Its number in the table.
    pool: Option<usize>,
    /// Whether it counts as in flight there.
    flies: bool,
    status: Option<StatusCode>,
    upstream: Option<Duration>,
    /// Kept only if somebody may want a record.
    head: Option<Box<Head>>,
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
            place: None,
            pool: None,
            flies: false,
            status: None,
            upstream: None,
            head: None,
            trace: None,
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

    /// Keeps what the access log and the trace may want of the request, and says in its headers which trace it is of.
    pub fn note_head(&mut self, parts: &mut Parts) {
        let worker = &self.connection.worker;
        let (log, tracer) = (&worker.shared.log, &worker.shared.tracer);
        let keep = |parts: &Parts| Box::new(Head::new(parts, log.headers()));
        self.head = (log.enabled() || worker.shared.stats.live.is_watched()).then(|| keep(parts));
        self.trace = tracer.begin(&mut parts.headers, &mut *worker.rng.borrow_mut(), self.began).map(Rc::new);
        if self.trace.is_some() {
            self.head.get_or_insert_with(|| keep(parts));
        }
    }

    /// Notes a try that came to nothing, if somebody may want to know.
    pub fn note_try(&mut self, endpoint: &Endpoint, reason: Reason) {
        if let Some(head) = &mut self.head {
            head.tries.push(Try::new(endpoint, reason));
        }
    }

    /// Notes which plugin has answered, likewise.
    pub fn note_halt(&mut self, halt: &Halt) {
        if let Some(head) = &mut self.head {
            head.halted_by.clone_from(&halt.plugin);
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

    /// Hands a record to whoever wants one.
    fn report(&mut self, status: u16, duration: Duration) {
        let Some(head) = self.head.take() else { return };
        let worker = &self.connection.worker;
        let ended = Ended { status: Some(status), reason: self.reason, duration };
        let logged = worker.shared.log.keeps(ended, &mut *worker.rng.borrow_mut());
        let live = Some(&worker.shared.stats.live).filter(|live| live.is_watched());
        if !logged && self.trace.is_none() && live.is_none() {
            return;
        }
        let record = Box::new(self.record(&head, status, duration));
        if let Some(live) = live {
            live.tell(&record, self.rule(), &mut worker.rng.borrow_mut());
        }
        if let Some(trace) = &self.trace {
            worker.shared.tracer.send(Box::new(trace.finish(record.clone(), self.origin.scheme)));
        }
        if logged {
            worker.shared.log.record(record);
        }
    }

    /// Canonical text of the rule that took it.
    fn rule(&self) -> Option<&Arc<str>> {
        let routes = self.table.listeners.get(self.connection.listener)?;
        Some(routes.chain(self.place?)?.rule())
    }

    fn record(&self, head: &Head, status: u16, duration: Duration) -> Record {
        let endpoint = self.in_flight.as_ref().map(InFlight::endpoint);
        Record {
            time: Timestamp::now() - SignedDuration::try_from(duration).unwrap_or_default(),
            request: self.id.to_string(),
            trace: self.trace.as_ref().map(|trace| trace.trace().to_string()),
            client: self.origin.client_text(),
            listener: self.connection.listener_name().to_owned(),
            status,
            bytes: self.bytes,
            duration,
            upstream_duration: self.upstream,
            pool: self.pool().map(|pool| pool.config.name.to_string()),
            backend: endpoint.map(|endpoint| endpoint.backend.name().to_owned()),
            address: endpoint.map(|endpoint| endpoint.address.to_string()),
            attempts: self.attempts,
            reason: self.reason.map(Reason::as_str),
            ..head.record()
        }
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
        self.report(status, duration);
        self.leave_pool();
        self.connection.handle.activity.idle();
    }
}
