//! The status of every resource, kept up with what changes: only what a change concerns is looked at again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::watch;
use weir_proto::model::{Key, Kind, ResourceName};

use super::{BackendHealth, Board, Health, InForce, PoolHealth, Status, Update, Verdict};
use crate::discovery::{News, Nodes, Progress};
use crate::snapshot::Snapshot;

/// Where statuses come from.
#[derive(Debug, Clone)]
pub(crate) struct Sources {
    pub(crate) board: Arc<Board>,
    pub(crate) nodes: Arc<Nodes>,
    pub(crate) snapshot: watch::Receiver<Option<Arc<Snapshot>>>,
}

impl Sources {
    /// The status of every resource as of now, looked up afresh.
    pub(crate) fn statuses(&self) -> BTreeMap<Key, Arc<Status>> {
        let mut statuses = Statuses::default();
        statuses.look(self, self.snapshot.borrow().clone(), None);
        statuses.all
    }

    fn keys(&self) -> BTreeSet<Key> {
        let mut keys = BTreeSet::new();
        self.board.each_verdict(|key, _| {
            keys.insert(key.clone());
        });
        keys
    }
}

/// The status of every resource.
#[derive(Debug, Default)]
pub(crate) struct Statuses {
    all: BTreeMap<Key, Arc<Status>>,
    /// Pool -> its Backends, and whether each has an endpoint that is up.
    members: BTreeMap<ResourceName, BTreeMap<ResourceName, bool>>,
    /// The snapshot that was looked at last.
    snapshot: Option<Arc<Snapshot>>,
}

/// What a look at a resource needs.
struct View<'a> {
    sources: &'a Sources,
    progress: Progress,
    snapshot: Option<Arc<Snapshot>>,
}

impl Statuses {
    /// Takes in what has changed; gives back an update for each status that is not what it was.
    pub(crate) fn update(&mut self, sources: &Sources) -> Vec<Update> {
        let mut news = sources.nodes.take_news();
        let transitions = std::mem::take(&mut news.transitions);
        let judged = sources.board.take_judged();
        let snapshot = sources.snapshot.borrow().clone();
        let keys = self.concerned(news, judged, snapshot.as_ref());
        let mut updates = self.look(sources, snapshot, keys);
        updates.extend(transitions.into_iter().map(Update::Endpoint));
        updates
    }

    /// The resources that a change may concern; `None` = all.
    fn concerned(&self, news: News, judged: BTreeSet<Key>, snapshot: Option<&Arc<Snapshot>>) -> Option<BTreeSet<Key>> {
        let News { membership, moves, exceptions, backends, transitions: _ } = news;
        if membership || self.snapshot.is_none() {
            return None;
        }
        let mut keys = judged;
        keys.extend(exceptions);
        keys.extend(backends.into_iter().map(Key::backend));
        let ours = self.snapshot.as_ref().zip(snapshot);
        for (old, new) in moves.iter().map(|(old, new)| (old, new)).chain(ours) {
            keys.extend(new.changes_since(old).cloned());
        }
        Some(keys)
    }

    /// Looks at some resources again, Backends first: what they are counts for their Pools.
    fn look(&mut self, sources: &Sources, snapshot: Option<Arc<Snapshot>>, keys: Option<BTreeSet<Key>>) -> Vec<Update> {
        self.snapshot.clone_from(&snapshot);
        if keys.as_ref().is_some_and(BTreeSet::is_empty) {
            return Vec::new();
        }
        let known = || self.all.keys().cloned();
        let keys = keys.unwrap_or_else(|| sources.keys().into_iter().chain(known()).collect());
        let view = View { sources, progress: sources.nodes.progress(), snapshot };
        let (mut pools, others): (BTreeSet<Key>, BTreeSet<Key>) =
            keys.into_iter().partition(|key| key.kind == Kind::Pool);
        let mut updates = Vec::new();
        for key in others {
            let status = match key.kind {
                Kind::Backend => view.backend(&key),
                Kind::Plugin => view.status(&key, |_| Health::Plugin),
                Kind::Pool | Kind::Endpoints => continue,
            };
            pools.extend(self.enlist(&key, status.as_ref()));
            updates.extend(self.put(key, status));
        }
        for key in pools {
            let health = self.health(&key.name);
            let status = view.status(&key, |_| Health::Pool(health));
            updates.extend(self.put(key, status));
        }
        updates
    }

