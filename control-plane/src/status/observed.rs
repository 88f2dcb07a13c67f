//! Which status each object in the cluster was last seen with, so that an equal one is never written again,
//! whoever wrote it. Compact: of a status there is a digest, and the times that a new one must keep.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hasher};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta, Time};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::Notify;
use weir_proto::model::{Key, Kind, ResourceName};

use crate::api::condition::ConditionType;
use crate::api::status::EndpointStatus;
use crate::api::{Backend, Pool};

/// Written by the source and by the writer of statuses; cheap to share.
#[derive(Debug, Default)]
pub struct Observed {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    seen: BTreeMap<Key, Arc<Seen>>,
    /// Objects that are new, or whose status is another, since somebody asked last.
    changed: BTreeSet<Key>,
}

/// An object as it was last seen.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    /// `metadata.uid`: another one is another object, whatever its name.
    pub uid: Box<str>,
    /// `metadata.resourceVersion` as a number, which the API promises; 0 = unknown.
    resource_version: u64,
    /// Of the status; `None` = it has none.
    digest: Option<u64>,
    /// By type: whether it holds, and since when, in seconds.
    conditions: [Option<(bool, i64)>; ConditionType::ALL.len()],
    /// State and since when, in seconds.
    endpoints: Box<[(SocketAddr, Box<str>, i64)]>,
}

impl Observed {
    /// The source has seen a Pool.
    pub fn saw_pool(&self, pool: &Pool) {
        self.saw(Kind::Pool, &pool.metadata, |uid, version| Seen::of_pool(pool, uid, version));
    }

    /// The source has seen a Backend.
    pub fn saw_backend(&self, backend: &Backend) {
        self.saw(Kind::Backend, &backend.metadata, |uid, version| Seen::of_backend(backend, uid, version));
    }

    /// The object is deleted.
    pub fn gone(&self, key: &Key) {
        self.state.lock().seen.remove(key);
    }

    /// After a list: of this kind there is nothing else.
    pub fn retain(&self, kind: Kind, there: &BTreeSet<Key>) {
        self.state.lock().seen.retain(|key, _| key.kind != kind || there.contains(key));
    }

    /// An object as it was last seen.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<Arc<Seen>> {
        self.state.lock().seen.get(key).cloned()
    }

    /// The objects that are new, or whose status is another, since the last call; waits until there are any.
    pub async fn changes(&self) -> BTreeSet<Key> {
        loop {
            let changed = std::mem::take(&mut self.state.lock().changed);
            if !changed.is_empty() {
                return changed;
            }
            self.changed.notified().await;
        }
    }

    fn saw(&self, kind: Kind, metadata: &ObjectMeta, seen: impl FnOnce(Box<str>, u64) -> Seen) {
        let (namespace, name) = (metadata.namespace.as_deref(), metadata.name.as_deref());
        let Ok(name) = ResourceName::new(namespace.unwrap_or_default(), name.unwrap_or_default()) else { return };
        let version = metadata.resource_version.as_deref().and_then(|v| v.parse().ok()).unwrap_or_default();
        let seen = seen(metadata.uid.as_deref().unwrap_or_default().into(), version);
        if self.state.lock().take(Key { kind, name }, seen) {
            self.changed.notify_one();
        }
    }
}

impl State {
    /// Whether this is news. What is older than what is known of the same object is none: a watch and the
    /// answers to our own patches come in any order.
    fn take(&mut self, key: Key, seen: Seen) -> bool {
        let old = self.seen.get(&key);
        let is_same = |old: &&Arc<Seen>| old.uid == seen.uid;
        if old.filter(is_same).is_some_and(|old| old.resource_version > seen.resource_version) {
            return false;
        }
        let is_news = old.filter(is_same).is_none_or(|old| old.digest != seen.digest);
        if is_news {
            self.changed.insert(key.clone());
        }
        self.seen.insert(key, Arc::new(seen));
        is_news
    }
}

impl Seen {
    fn of_pool(pool: &Pool, uid: Box<str>, resource_version: u64) -> Self {
        let conditions = pool.status.as_ref().map_or(&[][..], |status| &status.conditions);
        let digest = pool.status.as_ref().map(digest);
        Self { uid, resource_version, digest, conditions: times(conditions), endpoints: Box::default() }
    }

    fn of_backend(backend: &Backend, uid: Box<str>, resource_version: u64) -> Self {
        let conditions = backend.status.as_ref().map_or(&[][..], |status| &status.conditions);
        let endpoints = backend.status.as_ref().map_or(&[][..], |status| &status.endpoints);
        let digest = backend.status.as_ref().map(digest);
        let endpoints = endpoints.iter().filter_map(endpoint).collect();
        Self { uid, resource_version, digest, conditions: times(conditions), endpoints }
    }

    /// Whether its status is equal to this one.
    #[must_use]
    pub fn has(&self, status: &impl Serialize) -> bool {
        self.digest == Some(digest(status))
    }

