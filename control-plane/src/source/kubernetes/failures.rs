//! What goes wrong with the watches of one kind: counted, and said once.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::runtime::watcher::{Error, Event, Result};
use prometheus::IntCounter;
use tokio::time::Instant;

/// A watch that fails again after a longer time than any back-off was well in between: one that is resumed says
/// nothing until there is something to say.
const SAME_WITHIN: Duration = Duration::from_secs(60);

/// The failures of one kind's watches.
#[derive(Debug)]
pub(super) struct Failures {
    kind: &'static str,
    count: IntCounter,
    /// Watches that fail, and when they did last.
    failing: BTreeMap<usize, Instant>,
}

impl Failures {
    pub(super) fn new(kind: &'static str, count: IntCounter) -> Self {
        Self { kind, count, failing: BTreeMap::new() }
    }

    /// The step of a watch, if it is none that failed. Says when a watch begins to fail, with the reason, and when
    /// it goes on.
    pub(super) fn sift<T>(&mut self, place: usize, step: Result<Event<T>>) -> Option<Event<T>> {
        match step {
            Err(error) => {
                self.failed(place, &error);
                None
            }
            // These come before it is known that a list can be had as a whole.
            Ok(event @ (Event::Init | Event::InitApply(_))) => Some(event),
            Ok(event) => {
                if self.failing.remove(&place).is_some() {
                    tracing::info!("watch of {} goes on", self.kind);
                }
                Some(event)
            }
        }
    }

    /// A watch is over.
    pub(super) fn forget(&mut self, place: usize) {
        self.failing.remove(&place);
    }

    fn failed(&mut self, place: usize, error: &Error) {
        self.count.inc();
        let now = Instant::now();
        if self.failing.insert(place, now).is_none_or(|before| now - before > SAME_WITHIN) {
            tracing::warn!("watch of {} fails, what is known stays: {}", self.kind, reason(error));
        }
    }
}

/// With what to do about it, where that is known.
pub(super) fn reason(error: &Error) -> String {
    let (Error::InitialListFailed(kube::Error::Api(status)) | Error::WatchStartFailed(kube::Error::Api(status))) =
        error
    else {
        return with_causes(error);
    };
    let hint = match status.code {
        403 => "; grant get, list and watch, or name what may be read with --namespace",
        404 => "; its CustomResourceDefinition is missing: weir crds | kubectl apply -f -",
        _ => "",
    };
    format!("{} ({}){hint}", status.message, status.code)
}

/// Errors of connections hide what is wrong in their causes.
fn with_causes(error: &Error) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn refused(code: u16) -> Error {
        let status = Status { message: "pools.weir.dev is refused".into(), code, ..Status::default() };
        Error::InitialListFailed(kube::Error::Api(status.boxed()))
    }

    #[tokio::test(start_paused = true)]
    async fn failures_are_counted_each_and_a_watch_fails_until_a_list_is_whole() {
        let count = IntCounter::new("a", "b").unwrap();
        let mut failures = Failures::new("Pool", count.clone());
        for step in [Ok(Event::Init), Err(refused(403)), Ok(Event::Init), Ok(Event::InitApply(1)), Err(refused(403))] {
            failures.sift(0, step);
        }
        assert_eq!((count.get(), failures.failing.len()), (2, 1));
        assert!(failures.sift(0, Ok(Event::<u8>::InitDone)).is_some());
        assert_eq!(failures.failing.len(), 0);
    }

    #[test]
    fn a_reason_says_what_to_do() {
        assert!(reason(&refused(403)).contains("--namespace"));
        assert!(reason(&refused(404)).contains("weir crds"));
        assert_eq!(reason(&refused(500)), "pools.weir.dev is refused (500)");
    }
}