    /// Notes a Backend with its Pool; gives back the Pools that this changes.
    fn enlist(&mut self, key: &Key, status: Option<&Status>) -> BTreeSet<Key> {
        let before = self.all.get(key).and_then(|status| membership(status));
        let after = status.and_then(membership);
        if before == after {
            return BTreeSet::new();
        }
        let mut changed = BTreeSet::new();
        if let Some((pool, _)) = before {
            changed.insert(Key::pool(pool.clone()));
            let members = self.members.get_mut(pool);
            if members.is_some_and(|members| members.remove(&key.name).is_some() && members.is_empty()) {
                self.members.remove(pool);
            }
        }
        if let Some((pool, up)) = after {
            changed.insert(Key::pool(pool.clone()));
            self.members.entry(pool.clone()).or_default().insert(key.name.clone(), up);
        }
        changed
    }

    fn health(&self, pool: &ResourceName) -> PoolHealth {
        let members = self.members.get(pool).into_iter().flat_map(BTreeMap::values);
        members.fold(PoolHealth::default(), |PoolHealth { total, up }, is_up| PoolHealth {
            total: total + 1,
            up: up + u32::from(*is_up),
        })
    }

    fn put(&mut self, key: Key, status: Option<Status>) -> Option<Update> {
        let after = status.map(Arc::new);
        let before = match &after {
            Some(status) => self.all.insert(key.clone(), status.clone()),
            None => self.all.remove(&key),
        };
        (before != after).then_some(Update::Resource { key, before, after })
    }
}

/// The Pool of a Backend that is in force, and whether the Backend has an endpoint that is up.
fn membership(status: &Status) -> Option<(&ResourceName, bool)> {
    match (&status.verdict.in_force, &status.health) {
        (Some(InForce::Backend { pool }), Health::Backend(health)) => Some((pool, health.up > 0)),
        _ => None,
    }
}

