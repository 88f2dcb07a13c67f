//! What this proxy holds and refuses, as it changes, for the replicas that do not serve it.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::broadcast;
use weir_proto::model::Key;
use weir_proto::pb;

/// Changes that a slow replica may be behind by; with more it is told everything anew.
const BEHIND: usize = 64;

/// What has changed, one delta after the other.
pub(super) type Changes = broadcast::Receiver<Arc<pb::Holding>>;

/// Told by the stream that brings deltas, heard by those that inform; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Holdings(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Refused by this process and not replaced since.
    refused: Mutex<BTreeMap<Key, pb::Rejection>>,
    changes: broadcast::Sender<Arc<pb::Holding>>,
}

/// The keys and versions of a delta, kept while it is applied.
#[derive(Debug)]
pub(super) struct Outline {
    upserts: Vec<pb::Held>,
    removed: Vec<pb::Key>,
}

impl Outline {
    /// Of a delta that is about to be applied.
    pub(super) fn new(delta: &pb::Delta) -> Self {
        let held = |r: &pb::Resource| pb::Held { key: r.key.clone(), version: r.version.clone() };
        Self { upserts: delta.upserts.iter().map(held).collect(), removed: delta.removed.clone() }
    }

    /// What has changed, now that it is known what was refused.
    fn into_holding(self, refused: &[pb::Rejection]) -> pb::Holding {
        let Self { mut upserts, removed } = self;
        upserts.retain(|held| refused.iter().all(|rejection| rejection.key != held.key));
        pb::Holding { held: upserts, gone: removed, refused: refused.to_vec() }
    }
}

impl Default for Holdings {
    fn default() -> Self {
        Self(Arc::new(Shared { refused: Mutex::default(), changes: broadcast::Sender::new(BEHIND) }))
    }
}

impl Holdings {
    /// A delta was applied, but for what was refused.
    pub(super) fn applied(&self, outline: Outline, refused: &[pb::Rejection]) {
        let holding = outline.into_holding(refused);
        let mut standing = self.0.refused.lock();
        for key in holding.held.iter().filter_map(|held| held.key.as_ref()).chain(&holding.gone) {
            forget(&mut standing, key);
        }
        standing.extend(refused.iter().filter_map(|r| Some((Key::try_from(r.key.clone()?).ok()?, r.clone()))));
        // Under the lock, so that who subscribes hears of a refusal in one way or the other. Nobody may listen.
        let _ = self.0.changes.send(Arc::new(holding));
    }

    /// Another control plane serves this proxy, and offers again what was refused before.
    pub(super) fn restart(&self) {
        self.0.refused.lock().clear();
    }

    /// What is refused now, and all changes from now on.
    pub(super) fn subscribe(&self) -> (pb::Holding, Changes) {
        let refused = self.0.refused.lock();
        let standing = pb::Holding { refused: refused.values().cloned().collect(), ..pb::Holding::default() };
        (standing, self.0.changes.subscribe())
    }
}

fn forget(refused: &mut BTreeMap<Key, pb::Rejection>, key: &pb::Key) {
    if let Ok(key) = Key::try_from(key.clone()) {
        refused.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> pb::Key {
        (&Key::pool(format!("a/{name}").parse().unwrap())).into()
    }

    fn delta(upserts: &[&str], removed: &[&str]) -> Outline {
        let resource = |name: &&str| pb::Resource { key: Some(key(name)), version: vec![1; 16], body: None };
        let upserts = upserts.iter().map(resource).collect();
        Outline::new(&pb::Delta { upserts, removed: removed.iter().map(|n| key(n)).collect(), ..Default::default() })
    }

    fn refusal(name: &str) -> pb::Rejection {
        pb::Rejection { key: Some(key(name)), version: vec![1; 16], reason: "bad".into() }
    }

    fn refused(holdings: &Holdings) -> Vec<pb::Key> {
        holdings.subscribe().0.refused.into_iter().filter_map(|rejection| rejection.key).collect()
    }

    #[test]
    fn a_change_is_what_a_delta_held_but_for_what_was_refused() {
        let holdings = Holdings::default();
        let (_, mut changes) = holdings.subscribe();
        holdings.applied(delta(&["x", "y"], &["z"]), &[refusal("y")]);
        let change = changes.try_recv().unwrap();
        assert_eq!(change.held, [pb::Held { key: Some(key("x")), version: vec![1; 16] }]);
        assert_eq!((&change.gone, &change.refused), (&vec![key("z")], &vec![refusal("y")]));
    }

    #[test]
    fn who_comes_later_is_told_what_is_still_refused() {
        let holdings = Holdings::default();
        holdings.applied(delta(&["x", "y", "z"], &[]), &["x", "y", "z"].map(refusal));
        holdings.applied(delta(&["x"], &["y"]), &[]);
        assert_eq!(refused(&holdings), [key("z")]);
        holdings.restart();
        assert_eq!(refused(&holdings), []);
    }
}
