//! What is going on in the folder at this moment: when each file was last touched, and whether its writer still
//! has it open. Filled by the watcher's own thread, so that whoever reads a file can ask just before and just
//! after.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

/// A writer that has been silent for so long is taken to be done, though its file is still open. A shell that
/// writes the output of a slow command truncates first and writes much later.
const SILENT: Duration = Duration::from_secs(30);

/// Shared between the watcher and the reader.
#[derive(Debug, Default)]
pub(super) struct Activity {
    traces: Mutex<HashMap<PathBuf, Trace>>,
    /// Files opened and not touched since, by readers (us among them) or writers.
    opened: Mutex<HashMap<PathBuf, Instant>>,
    wake: Notify,
}

/// The last that was seen of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Trace {
    /// When that was.
    pub(super) last: Instant,
    is_open: bool,
}

/// What happened to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Touch {
    /// Its writer wrote, and has it open.
    Written,
    /// Its writer closed it.
    Closed,
    /// Anything else.
    Other,
}

impl Activity {
    /// Something happened to a file.
    pub(super) fn touch(&self, path: PathBuf, touch: Touch) {
        self.opened.lock().remove(&path);
        let mut traces = self.traces.lock();
        let was_open = traces.get(&path).is_some_and(|trace| trace.is_open);
        let is_open = match touch {
            Touch::Written => true,
            Touch::Closed => false,
            Touch::Other => was_open,
        };
        traces.insert(path, Trace { last: Instant::now(), is_open });
        drop(traces);
        self.wake();
    }

    /// Someone opened a file.
    pub(super) fn open(&self, path: PathBuf) {
        self.opened.lock().insert(path, Instant::now());
    }

    /// Whether someone has a file open, perhaps, and has not touched it yet.
    pub(super) fn was_opened(&self, path: &Path) -> bool {
        self.opened.lock().get(path).is_some_and(|opened| opened.elapsed() < SILENT)
    }

    /// Something happened.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Waits until something happens.
    pub(super) async fn happens(&self) {
        self.wake.notified().await;
    }

    /// The last that was seen of a file lately.
    pub(super) fn of(&self, path: &Path) -> Option<Trace> {
        self.traces.lock().get(path).copied()
    }

    /// How many files are remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.traces.lock().len()
    }

    /// Forgets what is long past.
    pub(super) fn tidy(&self) {
        self.opened.lock().retain(|_, opened| opened.elapsed() < SILENT);
        self.traces.lock().retain(|_, trace| trace.last.elapsed() < SILENT);
    }
}

impl Trace {
    /// Whether a writer is at it now.
    pub(super) fn is_busy(self) -> bool {
        self.is_open && self.last.elapsed() < SILENT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_file_is_busy_until_closed_or_long_silent() {
        let activity = Activity::default();
        let path = Path::new("a");
        let is_busy = || activity.of(path).is_some_and(Trace::is_busy);
        activity.touch(path.into(), Touch::Written);
        activity.touch(path.into(), Touch::Other);
        assert!(is_busy());
        activity.touch(path.into(), Touch::Closed);
        assert!(!is_busy());
        activity.touch(path.into(), Touch::Written);
        tokio::time::advance(SILENT).await;
        assert!(!is_busy());
        activity.tidy();
        assert!(activity.of(path).is_none());
    }

    #[test]
    fn a_file_counts_as_opened_until_it_is_touched() {
        let activity = Activity::default();
        let path = Path::new("a");
        activity.open(path.into());
        assert!(activity.was_opened(path) && activity.of(path).is_none());
        activity.touch(path.into(), Touch::Closed);
        assert!(!activity.was_opened(path));
    }
}
