//! The ledger against a plain one, which writes down every resource that a proxy holds and compares all of them
//! each time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use tokio::time::Instant;
use weir_proto::model::Key;
use weir_proto::pb;
use weir_proto::version::Version;

use super::Ledger;
use crate::keep::Keep;
use crate::scope::Scope;
use crate::snapshot::{Patch, Snapshot};
use crate::testing::{content, weighed};

#[derive(Debug, Default, PartialEq)]
struct PlainDelta {
    upserts: BTreeMap<Key, Version>,
    removed: BTreeSet<Key>,
}

struct Plain {
    scope: Arc<Scope>,
    held: BTreeMap<Key, Version>,
    refused: BTreeSet<(Key, Version)>,
    is_first: bool,
}

impl Plain {
    fn offer(&mut self, snapshot: &Snapshot) -> Option<PlainDelta> {
        let wanted: BTreeMap<Key, Version> = snapshot
            .entries()
            .filter(|(key, _)| self.scope.covers(&key.name))
            .map(|(key, entry)| (key.clone(), entry.version))
            .collect();
        self.refused.retain(|(key, version)| wanted.get(key) == Some(version));
        let is_kept = |key: &Key| snapshot.keeps(key) && self.scope.covers(&key.name);
        let removed = self.held.keys().filter(|key| !wanted.contains_key(*key) && !is_kept(key)).cloned().collect();
        let is_due = |(key, version): &(Key, Version)| {
            self.held.get(key) != Some(version) && !self.refused.contains(&(key.clone(), *version))
        };
        let upserts = wanted.into_iter().filter(is_due).collect();
        let delta = PlainDelta { upserts, removed };
        let is_first = std::mem::take(&mut self.is_first);
        (is_first || delta != PlainDelta::default()).then_some(delta)
    }

    fn answer(&mut self, delta: PlainDelta, refused: &BTreeSet<Key>) {
        self.held.retain(|key, _| !delta.removed.contains(key));
        for (key, version) in delta.upserts {
            match refused.contains(&key) {
                true => drop(self.refused.insert((key, version))),
                false => drop(self.held.insert(key, version)),
            }
        }
    }
}

/// What happens next: the snapshot changes, and the proxy answers what it is offered, if it is idle.
#[derive(Debug, Clone)]
struct Turn {
    upserts: Vec<(Key, u32)>,
    removed: Vec<Key>,
    keep: Keep,
    /// Refused of what is offered, if it is.
    refused: BTreeSet<Key>,
    /// Another snapshot comes before this one is looked at.
    is_skipped: bool,
}

fn keys() -> impl Strategy<Value = BTreeSet<Key>> {
    content().prop_map(|content| content.into_iter().map(|(key, _)| key).collect())
}

fn turn() -> impl Strategy<Value = Turn> {
    let keep = prop_oneof![6 => Just(Keep::default()), 3 => keys().prop_map(Keep::Only), 1 => Just(Keep::All)];
    (content(), keys(), keep, keys(), prop::bool::weighted(0.2)).prop_map(
        |(upserts, removed, keep, refused, is_skipped)| Turn {
            upserts,
            removed: removed.into_iter().collect(),
            keep,
            refused,
            is_skipped,
        },
    )
}

fn scope() -> impl Strategy<Value = Scope> {
    prop_oneof![Just(Scope::All), Just(Scope::Only(["own".into()].into())), Just(Scope::Only(BTreeSet::new()))]
}

fn answer(nonce: u64, refused: &BTreeSet<Key>) -> pb::Answer {
    let rejection = |key: &Key| pb::Rejection { key: Some(key.into()), version: Vec::new(), reason: "odd".into() };
    pb::Answer { nonce, rejected: refused.iter().map(rejection).collect() }
}

proptest! {
    #[test]
    fn s4_the_books_say_what_plain_books_say(
        scope in scope(),
        claimed in content(),
        turns in prop::collection::vec(turn(), 1..12),
    ) {
        let version = |(key, weight): &(Key, u32)| (key.clone(), Version::of(&weighed(key, *weight).1));
        let held: BTreeMap<Key, Version> = claimed.iter().map(version).collect();
        let scope = Arc::new(scope);
        let claims = held.iter().map(|(key, v)| pb::Held { key: Some(key.into()), version: v.to_wire() });
        let mut ledger = Ledger::new(scope.clone(), claims.collect());
        let mut plain = Plain { scope, held, refused: BTreeSet::new(), is_first: true };
        let mut snapshot = Arc::new(Snapshot::empty(Instant::now()));
        for Turn { upserts, removed, keep, refused, is_skipped } in turns {
            let upserts = upserts.iter().map(|(key, weight)| weighed(key, *weight)).collect();
            if let Some(next) = snapshot.next(Patch { upserts, removed, keep }, Instant::now()) {
                snapshot = Arc::new(next);
            }
            if is_skipped {
                continue;
            }
            let (offer, expected) = (ledger.offer(&snapshot), plain.offer(&snapshot));
            prop_assert_eq!(offer.is_some(), expected.is_some());
            if let (Some(offer), Some(expected)) = (offer, expected) {
                let upserts = offer.delta.upserts.iter().map(|(key, entry)| (key.clone(), entry.version)).collect();
                let removed = offer.delta.removed.iter().cloned().collect();
                prop_assert_eq!(&PlainDelta { upserts, removed }, &expected);
                let settled = ledger.answer(answer(offer.nonce, &refused)).unwrap();
                let known: BTreeSet<Key> = settled.rejections.into_iter().map(|r| r.key).collect();
                let sent = expected.upserts.keys().filter(|key| refused.contains(*key)).cloned().collect();
                prop_assert_eq!(known, sent);
                plain.answer(expected, &refused);
            }
            prop_assert_eq!(&ledger.refused, &plain.refused);
        }
    }
}
