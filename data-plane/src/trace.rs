//! Traces: which request is part of which trace (W3C Trace Context), and what was done for it, told to a collector
//! (OTLP over gRPC).
//!
//! A worker collects the spans of a sampled request by itself and hands them over when it ends, into a bounded queue:
//! it never waits, and what does not fit is dropped and counted. Batches leave from the control thread.

mod args;
mod context;
mod export;
mod otlp;
mod recorder;
mod span;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use http::HeaderMap;
use rand::Rng;
use tokio::sync::mpsc;
use tokio::time::Instant;

pub use args::{Collector, TraceArgs};
pub use context::{TRACEPARENT, TraceId};
pub use export::Exporter;
pub use recorder::Recorder;
pub use span::{Finished, Waits};

use crate::share::Share;
use crate::stats::ProcessStats;
use context::{Context, SpanId, TRACESTATE};

/// Requests whose spans may wait for the exporter.
const QUEUE: usize = 2048;

/// What is traced, and who is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who is told.
    pub collector: Collector,
    /// Of the requests that are part of no trace yet.
    pub sample: Share,
    /// Name of this proxy.
    pub instance: String,
}

/// Begins the traces of requests, from any thread; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Tracer(Option<Arc<Front>>);

#[derive(Debug)]
struct Front {
    sender: mpsc::Sender<Box<Finished>>,
    sample: Share,
    stats: Arc<ProcessStats>,
}

impl Tracer {
    /// Traces nothing, and leaves the headers of requests alone.
    #[must_use]
    pub fn off() -> Self {
        Self(None)
    }

    /// Tells this collector, once the exporter runs.
    #[must_use]
    pub fn new(settings: Settings, stats: Arc<ProcessStats>) -> (Self, Exporter) {
        let (sender, finished) = mpsc::channel(QUEUE);
        let sample = settings.sample;
        let exporter = Exporter::new(settings, finished, stats.clone());
        (Self(Some(Arc::new(Front { sender, sample, stats }))), exporter)
    }

    /// A recorder if the request is sampled: as its parent is, or by its own new trace. Otherwise its headers say that it
    /// is not.
    pub fn begin(&self, headers: &mut HeaderMap, rng: &mut impl Rng, began: Instant) -> Option<Recorder> {
        let front = self.0.as_ref()?;
        if let Some(parent) = context::parent(headers) {
            // Whoever does not record passes the parent on as it is.
            return parent.sampled.then(|| Recorder::of_parent(parent, headers, rng.next_u64(), began));
        }
        // Its members belong to a trace that nobody knows.
        headers.remove(TRACESTATE);
        let trace = TraceId::random(rng);
        if trace.is_of(front.sample) {
            return Some(Recorder::of_trace(trace, rng.next_u64(), began));
        }
        let context = Context { trace, span: SpanId::random(rng), sampled: false };
        headers.insert(TRACEPARENT, context.header());
        None
    }

    /// Hands the spans of a request to the exporter, or counts them as lost.
    pub fn send(&self, finished: Box<Finished>) {
        let Some(front) = &self.0 else { return };
        let spans = finished.len();
        if front.sender.try_send(finished).is_err() {
            front.stats.trace_spans_dropped.fetch_add(spans, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-";

    fn tracer(sample: &str) -> (Tracer, Exporter) {
        let (collector, sample) = ("http://127.0.0.1:1".parse().unwrap(), sample.parse().unwrap());
        let settings = Settings { collector, sample, instance: "test".into() };
        Tracer::new(settings, Arc::new(ProcessStats::new(&[], 1)))
    }

    fn headers(parent: &str) -> HeaderMap {
        let fields = [(TRACEPARENT, parent), (TRACESTATE, "a=b")];
        fields.into_iter().map(|(name, value)| (name, HeaderValue::from_str(value).unwrap())).collect()
    }

    fn begin(tracer: &Tracer, headers: &mut HeaderMap) -> Option<Recorder> {
        tracer.begin(headers, &mut SmallRng::seed_from_u64(7), Instant::now())
    }

    #[test]
    fn without_a_collector_headers_pass_untouched() {
        let mut headers = headers("nonsense");
        let before = headers.clone();
        assert!(begin(&Tracer::off(), &mut headers).is_none());
        assert_eq!(headers, before);
    }

    #[test]
    fn the_parents_word_counts_whatever_the_share_is() {
        let mut sampled = headers(&format!("{PARENT}01"));
        let recorder = begin(&tracer("0%").0, &mut sampled).unwrap();
        assert_eq!(recorder.trace().to_string(), "0af7651916cd43dd8448eb211c80319c");
        let mut unsampled = headers(&format!("{PARENT}00"));
        let before = unsampled.clone();
        assert!(begin(&tracer("100%").0, &mut unsampled).is_none());
        assert_eq!(unsampled, before);
    }

    #[test]
    fn what_is_no_parent_begins_a_trace_anew_without_the_state_of_the_other() {
        let mut sampled = headers("00-0-0-01");
        assert!(begin(&tracer("100%").0, &mut sampled).is_some());
        assert!(!sampled.contains_key(TRACESTATE));
        let mut unsampled = headers("00-0-0-01");
        assert!(begin(&tracer("0%").0, &mut unsampled).is_none());
        let made = unsampled[TRACEPARENT].to_str().unwrap().to_owned();
        assert!(made.ends_with("-00") && context::parent(&unsampled).is_some_and(|parent| !parent.sampled), "{made}");
        assert!(!unsampled.contains_key(TRACESTATE));
    }

    #[test]
    fn a_queue_that_is_full_loses_spans_and_counts_them() {
        let (tracer, _exporter) = tracer("100%");
        let stats = &tracer.0.as_ref().unwrap().stats;
        for _ in 0..QUEUE + 2 {
            let recorder = begin(&tracer, &mut HeaderMap::new()).unwrap();
            recorder.matched();
            tracer.send(Box::new(recorder.finish(Box::default(), "http")));
        }
        assert_eq!(stats.trace_spans_dropped.load(Relaxed), 2 * 2);
    }
}
