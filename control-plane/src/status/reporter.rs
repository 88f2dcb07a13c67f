//! Tells a sink each change of a status. Works on levels, so that a burst of changes is told once, and costs
//! nothing while nothing changes.

use std::collections::BTreeMap;

use tokio_util::sync::CancellationToken;

use super::{Sources, StatusSink, Statuses, Update};
use crate::finding::Finding;

/// Tells `sink` each change of a status until stopped.
pub(crate) async fn report<S: StatusSink>(sources: Sources, mut sink: S, stop: CancellationToken) {
    let mut reporter = Reporter::default();
    let mut board = sources.board.changes();
    let mut nodes = sources.nodes.changes();
    let mut snapshot = sources.snapshot.clone();
    loop {
        for update in reporter.updates(&sources) {
            sink.write(update).await;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            _ = board.changed() => {}
            _ = nodes.changed() => {}
            _ = snapshot.changed() => {}
        }
        tokio::time::sleep(S::GATHER).await;
        // Whatever came meanwhile is looked at now, and no reason to look again.
        board.mark_unchanged();
        nodes.mark_unchanged();
        snapshot.mark_unchanged();
    }
}

#[derive(Default)]
struct Reporter {
    statuses: Statuses,
    problems: BTreeMap<String, Vec<Finding>>,
}

impl Reporter {
    fn updates(&mut self, sources: &Sources) -> Vec<Update> {
        let mut updates = self.places(sources.board.problems());
        updates.extend(self.statuses.update(sources));
        updates
    }

    /// An update for each place whose findings are not what they were.
    fn places(&mut self, now: BTreeMap<String, Vec<Finding>>) -> Vec<Update> {
        let mut old = std::mem::replace(&mut self.problems, now);
        let mut updates = Vec::new();
        for (place, after) in &self.problems {
            let before = old.remove(place).unwrap_or_default();
            if before != *after {
                updates.push(Update::Place { place: place.clone(), before, after: after.clone() });
            }
        }
        updates.extend(old.into_iter().map(|(place, before)| Update::Place { place, before, after: Vec::new() }));
        updates
    }
}
