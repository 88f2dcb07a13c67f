//! Who is told about changes of status. In file mode: the log or the console, one line a finding.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use weir_proto::model::Key;

use super::{Status, Transition};
use crate::finding::Finding;

/// A status that is not what it was.
#[derive(Debug, Clone, PartialEq)]
pub enum Update {
    /// Of a resource; before and after, `None` = it did not exist or is gone.
    Resource {
        /// Which resource.
        key: Key,
        /// What was said before.
        before: Option<Arc<Status>>,
        /// What is said now.
        after: Option<Arc<Status>>,
    },
    /// Of a place such as a file, apart from its resources; empty = nothing is wrong any more.
    Place {
        /// Which place.
        place: String,
        /// What was wrong before.
        before: Vec<Finding>,
        /// What is wrong now.
        after: Vec<Finding>,
    },
    /// An endpoint went down or came back.
    Endpoint(Transition),
}

/// Takes each change of a status.
pub trait StatusSink: Send + 'static {
    /// Changes within this time are told together.
    const GATHER: Duration = Duration::from_millis(20);

    /// Tells one change.
    fn write(&mut self, update: Update) -> impl Future<Output = ()> + Send;
}

/// Writes one line for each new finding, and one when a resource or file is right again.
pub struct LineSink {
    write: Box<dyn FnMut(Line<'_>) + Send>,
}

/// A line for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line<'a> {
    /// Something is wrong.
    Wrong(&'a str),
    /// It is right again.
    Right(&'a str),
}

impl fmt::Debug for LineSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineSink").finish_non_exhaustive()
    }
}

impl LineSink {
    /// Lines go where `write` puts them.
    pub fn new(write: impl FnMut(Line<'_>) + Send + 'static) -> Self {
        Self { write: Box::new(write) }
    }

    /// Lines go to the log.
    #[must_use]
    pub fn log() -> Self {
        Self::new(|line| match line {
            Line::Wrong(text) => tracing::warn!("{text}"),
            Line::Right(text) => tracing::info!("{text}"),
        })
    }

    fn tell(&mut self, what: &str, before: &BTreeSet<String>, after: &BTreeSet<String>) {
        for line in after.difference(before) {
            (self.write)(Line::Wrong(line));
        }
        if after.is_empty() && !before.is_empty() {
            (self.write)(Line::Right(&format!("{what}: nothing is wrong any more")));
        }
    }
}

impl StatusSink for LineSink {
    async fn write(&mut self, update: Update) {
        match update {
            Update::Resource { key, before, after } => {
                let lines = |status: Option<Arc<Status>>| status.map(|s| lines(&key, &s)).unwrap_or_default();
                let gone = after.is_none();
                let (before, after) = (lines(before), lines(after));
                if !gone {
                    self.tell(&key.to_string(), &before, &after);
                }
            }
            Update::Place { place, before, after } => {
                let lines = |findings: &[Finding]| findings.iter().map(ToString::to_string).collect();
                self.tell(&place, &lines(&before), &lines(&after));
            }
            // Each proxy that sees it has a line of its own.
            Update::Endpoint(_) => {}
        }
    }
}

/// What is wrong with a resource, by us or by a proxy.
fn lines(key: &Key, status: &Status) -> BTreeSet<String> {
    let findings = status.verdict.findings().map(ToString::to_string);
    let rejected = status.programmed.rejected.iter().map(|(node, why)| format!("{key}: refused by {node}: {why}"));
    findings.chain(rejected).collect()
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;
    use crate::status::{Health, PoolHealth, Programmed, Verdict};
    use crate::testing::key;

    fn status(message: &str) -> Arc<Status> {
        let finding =
            Finding { place: None, key: Some(key("Pool", "a")), field: "spec".into(), message: message.into() };
        let invalid = if message.is_empty() { Vec::new() } else { vec![finding] };
        let verdict =
            Verdict { in_force: None, address: None, used_by: None, generation: None, invalid, reference: None };
        Arc::new(Status { verdict, programmed: Programmed::default(), health: Health::Pool(PoolHealth::default()) })
    }

    #[tokio::test]
    async fn s1_the_console_gets_one_line_a_change_in_the_form_of_a_finding() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let to = lines.clone();
        let mut sink = LineSink::new(move |line| to.lock().push(format!("{line:?}")));
        let mut tell = async |before: Option<&str>, after: Option<&str>| {
            let (before, after) = (before.map(status), after.map(status));
            sink.write(Update::Resource { key: key("Pool", "a"), before, after }).await;
        };
        tell(None, Some("")).await;
        tell(Some(""), Some("bad")).await;
        tell(Some("bad"), Some("bad")).await;
        tell(Some("bad"), Some("")).await;
        tell(Some(""), None).await;
        assert_eq!(
            *lines.lock(),
            [r#"Wrong("Pool default/a: spec: bad")"#, r#"Right("Pool default/a: nothing is wrong any more")"#]
        );
    }
}