impl View<'_> {
    fn backend(&self, key: &Key) -> Option<Status> {
        self.status(key, |verdict| Health::Backend(self.endpoints(key, verdict)))
    }

    /// Of a Backend that is not in force there is nothing to say, even if an endpoint still drains.
    fn endpoints(&self, key: &Key, verdict: &Verdict) -> BackendHealth {
        match verdict.in_force {
            Some(_) => self.sources.nodes.health(&key.name),
            None => BackendHealth::default(),
        }
    }

    fn status(&self, key: &Key, health: impl FnOnce(&Verdict) -> Health) -> Option<Status> {
        let verdict = self.sources.board.verdict(key)?;
        let version = self.snapshot.as_ref().and_then(|snapshot| snapshot.get(key)).map(|entry| entry.version);
        let (programmed, health) = (self.progress.of(key, version), health(&verdict));
        Some(Status { verdict, programmed, health })
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use tokio::time::Instant;
    use weir_proto::pb;

    use super::*;
    use crate::metrics::Metrics;
    use crate::publish::Publisher;
    use crate::source::Event;
    use crate::testing::{backend, key, pool};

    struct World {
        publisher: Publisher,
        sources: Sources,
        statuses: Statuses,
    }

    const X: &str = "{pool: a, address: '10.0.0.1:80'}";

    impl World {
        fn new(events: Vec<Event>) -> Self {
            let board = Arc::new(Board::default());
            let mut publisher = Publisher::new(board.clone());
            publisher.apply(Kind::GIVEN.map(|kind| Event::Reset(kind, Vec::new())).into(), Instant::now());
            publisher.apply(events, Instant::now());
            let nodes = Arc::new(Nodes::new(Arc::new(Metrics::new().unwrap())));
            let sources = Sources { board, nodes, snapshot: publisher.subscribe() };
            let mut world = Self { publisher, sources, statuses: Statuses::default() };
            world.updates();
            world
        }

        fn apply(&mut self, event: Event) {
            self.publisher.apply(vec![event], Instant::now());
        }

        fn snapshot(&self) -> Arc<Snapshot> {
            self.sources.snapshot.borrow().clone().unwrap()
        }

        /// What has changed, by name.
        fn updates(&mut self) -> Vec<String> {
            let updates = self.statuses.update(&self.sources);
            assert_eq!(self.statuses.all, self.sources.statuses(), "as if all was looked at");
            updates.iter().map(name).collect()
        }

        fn line(&self, key: &Key) -> String {
            let status = &self.statuses.all[key];
            let mut line = format!("{}/{}", status.programmed.programmed, status.programmed.total);
            match &status.health {
                Health::Pool(PoolHealth { total, up }) => write!(line, " {up}/{total}"),
                Health::Backend(BackendHealth { total, up, .. }) => write!(line, " {up}/{total}"),
                Health::Plugin => Ok(()),
            }
            .unwrap();
            line
        }
    }

    fn name(update: &Update) -> String {
        match update {
            Update::Resource { key, .. } => key.name.name().to_owned(),
            Update::Place { place, .. } => place.clone(),
            Update::Endpoint(transition) => format!("{} {}", transition.backend.name.name(), transition.up),
        }
    }

    fn says(name: &str, state: pb::EndpointState) -> pb::Report {
        let backend = Some((&key("Backend", name)).into());
        let address = "10.0.0.1:80".to_owned();
        let endpoint = pb::EndpointReport { backend, address, state: state.into(), ..Default::default() };
        pb::Report { full: false, endpoints: vec![endpoint] }
    }

    #[test]
    fn a_change_concerns_what_it_changes_and_no_more() {
        let mut world = World::new(vec![
            Event::Apply(pool("a", "{}")),
            Event::Apply(pool("b", "{}")),
            Event::Apply(backend("x", X)),
        ]);
        assert_eq!(world.updates(), [] as [&str; 0]);
        let node = world.sources.nodes.enter_for_test("n");
        assert_eq!(world.updates(), ["x", "a", "b"], "each has one proxy more to wait for");
        node.holds(&world.snapshot());
        assert_eq!(world.updates(), ["x", "a", "b"]);
        assert_eq!(
            (world.line(&key("Pool", "a")), world.line(&key("Backend", "x"))),
            ("1/1 0/1".into(), "1/1 0/0".into())
        );
        node.reported(says("x", pb::EndpointState::Up));
        assert_eq!(world.updates(), ["x", "a"], "a Backend that is up counts for its Pool");
        assert_eq!(world.line(&key("Pool", "a")), "1/1 1/1");
        world.apply(Event::Apply(pool("b", "{weight: 7}")));
        assert_eq!(world.updates(), ["b"]);
        assert_eq!(world.line(&key("Pool", "b")), "0/1 0/0");
        node.holds(&world.snapshot());
        assert_eq!(world.updates(), ["b"]);
        node.reported(says("x", pb::EndpointState::Ejected));
        assert_eq!(world.updates(), ["x", "a", "x false"]);
    }

    #[test]
    fn a_backend_counts_for_the_pool_it_is_in_and_for_no_other() {
        let mut world =
            World::new(["a", "b"].map(|name| Event::Apply(pool(name, "{}"))).into_iter().collect::<Vec<_>>());
        world.apply(Event::Apply(backend("x", X)));
        assert_eq!(world.updates(), ["x", "a"]);
        world.apply(Event::Apply(backend("x", "{pool: b, address: '10.0.0.1:80'}")));
        assert_eq!(world.updates(), ["x", "a", "b"]);
        assert_eq!(
            (world.line(&key("Pool", "a")), world.line(&key("Pool", "b"))),
            ("0/0 0/0".into(), "0/0 0/1".into())
        );
        world.apply(Event::Delete(key("Backend", "x")));
        assert_eq!(world.updates(), ["x", "b"]);
    }
}
