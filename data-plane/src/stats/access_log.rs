//! The access log: one line a request, or a connection of TCP, written by a thread of its own.
//!
//! Workers only put records into a bounded queue, and never wait: when the writer cannot keep up, lines
//! are lost and counted. What was formatted is on its way to the disk whenever the queue is empty.

mod args;
mod escape;
mod field;
mod filter;
mod format;
mod hangup;
mod head;
mod record;
mod target;
mod template;
mod writer;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::SyncSender;

use http::HeaderName;
use rand::Rng;

pub use args::AccessLogArgs;
pub use filter::{Ended, Filter};
pub use format::Format;
pub use hangup::follow_hangups;
pub use head::Head;
pub use record::{Record, TcpRecord};
pub use target::Target;
pub use writer::LogWriter;

use super::ProcessStats;
use writer::Message;

/// What is logged, how, and where.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where lines go.
    pub target: Target,
    /// What a line looks like.
    pub format: Format,
    /// Which requests have one.
    pub filter: Filter,
}

/// Takes records from any thread; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct AccessLog(Option<Arc<Front>>);

/// What workers see of a log.
#[derive(Debug)]
struct Front {
    sender: SyncSender<Message>,
    filter: Filter,
    /// Headers that the format names.
    headers: Box<[HeaderName]>,
    /// Whether the writer is to open its file anew.
    reopen: Arc<AtomicBool>,
    stats: Arc<ProcessStats>,
}

/// What a line is about.
#[derive(Debug, serde::Serialize)]
#[serde(untagged)]
enum Line {
    Request(Box<Record>),
    Connection(Box<TcpRecord>),
}

impl AccessLog {
    /// A log that takes nothing.
    #[must_use]
    pub fn off() -> Self {
        Self(None)
    }

    /// Opens the target and starts the thread that writes to it.
    ///
    /// # Errors
    /// If the file cannot be opened, or there are no threads left.
    pub fn start(settings: &Settings, stats: Arc<ProcessStats>) -> io::Result<(Self, LogWriter)> {
        Self::write_to(settings.target.open()?, settings, stats)
    }

    fn write_to(out: target::Out, settings: &Settings, stats: Arc<ProcessStats>) -> io::Result<(Self, LogWriter)> {
        let reopen = Arc::<AtomicBool>::default();
        let (sender, writer) = writer::start(out, settings, reopen.clone(), stats.clone())?;
        let headers = settings.format.headers().into();
        Ok((Self(Some(Arc::new(Front { sender, filter: settings.filter, headers, reopen, stats }))), writer))
    }

    /// Whether records are wanted at all.
    #[must_use]
    pub fn enabled(&self) -> bool {
        self.0.is_some()
    }

    /// Headers of requests that records are to have.
    #[must_use]
    pub fn headers(&self) -> &[HeaderName] {
        self.0.as_ref().map_or(&[], |front| &front.headers)
    }

    /// Whether there is to be a line of what ended like this: asked before a record is made of it.
    pub fn keeps(&self, ended: Ended, rng: &mut impl Rng) -> bool {
        self.0.as_ref().is_some_and(|front| front.filter.keeps(ended, rng))
    }

    /// Hands the record of a request to the writer, or counts it as lost.
    pub fn record(&self, record: Box<Record>) {
        self.send(Line::Request(record));
    }

    /// The same for a connection of TCP.
    pub fn record_tcp(&self, record: Box<TcpRecord>) {
        self.send(Line::Connection(record));
    }

    fn send(&self, line: Line) {
        if let Some(front) = &self.0
            && front.sender.try_send(Message::Line(line)).is_err()
        {
            front.stats.log_lines_dropped.fetch_add(1, Relaxed);
        }
    }

    /// Opens the file anew: whoever moved it away wants the next lines in a new one of its name.
    pub fn reopen(&self) {
        let Some(front) = &self.0 else { return };
        front.reopen.store(true, Relaxed);
        // A queue that is full is being written: its writer need not be woken.
        let _ = front.sender.try_send(Message::Reopen);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_is_off_takes_nothing() {
        let log = AccessLog::off();
        let ended = Ended { status: Some(500), reason: None, duration: std::time::Duration::MAX };
        assert!(!log.enabled() && !log.keeps(ended, &mut rand::rng()));
        log.record(Box::default());
        log.reopen();
    }
}
