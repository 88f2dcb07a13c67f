//! What was done for a sampled request, on its way from its worker to the exporter.

use std::rc::Rc;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::time::Instant;

use super::context::{SpanId, TraceId};
use super::recorder::Recorder;
use crate::stats::access_log::Record;

/// One thing that was done.
#[derive(Debug)]
pub(super) struct Span {
    pub(super) id: SpanId,
    pub(super) parent: SpanId,
    pub(super) what: What,
    pub(super) begin: Instant,
    /// `None`: it lasted as long as the request did.
    pub(super) end: Option<Instant>,
}

/// What it was.
#[derive(Debug)]
pub(super) enum What {
    /// Its head was checked and a rule looked for.
    Match,
    /// It waited for a backend with room.
    Queue,
    /// A hook of the plugin of this name ran.
    Plugin { name: Arc<str>, hook: &'static str },
    /// A connection was made, or not: the reason says why.
    Connect { failure: Option<&'static str> },
    /// A backend was tried.
    Attempt(Try),
}

/// One try of a request.
#[derive(Debug)]
pub(super) struct Try {
    /// Which it is, from 1.
    pub(super) number: u32,
    pub(super) pool: String,
    pub(super) backend: String,
    pub(super) address: String,
    pub(super) result: Option<TryResult>,
}

/// How it ended.
#[derive(Debug, Clone, Copy)]
pub(super) enum TryResult {
    /// A response of this status began then.
    Head(u16, Instant),
    /// There was none.
    Failure(&'static str),
}

/// A sampled request that has ended.
#[derive(Debug)]
pub struct Finished {
    pub(super) trace: TraceId,
    /// The span of the whole request.
    pub(super) server: SpanId,
    /// The client's, if it named one.
    pub(super) parent: Option<SpanId>,
    pub(super) state: String,
    /// The moment of `began`, by the clock on the wall.
    pub(super) time: Timestamp,
    pub(super) began: Instant,
    pub(super) ended: Instant,
    pub(super) rule: Option<Arc<str>>,
    pub(super) scheme: &'static str,
    pub(super) record: Box<Record>,
    pub(super) spans: Vec<Span>,
}

impl Finished {
    /// How many spans there are, with that of the request.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> u64 {
        self.spans.len() as u64 + 1
    }
}

/// A request that waits for a backend with room, until it is dropped.
#[derive(Debug)]
pub struct Waits {
    recorder: Option<Rc<Recorder>>,
    since: Instant,
}

impl Waits {
    /// From now on.
    #[must_use]
    pub fn begin(recorder: Option<Rc<Recorder>>) -> Self {
        Self { recorder, since: Instant::now() }
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        if let Some(recorder) = &self.recorder {
            recorder.waited(self.since);
        }
    }
}
