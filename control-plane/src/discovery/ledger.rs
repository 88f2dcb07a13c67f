//! What one proxy holds, what it refused, and which delta it has not answered yet. Pure: the session around
//! it moves the messages.
//!
//! LIFECYCLE: idle -> `offer` -> one delta unanswered -> `answer` -> idle. Snapshots that come meanwhile are
//! skipped: the next offer is the difference to the newest.

use std::collections::BTreeSet;
use std::sync::Arc;

use tonic::Status;
use weir_proto::model::Key;
use weir_proto::pb;
use weir_proto::version::Version;

use crate::held::{Delta, Held, Step};
use crate::scope::Scope;
use crate::snapshot::Snapshot;

/// The books of one stream.
#[derive(Debug)]
pub(super) struct Ledger {
    held: Held,
    /// Refused on this stream: not sent again as long as it is what is wanted.
    refused: BTreeSet<(Key, Version)>,
    nonce: u64,
    unanswered: Option<Step>,
}

/// A delta to be sent.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) nonce: u64,
    pub(super) delta: Arc<Delta>,
}

/// What an answer settled.
#[derive(Debug)]
pub(super) struct Settled {
    /// The snapshot that the proxy now works with, but for what it refused.
    pub(super) snapshot: Arc<Snapshot>,
    /// What it refused of this delta.
    pub(super) rejections: Vec<Rejection>,
}

/// A resource that a proxy refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rejection {
    pub(super) key: Key,
    pub(super) version: Version,
    pub(super) reason: String,
}

impl Ledger {
    /// The books of a proxy that says it holds this. What makes no sense counts as not held.
    pub(super) fn new(scope: Arc<Scope>, held: Vec<pb::Held>) -> Self {
        Self {
            held: Held::new(scope, held.into_iter().filter_map(claim)),
            refused: BTreeSet::new(),
            nonce: 0,
            unanswered: None,
        }
    }

    /// Whether a delta may be offered.
    pub(super) fn is_idle(&self) -> bool {
        self.unanswered.is_none()
    }

    /// The delta to `snapshot`; `None` if there is nothing to say. The first of a stream is sent even if it is
    /// empty: the proxy becomes ready by it.
    pub(super) fn offer(&mut self, snapshot: &Arc<Snapshot>) -> Option<Offer> {
        self.refused.retain(|(key, version)| snapshot.get(key).is_some_and(|entry| entry.version == *version));
        let step = self.held.step(snapshot, |key, version| self.refused.contains(&(key.clone(), version)));
        if self.nonce != 0 && step.delta.is_empty() {
            self.held.take(step, []);
            return None;
        }
        self.nonce += 1;
        let delta = step.delta.clone();
        self.unanswered = Some(step);
        Some(Offer { nonce: self.nonce, delta })
    }

    /// Books an answer.
    ///
    /// # Errors
    /// If there is no such delta to answer.
    pub(super) fn answer(&mut self, answer: pb::Answer) -> Result<Settled, Status> {
        let pb::Answer { nonce, rejected } = answer;
        let Some(step) = self.unanswered.take().filter(|_| nonce == self.nonce) else {
            return Err(Status::invalid_argument(format!("there is no unanswered delta {nonce}")));
        };
        let rejections: Vec<Rejection> = rejected.into_iter().filter_map(|r| rejection(&step.delta, r)).collect();
        let snapshot = step.snapshot.clone();
        self.held.take(step, rejections.iter().map(|r| &r.key));
        self.refused.extend(rejections.iter().map(|r| (r.key.clone(), r.version)));
        Ok(Settled { snapshot, rejections })
    }
}

/// What a proxy says it holds; `None` = it makes no sense.
pub(super) fn claim(held: pb::Held) -> Option<(Key, Version)> {
    let pb::Held { key, version } = held;
    Some((Key::try_from(key?).ok()?, Version::from_wire(&version)?))
}

/// A rejection of something that the delta held; the version is the one that was sent.
fn rejection(delta: &Delta, message: pb::Rejection) -> Option<Rejection> {
    let pb::Rejection { key, version: _, reason } = message;
    let key = Key::try_from(key?).ok()?;
    Some(Rejection { version: delta.upsert(&key)?.version, key, reason })
}

