//! The one writer: takes changes from a source, and publishes what comes of them.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::contents::Wanted;
use crate::desired::{Desired, problems};
use crate::objects::Objects;
use crate::snapshot::Snapshot;
use crate::source::{Batch, Changes};
use crate::status::Board;

/// Owns the desired state; everyone else reads what it publishes.
#[derive(Debug)]
pub struct Publisher {
    desired: Desired,
    board: Arc<Board>,
    objects: Option<Arc<Objects>>,
    snapshot: watch::Sender<Option<Arc<Snapshot>>>,
    /// The Secrets and ConfigMaps that resources name.
    wanted: watch::Sender<Wanted>,
}

impl Publisher {
    /// A publisher that has nothing to say yet.
    #[must_use]
    pub fn new(board: Arc<Board>) -> Self {
        let (snapshot, wanted) = (watch::Sender::new(None), watch::Sender::default());
        Self { desired: Desired::default(), board, objects: None, snapshot, wanted }
    }

    /// The same for resources of a cluster: Services and their endpoints are awaited too, and so are the Secrets and
    /// ConfigMaps that are `wanted`.
    #[must_use]
    pub fn in_cluster(board: Arc<Board>, wanted: watch::Sender<Wanted>) -> Self {
        Self { desired: Desired::in_cluster(), wanted, ..Self::new(board) }
    }

    /// The same with the resources as objects of an API, which are kept up first.
    #[must_use]
    pub(crate) fn with_objects(self, objects: Option<Arc<Objects>>) -> Self {
        Self { objects, ..self }
    }

