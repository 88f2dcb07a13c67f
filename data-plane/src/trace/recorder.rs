//! Collects the spans of one sampled request, on its worker.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use http::{HeaderMap, HeaderValue};
use jiff::Timestamp;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::time::Instant;

use super::context::{Context, SpanId, TRACESTATE, TraceId};
use super::span::{Finished, Span, Try, TryResult, What};
use crate::plugin::stats::{Hook, PluginStats};
use crate::pool::{Endpoint, Pool};
use crate::reason::Reason;
use crate::stats::access_log::Record;

/// Most spans of one request, however many plugins and tries it has.
const MOST: usize = 128;

/// The spans of a request so far.
#[derive(Debug)]
pub struct Recorder {
    trace: TraceId,
    server: SpanId,
    parent: Option<SpanId>,
    state: String,
    /// When the request began, by both clocks.
    time: Timestamp,
    began: Instant,
    ids: RefCell<SmallRng>,
    rule: RefCell<Option<Arc<str>>>,
    spans: RefCell<Vec<Span>>,
    /// The try that runs, by its place among the spans.
    attempt: Cell<Option<usize>>,
}

impl Recorder {
    /// Of a request that is part of a trace. `seed` makes the names of its spans its own.
    pub(super) fn of_parent(parent: Context, headers: &HeaderMap, seed: u64, began: Instant) -> Self {
        let members = headers.get_all(TRACESTATE).iter().filter_map(|value| value.to_str().ok());
        let state = members.collect::<Vec<_>>().join(",");
        Self { parent: Some(parent.span), state, ..Self::of_trace(parent.trace, seed, began) }
    }

    /// Of a request that begins a trace.
    pub(super) fn of_trace(trace: TraceId, seed: u64, began: Instant) -> Self {
        let mut ids = SmallRng::seed_from_u64(seed);
        Self {
            trace,
            server: SpanId::random(&mut ids),
            parent: None,
            state: String::new(),
            time: Timestamp::now(),
            began,
            ids: RefCell::new(ids),
            rule: RefCell::default(),
            spans: RefCell::default(),
            attempt: Cell::new(None),
        }
    }

    /// The trace.
    #[must_use]
    pub fn trace(&self) -> TraceId {
        self.trace
    }

    /// The request is looked for no more, whether a rule was found or not.
    pub fn matched(&self) {
        self.add(self.server, What::Match, self.began, Some(Instant::now()));
    }

    /// It goes by this rule.
    pub fn set_rule(&self, rule: &Arc<str>) {
        *self.rule.borrow_mut() = Some(rule.clone());
    }

    /// A hook of a plugin has run since then.
    pub fn plugin_ran(&self, plugin: &PluginStats, hook: Hook, since: Instant) {
        let now = Instant::now();
        if let Some(last) = self.spans.borrow_mut().last_mut()
            && matches!(&last.what, What::Plugin { name, hook: ran } if *name == plugin.name && *ran == hook.as_str())
        {
            // It waited, and goes on.
            last.end = Some(now);
            return;
        }
        let what = What::Plugin { name: plugin.name.clone(), hook: hook.as_str() };
        self.add(self.server, what, since, Some(now));
    }

    /// It has waited for a backend with room since then.
    pub(super) fn waited(&self, since: Instant) {
        self.add(self.server, What::Queue, since, Some(Instant::now()));
    }

    /// A try of this endpoint begins, and ends the one before. Gives what its request says in `traceparent`.
    pub fn attempt_begins(&self, number: u32, pool: &Pool, endpoint: &Endpoint) -> HeaderValue {
        let began = Instant::now();
        self.end_attempt(began);
        let what = What::Attempt(Try {
            number,
            pool: pool.config.name.to_string(),
            backend: endpoint.backend.name().to_owned(),
            address: endpoint.address.to_string(),
            result: None,
        });
        let (span, place) = self.add(self.server, what, began, None);
        self.attempt.set(place);
        Context { trace: self.trace, span, sampled: true }.header()
    }

    /// A connection for the try was made since then, or not.
    pub fn connected(&self, since: Instant, failure: Option<Reason>) {
        let parent = self.attempt.get().and_then(|place| self.spans.borrow().get(place).map(|span| span.id));
        let what = What::Connect { failure: failure.map(Reason::as_str) };
        self.add(parent.unwrap_or(self.server), what, since, Some(Instant::now()));
    }

    /// The try has an answer, which goes on until the request ends or another try begins.
    pub fn attempt_answered(&self, status: u16, at: Instant) {
        self.set_result(TryResult::Head(status, at));
    }

    /// The try has failed.
    pub fn attempt_failed(&self, reason: Reason) {
        self.set_result(TryResult::Failure(reason.as_str()));
        self.end_attempt(Instant::now());
    }

    fn set_result(&self, how: TryResult) {
        let mut spans = self.spans.borrow_mut();
        // There is none after the end of a request whose try goes on without its client.
        let span = self.attempt.get().and_then(|place| spans.get_mut(place));
        if let Some(Span { what: What::Attempt(Try { result, .. }), .. }) = span {
            *result = Some(how);
        }
    }

    fn end_attempt(&self, at: Instant) {
        let mut spans = self.spans.borrow_mut();
        if let Some(span) = self.attempt.take().and_then(|place| spans.get_mut(place)) {
            span.end = Some(at);
        }
    }

    /// Gives the new span's name, and its place unless there are too many.
    fn add(&self, parent: SpanId, what: What, begin: Instant, end: Option<Instant>) -> (SpanId, Option<usize>) {
        let id = SpanId::random(&mut *self.ids.borrow_mut());
        let mut spans = self.spans.borrow_mut();
        let place = (spans.len() < MOST).then_some(spans.len());
        spans.extend(place.map(|_| Span { id, parent, what, begin, end }));
        (id, place)
    }

    /// The request has ended; this is what is known of it.
    #[must_use]
    pub fn finish(&self, record: Box<Record>, scheme: &'static str) -> Finished {
        self.attempt.set(None);
        Finished {
            trace: self.trace,
            server: self.server,
            parent: self.parent,
            state: self.state.clone(),
            time: self.time,
            began: self.began,
            ended: Instant::now(),
            rule: self.rule.take(),
            scheme,
            record,
            spans: self.spans.take(),
        }
    }
}