#[cfg(test)]
mod model;

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::snapshot::Patch;
    use crate::testing::key;

    fn snapshot(pools: &[(&str, u32)]) -> Arc<Snapshot> {
        let body = |weight| pb::resource::Body::Pool(pb::Pool { weight, ..Default::default() });
        let upserts = pools.iter().map(|(name, weight)| (key("Pool", name), body(*weight))).collect();
        let empty = Snapshot::empty(Instant::now());
        Arc::new(empty.next(Patch { upserts, ..Patch::default() }, Instant::now()).unwrap_or(empty))
    }

    fn ledger() -> Ledger {
        Ledger::new(Arc::default(), Vec::new())
    }

    fn names(offer: Option<Offer>) -> Option<(Vec<String>, Vec<String>)> {
        let Offer { delta, .. } = offer?;
        let upserts = delta.upserts.iter().map(|(key, _)| key.name.name().to_owned()).collect();
        Some((upserts, delta.removed.iter().map(|key| key.name.name().to_owned()).collect()))
    }

    fn ack(ledger: &mut Ledger) {
        ledger.answer(pb::Answer { nonce: ledger.nonce, rejected: Vec::new() }).unwrap();
    }

    fn nack(ledger: &mut Ledger, name: &str) -> Settled {
        let rejection = pb::Rejection { key: Some((&key("Pool", name)).into()), reason: "bad".into(), version: vec![] };
        ledger.answer(pb::Answer { nonce: ledger.nonce, rejected: vec![rejection] }).unwrap()
    }

    fn offered(upserts: &[&str], removed: &[&str]) -> Option<(Vec<String>, Vec<String>)> {
        let own = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
        Some((own(upserts), own(removed)))
    }

    #[test]
    fn the_first_delta_is_sent_even_if_it_is_empty_and_no_other() {
        let mut ledger = ledger();
        assert_eq!(names(ledger.offer(&snapshot(&[]))), offered(&[], &[]));
        ack(&mut ledger);
        assert_eq!(names(ledger.offer(&snapshot(&[]))), None);
    }

    #[test]
    fn rule_4_skipped_snapshots_merge_into_one_delta() {
        let mut ledger = ledger();
        ledger.offer(&snapshot(&[("a", 1)]));
        assert!(!ledger.is_idle());
        ack(&mut ledger);
        assert_eq!(names(ledger.offer(&snapshot(&[("b", 1), ("c", 3)]))), offered(&["b", "c"], &["a"]));
    }

    #[test]
    fn rule_3_a_rejected_version_is_not_held_and_not_sent_again_but_another_is() {
        let mut ledger = ledger();
        ledger.offer(&snapshot(&[("a", 1), ("b", 1)]));
        ack(&mut ledger);
        ledger.offer(&snapshot(&[("a", 2), ("b", 1)]));
        assert_eq!(nack(&mut ledger, "a").rejections.len(), 1);
        let before = snapshot(&[("a", 1)]).get(&key("Pool", "a")).unwrap().version;
        assert_eq!(ledger.held.version(&key("Pool", "a")), Some(before));
        assert_eq!(names(ledger.offer(&snapshot(&[("a", 2), ("b", 2)]))), offered(&["b"], &[]), "not again");
        ack(&mut ledger);
        assert_eq!(names(ledger.offer(&snapshot(&[("a", 1), ("b", 2)]))), None, "the old one is still held");
        assert_eq!(names(ledger.offer(&snapshot(&[("a", 3), ("b", 2)]))), offered(&["a"], &[]));
    }

    #[test]
    fn s4_a_version_refused_before_another_is_offered_again_and_no_more_is_remembered() {
        let mut ledger = ledger();
        for weight in [1, 2, 3, 1] {
            let snapshot = snapshot(&[("a", weight)]);
            assert_eq!(names(ledger.offer(&snapshot)), offered(&["a"], &[]));
            nack(&mut ledger, "a");
            assert_eq!(names(ledger.offer(&snapshot)), None);
            assert_eq!(ledger.refused.len(), 1);
        }
        ledger.offer(&snapshot(&[]));
        assert_eq!(ledger.refused.len(), 0);
    }

    #[test]
    fn rule_3_a_rejected_resource_that_was_never_held_needs_no_removal() {
        let mut ledger = ledger();
        ledger.offer(&snapshot(&[("a", 1)]));
        nack(&mut ledger, "a");
        assert_eq!(names(ledger.offer(&snapshot(&[]))), None);
    }

    #[test]
    fn rule_5_what_a_proxy_says_it_holds_is_not_sent_again() {
        let old = snapshot(&[("a", 1), ("b", 1), ("gone", 1)]);
        let held = old.entries().map(|(k, e)| pb::Held { key: Some(k.into()), version: e.version.to_wire() });
        let mut ledger = Ledger::new(Arc::default(), held.chain([pb::Held::default()]).collect());
        assert_eq!(names(ledger.offer(&snapshot(&[("a", 1), ("b", 2)]))), offered(&["b"], &["gone"]));
    }

    #[test]
    fn an_answer_to_no_delta_is_an_error() {
        let mut ledger = ledger();
        assert!(ledger.answer(pb::Answer::default()).is_err());
        ledger.offer(&snapshot(&[]));
        assert!(ledger.answer(pb::Answer { nonce: 9, rejected: Vec::new() }).is_err());
    }
}