    /// Since when a condition has the status that it has, if that is this one.
    #[must_use]
    pub fn condition_since(&self, kind: ConditionType, holds: bool) -> Option<Timestamp> {
        let (held, since) = self.conditions[kind as usize]?;
        Timestamp::from_second(since).ok().filter(|_| held == holds)
    }

    /// Since when an endpoint has the state that it has, if that is this one.
    #[must_use]
    pub fn endpoint_since(&self, address: SocketAddr, state: &str) -> Option<Timestamp> {
        let (_, was, since) = self.endpoints.iter().find(|(known, ..)| *known == address)?;
        Timestamp::from_second(*since).ok().filter(|_| **was == *state)
    }
}

fn times(conditions: &[Condition]) -> [Option<(bool, i64)>; ConditionType::ALL.len()] {
    ConditionType::ALL.map(|kind| {
        let condition = conditions.iter().find(|condition| condition.type_ == kind.as_str())?;
        let Time(since) = &condition.last_transition_time;
        Some((condition.status == "True", since.as_second()))
    })
}

fn endpoint(status: &EndpointStatus) -> Option<(SocketAddr, Box<str>, i64)> {
    let Time(since) = status.since.as_ref()?;
    Some((status.address.parse().ok()?, status.state.as_str().into(), since.as_second()))
}

/// A hash of the JSON form.
fn digest(status: &impl Serialize) -> u64 {
    let mut hasher = Digest(DefaultHasher::new());
    match serde_json::to_writer(&mut hasher, status) {
        Ok(()) => hasher.0.finish(),
        // A status always has a JSON form; if not, it is equal to none.
        Err(_) => 0,
    }
}

struct Digest(DefaultHasher);

impl io::Write for Digest {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::status::PoolStatus;
    use crate::testing::key;

    fn pool(uid: &str, version: u64, status: Option<PoolStatus>) -> Pool {
        let metadata = ObjectMeta {
            namespace: Some("default".into()),
            name: Some("a".into()),
            uid: Some(uid.into()),
            resource_version: Some(version.to_string()),
            ..ObjectMeta::default()
        };
        Pool { metadata, spec: crate::api::PoolSpec::default(), status }
    }

    fn status(priority: i32, accepted: &str, since: i64) -> PoolStatus {
        let condition = Condition {
            type_: "Accepted".into(),
            status: accepted.into(),
            last_transition_time: Time(Timestamp::from_second(since).unwrap()),
            reason: "Any".into(),
            message: String::new(),
            observed_generation: None,
        };
        PoolStatus { priority: Some(priority), conditions: vec![condition], ..PoolStatus::default() }
    }

    #[test]
    fn a_status_is_known_again_by_its_content_with_the_times_it_has() {
        let observed = Observed::default();
        observed.saw_pool(&pool("u", 5, Some(status(7, "True", 60))));
        let seen = observed.get(&key("Pool", "a")).unwrap();
        assert!(seen.has(&status(7, "True", 60)) && !seen.has(&status(8, "True", 60)));
        let since = |holds| seen.condition_since(ConditionType::Accepted, holds);
        assert_eq!((since(true), since(false)), (Timestamp::from_second(60).ok(), None));
        assert_eq!(seen.condition_since(ConditionType::Programmed, true), None);
    }

    #[test]
    fn what_comes_late_is_passed_over_unless_it_is_of_another_object() {
        let observed = Observed::default();
        observed.saw_pool(&pool("u", 5, Some(status(7, "True", 60))));
        observed.saw_pool(&pool("u", 4, None));
        assert!(observed.get(&key("Pool", "a")).unwrap().has(&status(7, "True", 60)));
        observed.saw_pool(&pool("other", 4, None));
        assert!(!observed.get(&key("Pool", "a")).unwrap().has(&status(7, "True", 60)));
    }

    #[tokio::test]
    async fn a_new_object_and_another_status_are_news_and_another_spec_is_none() {
        let observed = Observed::default();
        observed.saw_pool(&pool("u", 1, None));
        assert_eq!(observed.changes().await, [key("Pool", "a")].into());
        observed.saw_pool(&pool("u", 2, None));
        assert!(observed.state.lock().changed.is_empty());
        observed.saw_pool(&pool("u", 3, Some(status(1, "True", 0))));
        assert_eq!(observed.changes().await, [key("Pool", "a")].into());
        observed.saw_pool(&pool("v", 4, Some(status(1, "True", 0))));
        assert_eq!(observed.changes().await, [key("Pool", "a")].into());
    }

    #[test]
    fn what_is_gone_is_forgotten() {
        let observed = Observed::default();
        observed.saw_pool(&pool("u", 1, None));
        observed.retain(Kind::Backend, &BTreeSet::new());
        assert!(observed.get(&key("Pool", "a")).is_some());
        observed.retain(Kind::Pool, &BTreeSet::new());
        assert!(observed.get(&key("Pool", "a")).is_none());
        observed.saw_pool(&pool("u", 1, None));
        observed.gone(&key("Pool", "a"));
        assert!(observed.get(&key("Pool", "a")).is_none());
    }
}