    /// The newest snapshot; `None` before the first.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Option<Arc<Snapshot>>> {
        self.snapshot.subscribe()
    }

    /// Publishes until the source is gone.
    pub async fn run(mut self, mut batches: mpsc::Receiver<Batch>) {
        while let Some(Batch { mut changes, since, done }) = batches.recv().await {
            let mut waiting: Vec<_> = done.into_iter().collect();
            // A burst is one snapshot.
            while let Ok(more) = batches.try_recv() {
                changes.extend(more.changes);
                waiting.extend(more.done);
            }
            self.apply(changes, since);
            // Who gave up waiting is told nothing.
            for done in waiting {
                let _ = done.send(());
            }
        }
    }

    /// Takes in changes seen at `now`.
    pub fn apply(&mut self, mut changes: Changes, now: Instant) {
        if let Some(objects) = &self.objects {
            objects.take(&mut changes);
        }
        let problems = problems(&changes);
        let outcome = self.desired.apply(changes);
        if let Some(wanted) = self.desired.take_wanted() {
            self.wanted.send_replace(wanted);
        }
        let Some(outcome) = outcome else {
            tracing::info!(missing = ?self.desired.missing(), "waiting for the first lists");
            return self.board.update(Vec::new(), problems);
        };
        let old = self.snapshot.borrow().clone();
        let is_first = old.is_none();
        let old = old.unwrap_or_else(|| Arc::new(Snapshot::empty(now)));
        let next = old.next(outcome.patch, now).map(Arc::new);
        // Verdicts first: who sees a snapshot finds them in place.
        self.board.update(outcome.verdicts, problems);
        if let Some(next) = next.or_else(|| is_first.then_some(old)) {
            tracing::debug!(version = %next.version(), "snapshot published");
            self.snapshot.send_replace(Some(next));
        }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use weir_proto::model::{Key, Kind};
    use weir_proto::pb;

    use super::*;
    use crate::held::Held;
    use crate::keep::Keep;
    use crate::source::{Event, Given};
    use crate::status::{RefProblem, Verdict};
    use crate::testing::{backend, key, pool};

    struct World {
        publisher: Publisher,
        board: Arc<Board>,
    }

    impl World {
        fn empty() -> Self {
            let board = Arc::new(Board::default());
            Self { publisher: Publisher::new(board.clone()), board }
        }

        fn synced() -> Self {
            let mut world = Self::empty();
            world.apply(Kind::GIVEN.map(|kind| Event::Reset(kind, Vec::new())).into());
            world
        }

        fn apply(&mut self, changes: Changes) -> Option<Arc<Snapshot>> {
            self.publisher.apply(changes, Instant::now());
            self.snapshot()
        }

        fn give(&mut self, given: Given) -> Arc<Snapshot> {
            self.apply(vec![Event::Apply(given)]).unwrap()
        }

        fn delete(&mut self, key: Key) -> Arc<Snapshot> {
            self.apply(vec![Event::Delete(key)]).unwrap()
        }

        fn snapshot(&self) -> Option<Arc<Snapshot>> {
            self.publisher.snapshot.borrow().clone()
        }

        fn verdict(&self, wanted: &Key) -> Option<Verdict> {
            self.board.verdict(wanted)
        }

        fn problem(&self, key: &Key) -> Option<RefProblem> {
            self.verdict(key).unwrap().reference.map(|(problem, _)| problem)
        }
    }

    fn weight(snapshot: &Snapshot, name: &str) -> Option<u32> {
        use weir_proto::pb::resource::Body;
        let entry = snapshot.entries().find(|(key, _)| key.name.name() == name)?.1;
        Some(match pb::Resource::decode(entry.encoded.clone()).unwrap().body.unwrap() {
            Body::Pool(pool) => pool.weight,
            Body::Backend(backend) => backend.weight,
            Body::Endpoints(_) | Body::Plugin(_) => return None,
        })
    }

    const X: &str = "{pool: a, address: '10.0.0.1:80'}";

    #[test]
    fn rule_1_nothing_is_published_before_every_kind_is_complete() {
        let mut world = World::empty();
        assert!(world.apply(vec![Event::Reset(Kind::Pool, vec![pool("a", "{}")])]).is_none());
        assert!(world.apply(vec![Event::Apply(backend("x", X))]).is_none());
        assert!(world.apply(vec![Event::Reset(Kind::Backend, vec![backend("x", X)])]).is_none());
        let first = world.apply(vec![Event::Reset(Kind::Plugin, vec![])]).unwrap();
        assert_eq!((first.count(Kind::Pool), first.count(Kind::Backend)), (1, 1));
    }

    #[test]
    fn rule_1_a_folder_with_nothing_in_it_is_a_first_snapshot_too() {
        assert_eq!(World::synced().snapshot().unwrap().entries().count(), 0);
    }

    #[test]
    fn rule_4_what_changes_nothing_publishes_nothing() {
        let mut world = World::synced();
        let first = world.give(pool("a", "{weight: 1}"));
        assert!(Arc::ptr_eq(&first, &world.give(pool("a", "{}"))), "1 is the default");
        assert!(!Arc::ptr_eq(&first, &world.give(pool("a", "{weight: 2}"))));
    }

    #[test]
    fn s1_a_refused_resource_keeps_its_last_good_version_and_others_go_on() {
        let mut world = World::synced();
        world.give(pool("a", "{weight: 2}"));
        let bad = "{weight: 3, match: [{path: {type: Regex, value: '('}}]}";
        world.apply(vec![Event::Apply(pool("a", bad)), Event::Apply(pool("b", "{weight: 9}"))]);
        let snapshot = world.snapshot().unwrap();
        assert_eq!((weight(&snapshot, "a"), weight(&snapshot, "b")), (Some(2), Some(9)));
        let verdict = world.verdict(&key("Pool", "a")).unwrap();
        let finding = verdict.invalid[0].to_string();
        assert!(
            verdict.in_force.is_some()
                && finding.starts_with("test.yaml:4: Pool default/a: spec.match[0].path.value: "),
            "{finding}"
        );
        assert_eq!(weight(&world.give(pool("a", "{weight: 4}")), "a"), Some(4));
        assert!(world.verdict(&key("Pool", "a")).unwrap().is_good());
    }

    #[test]
    fn s1_a_resource_that_breaks_its_schema_keeps_its_last_good_version() {
        let mut world = World::synced();
        world.give(pool("a", "{weight: 2}"));
        let snapshot = world.give(pool("a", "{weight: 70000}"));
        assert_eq!(weight(&snapshot, "a"), Some(2));
        assert!(world.verdict(&key("Pool", "a")).unwrap().in_force.is_some());
        assert_eq!(world.give(pool("b", "{weight: 70000}")).count(Kind::Pool), 1);
        assert!(world.verdict(&key("Pool", "b")).unwrap().in_force.is_none());
    }

    /// What a proxy is told to remove that holds these resources from before this process.
    fn removed(snapshot: &Arc<Snapshot>, held: &[Key]) -> Vec<Key> {
        let old = weir_proto::version::Version::of_parts([]);
        let held = Held::new(Arc::default(), held.iter().map(|key| (key.clone(), old)));
        held.step(snapshot, |_, _| false).delta.removed.clone()
    }

    #[test]
    fn s1_a_resource_refused_since_the_start_is_not_taken_from_proxies_nor_is_what_depends_on_it() {
        let mut world = World::synced();
        world.give(pool("a", "{weight: 70000}"));
        world.give(backend("x", X));
        let snapshot = world.give(pool("b", "{inherit: a}"));
        let held = [key("Pool", "a"), key("Pool", "b"), key("Pool", "gone"), key("Backend", "x")];
        assert_eq!(removed(&snapshot, &held), [key("Pool", "gone")]);
        world.delete(key("Backend", "x"));
        let snapshot = world.delete(key("Pool", "a"));
        assert_eq!(removed(&snapshot, &held), [key("Pool", "a"), key("Pool", "gone"), key("Backend", "x")]);
    }

    #[test]
    fn s6_a_backend_whose_pool_is_deleted_goes_with_it() {
        let mut world = World::synced();
        world.apply(vec![Event::Apply(pool("a", "{}")), Event::Apply(backend("x", X))]);
        let snapshot = world.delete(key("Pool", "a"));
        assert_eq!(removed(&snapshot, &[key("Pool", "a"), key("Backend", "x")]).len(), 2);
    }

    #[test]
    fn s2_nothing_is_removed_while_something_is_hidden() {
        let mut world = World::synced();
        let held = [key("Pool", "gone")];
        let snapshot = world.apply(vec![Event::Hidden(Keep::All)]).unwrap();
        assert_eq!(removed(&snapshot, &held), []);
        let snapshot = world.apply(vec![Event::Hidden(Keep::default())]).unwrap();
        assert_eq!(removed(&snapshot, &held), held);
    }

    #[test]
    fn a_backend_is_sent_when_its_pool_exists_and_gone_with_it() {
        let mut world = World::synced();
        assert_eq!(world.give(backend("x", X)).count(Kind::Backend), 0);
        let verdict = world.verdict(&key("Backend", "x")).unwrap();
        let (problem, finding) = verdict.reference.unwrap();
        assert_eq!(problem, RefProblem::PoolNotFound);
        assert_eq!(finding.to_string(), "test.yaml:4: Backend default/x: spec.pool: there is no Pool default/a");
        assert_eq!(world.give(pool("a", "{}")).count(Kind::Backend), 1);
        assert!(world.verdict(&key("Backend", "x")).unwrap().is_good());
        assert_eq!(world.delete(key("Pool", "a")).count(Kind::Backend), 0);
        assert_eq!(world.problem(&key("Backend", "x")), Some(RefProblem::PoolNotFound));
    }

    #[test]
    fn s1_a_backend_that_turns_to_no_pool_stays_with_its_old_one_as_long_as_that_is_there() {
        let mut world = World::synced();
        world.apply(vec![Event::Apply(pool("a", "{}")), Event::Apply(backend("x", X))]);
        let snapshot = world.give(backend("x", "{pool: typo, address: '10.0.0.1:80'}"));
        assert_eq!(snapshot.count(Kind::Backend), 1);
        assert!(world.verdict(&key("Backend", "x")).unwrap().in_force.is_some());
        assert_eq!(world.delete(key("Pool", "a")).count(Kind::Backend), 0);
        assert!(world.verdict(&key("Backend", "x")).unwrap().in_force.is_none());
    }

    #[test]
    fn inherit_follows_its_base_through_a_chain() {
        let mut world = World::synced();
        for (name, spec) in [("c", "{inherit: b}"), ("b", "{inherit: a}"), ("a", "{weight: 5}")] {
            world.give(pool(name, spec));
        }
        assert_eq!(weight(&world.snapshot().unwrap(), "c"), Some(5));
        assert_eq!(weight(&world.give(pool("a", "{weight: 6}")), "c"), Some(6));
        assert_eq!(weight(&world.give(pool("b", "{inherit: a, weight: 7}")), "c"), Some(7));
    }

    #[test]
    fn s1_a_refused_base_gives_its_last_good_values() {
        let mut world = World::synced();
        world.apply(vec![Event::Apply(pool("a", "{weight: 5}")), Event::Apply(pool("b", "{inherit: a}"))]);
        let snapshot = world.give(pool("a", "{weight: 6, listeners: [x], match: [{hosts: ['*']}]}"));
        assert_eq!((weight(&snapshot, "a"), weight(&snapshot, "b")), (Some(5), Some(5)));
        assert!(world.verdict(&key("Pool", "b")).unwrap().is_good());
    }

    #[test]
    fn a_missing_base_and_a_refused_one_are_told_apart() {
        let mut world = World::synced();
        assert_eq!(world.give(pool("b", "{inherit: a}")).count(Kind::Pool), 0);
        assert_eq!(world.problem(&key("Pool", "b")), Some(RefProblem::BaseNotFound));
        world.give(pool("a", "{match: [{hosts: ['*']}]}"));
        assert_eq!(world.problem(&key("Pool", "b")), Some(RefProblem::BaseRefused));
        assert_eq!(world.give(pool("a", "{}")).count(Kind::Pool), 2);
        assert_eq!(world.problem(&key("Pool", "b")), None);
        assert_eq!(world.delete(key("Pool", "a")).count(Kind::Pool), 1, "the last good version stays");
        assert_eq!(world.problem(&key("Pool", "b")), Some(RefProblem::BaseNotFound));
    }

    #[test]
    fn a_circle_of_inherit_is_refused_and_mends() {
        let mut world = World::synced();
        let all = [("a", "{inherit: c}"), ("b", "{inherit: a}"), ("c", "{inherit: b}"), ("d", "{inherit: c}")];
        world.apply(all.iter().map(|(name, spec)| Event::Apply(pool(name, spec))).collect());
        assert_eq!(world.snapshot().unwrap().count(Kind::Pool), 0);
        let (problem, finding) = world.verdict(&key("Pool", "a")).unwrap().reference.unwrap();
        assert_eq!(problem, RefProblem::InheritCircle);
        assert!(finding.message.ends_with("a -> c -> b -> a"), "{finding}");
        assert_eq!(world.problem(&key("Pool", "d")), Some(RefProblem::InheritCircle));
        assert_eq!(world.give(pool("a", "{weight: 3}")).count(Kind::Pool), 4);
        assert_eq!(weight(&world.snapshot().unwrap(), "d"), Some(3));
    }

    #[test]
    fn a_pool_may_not_inherit_from_itself() {
        let mut world = World::synced();
        assert_eq!(world.give(pool("a", "{inherit: a}")).count(Kind::Pool), 0);
        assert_eq!(world.problem(&key("Pool", "a")), Some(RefProblem::InheritCircle));
    }

    #[test]
    fn a_chain_of_ten_thousand_pools_is_no_deeper_than_any_other() {
        let mut world = World::synced();
        let spec = |i: usize| if i == 0 { "{weight: 8}".to_owned() } else { format!("{{inherit: p{}}}", i - 1) };
        world.apply((0..10_000).rev().map(|i| Event::Apply(pool(&format!("p{i}"), &spec(i)))).collect());
        assert_eq!(weight(&world.snapshot().unwrap(), "p9999"), Some(8));
    }
}
