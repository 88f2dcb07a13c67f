//! The verdicts of all resources, written by the publisher and read by whoever tells people.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::RwLock;
use tokio::sync::watch;
use weir_proto::model::{Key, Kind};

use super::Verdict;
use crate::finding::Finding;

/// Shared between one writer and its readers; locks are held for a look, never across a wait.
#[derive(Debug)]
pub struct Board {
    state: RwLock<State>,
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    verdicts: BTreeMap<Key, Verdict>,
    problems: BTreeMap<String, Vec<Finding>>,
    /// Resources that were judged since somebody asked last.
    judged: BTreeSet<Key>,
}

impl Default for Board {
    fn default() -> Self {
        Self { state: RwLock::default(), changed: watch::Sender::new(()) }
    }
}

impl Board {
    /// Takes in new verdicts (`None` = the resource is gone) and the problems of places.
    pub fn update(&self, verdicts: Vec<(Key, Option<Verdict>)>, problems: Vec<(String, Vec<Finding>)>) {
        if verdicts.is_empty() && problems.is_empty() {
            return;
        }
        let mut state = self.state.write();
        for (key, verdict) in verdicts {
            state.judged.insert(key.clone());
            match verdict {
                Some(verdict) => drop(state.verdicts.insert(key, verdict)),
                None => drop(state.verdicts.remove(&key)),
            }
        }
        for (place, findings) in problems {
            if findings.is_empty() {
                state.problems.remove(&place);
            } else {
                state.problems.insert(place, findings);
            }
        }
        drop(state);
        self.changed.send_replace(());
    }

    /// Wakes at each update.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// What a resource is judged to be; `None` = there is no such resource.
    #[must_use]
    pub fn verdict(&self, key: &Key) -> Option<Verdict> {
        self.state.read().verdicts.get(key).cloned()
    }

    /// Shows every verdict in turn.
    pub fn each_verdict(&self, mut see: impl FnMut(&Key, &Verdict)) {
        self.state.read().verdicts.iter().for_each(|(key, verdict)| see(key, verdict));
    }

    /// The resources that were judged since the last call, those that are gone too.
    #[must_use]
    pub fn take_judged(&self) -> BTreeSet<Key> {
        std::mem::take(&mut self.state.write().judged)
    }

    /// What is wrong with files, apart from the resources.
    #[must_use]
    pub fn problems(&self) -> BTreeMap<String, Vec<Finding>> {
        self.state.read().problems.clone()
    }

    /// How many resources of a kind nothing is wrong with, and how many there are besides.
    #[must_use]
    pub fn count(&self, kind: Kind) -> (usize, usize) {
        let state = self.state.read();
        let of_kind = state.verdicts.iter().filter(|(key, _)| key.kind == kind);
        let (good, bad): (Vec<_>, Vec<_>) = of_kind.partition(|(_, verdict)| verdict.is_good());
        (good.len(), bad.len())
    }
}
