//! Compares what should be said with what was said last, and tells the difference. Works on levels, so that
//! a burst of changes is told once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use weir_proto::model::Key;

use super::{Board, Status, StatusSink, Update};
use crate::discovery::Nodes;
use crate::finding::Finding;
use crate::snapshot::Snapshot;

/// Changes within this time are told together.
const GATHER: Duration = Duration::from_millis(20);

/// Where statuses come from.
#[derive(Debug, Clone)]
pub(crate) struct Sources {
    pub(crate) board: Arc<Board>,
    pub(crate) nodes: Arc<Nodes>,
    pub(crate) snapshot: watch::Receiver<Option<Arc<Snapshot>>>,
}

impl Sources {
    /// The status of every resource as of now.
    pub(crate) fn statuses(&self) -> BTreeMap<Key, Status> {
        let snapshot = self.snapshot.borrow().clone();
        let progress = self.nodes.progress();
        let mut all = BTreeMap::new();
        self.board.each_verdict(|key, verdict| {
            let entry = snapshot.as_ref().and_then(|s| s.get(key));
            let programmed = progress.of(key, entry.map(|e| e.version));
            all.insert(key.clone(), Status { verdict: verdict.clone(), programmed });
        });
        all
    }
}

/// Tells `sink` each change of a status until stopped.
pub(crate) async fn report(sources: Sources, mut sink: impl StatusSink, stop: CancellationToken) {
    let mut reporter = Reporter::default();
    let mut board = sources.board.changes();
    let mut nodes = sources.nodes.changes();
    loop {
        for update in reporter.updates(&sources) {
            sink.write(update).await;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            _ = board.changed() => {}
            _ = nodes.changed() => {}
        }
        tokio::time::sleep(GATHER).await;
    }
}

#[derive(Default)]
struct Reporter {
    statuses: BTreeMap<Key, Status>,
    problems: BTreeMap<String, Vec<Finding>>,
}

impl Reporter {
    fn updates(&mut self, sources: &Sources) -> Vec<Update> {
        let problems = std::mem::replace(&mut self.problems, sources.board.problems());
        let statuses = std::mem::replace(&mut self.statuses, sources.statuses());
        let mut updates = differences(problems, &self.problems, |place, before, after| Update::Place {
            place,
            before: before.unwrap_or_default(),
            after: after.unwrap_or_default(),
        });
        updates.extend(differences(statuses, &self.statuses, |key, before, after| Update::Resource {
            key,
            before: before.map(Box::new),
            after: after.map(Box::new),
        }));
        updates
    }
}

/// An update for each key whose value is not what it was.
fn differences<K: Ord + Clone, V: PartialEq + Clone>(
    mut old: BTreeMap<K, V>,
    new: &BTreeMap<K, V>,
    update: impl Fn(K, Option<V>, Option<V>) -> Update,
) -> Vec<Update> {
    let mut updates = Vec::new();
    for (key, value) in new {
        let before = old.remove(key);
        if before.as_ref() != Some(value) {
            updates.push(update(key.clone(), before, Some(value.clone())));
        }
    }
    updates.extend(old.into_iter().map(|(key, before)| update(key, Some(before), None)));
    updates
}
