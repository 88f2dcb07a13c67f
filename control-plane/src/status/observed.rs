//! Which status each object in the cluster was last seen with, so that an equal one is never written again,
//! whoever wrote it. Compact: of a status there is a digest, and the times that a new one must keep.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta, Time};
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Notify;
use weir_proto::model::{EndpointAddress, Key, Kind, ResourceName};

use crate::api::condition::ConditionType;
use crate::api::status::{BackendStatus, EndpointStatus, PluginStatus, PoolStatus};

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
    /// The generation that the status is about.
    generation: Option<i64>,
    /// By type.
    conditions: [Option<SeenCondition>; ConditionType::ALL.len()],
    /// State and since when, in seconds.
    endpoints: Box<[(EndpointAddress, Box<str>, i64)]>,
}

/// What is kept of a condition.
#[derive(Debug, PartialEq, Eq)]
struct SeenCondition {
    holds: bool,
    /// In seconds.
    since: i64,
    /// A hash of what it says.
    said: u64,
}

impl Observed {
    /// An object is seen, with what its `status` says.
    pub fn saw(&self, key: &Key, metadata: &ObjectMeta, status: Option<&Value>) {
        let seen = Arc::new(Seen::new(key.kind, metadata, status));
        if self.state.lock().take(key, seen) {
            self.changed.notify_one();
        }
    }

    /// An object was written, and is now like this. One that is gone meanwhile does not come back by that.
    pub(super) fn wrote(&self, key: &Key, metadata: &ObjectMeta, status: Option<&Value>) {
        let seen = Arc::new(Seen::new(key.kind, metadata, status));
        let mut state = self.state.lock();
        let is_there = state.seen.get(key).is_some_and(|old| old.uid == seen.uid);
        if is_there && state.take(key, seen) {
            self.changed.notify_one();
        }
    }

    /// The object is deleted.
    pub fn gone(&self, key: &Key) {
        self.state.lock().seen.remove(key);
    }

    /// After a list, of a namespace or of all: of this kind there is nothing else.
    pub fn retain(&self, kind: Kind, namespace: Option<&str>, is_there: impl Fn(&ResourceName) -> bool) {
        let is_listed = |key: &Key| key.kind == kind && namespace.is_none_or(|n| n == key.name.namespace());
        self.state.lock().seen.retain(|key, _| !is_listed(key) || is_there(&key.name));
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
}

impl State {
    /// Whether this is news. What is older than what is known of the same object is none: a watch and the
    /// answers to our own patches come in any order.
    fn take(&mut self, key: &Key, seen: Arc<Seen>) -> bool {
        let old = self.seen.get(key);
        let is_same = |old: &&Arc<Seen>| old.uid == seen.uid;
        if old.filter(is_same).is_some_and(|old| old.resource_version > seen.resource_version) {
            return false;
        }
        let is_news = old.filter(is_same).is_none_or(|old| old.digest != seen.digest);
        if is_news {
            self.changed.insert(key.clone());
        }
        self.seen.insert(key.clone(), seen);
        is_news
    }
}

impl Seen {
    /// What cannot be read is as good as no status: it will be written anew.
    pub(super) fn new(kind: Kind, metadata: &ObjectMeta, status: Option<&Value>) -> Self {
        let mut seen = Self {
            uid: metadata.uid.as_deref().unwrap_or_default().into(),
            resource_version: metadata.resource_version.as_deref().and_then(|v| v.parse().ok()).unwrap_or_default(),
            digest: None,
            generation: None,
            conditions: Default::default(),
            endpoints: Box::default(),
        };
        match kind {
            Kind::Pool => seen.read_pool(status),
            Kind::Backend => seen.read_backend(status),
            Kind::Plugin => seen.read_plugin(status),
            Kind::Endpoints => {}
        }
        seen
    }

    fn read_pool(&mut self, status: Option<&Value>) {
        let Some(mut status) = read::<PoolStatus>(status) else { return };
        status.conditions.retain(is_ours);
        self.digest = Some(digest(&status));
        self.generation = status.observed_generation;
        self.conditions = conditions(&status.conditions);
    }

    fn read_backend(&mut self, status: Option<&Value>) {
        let Some(mut status) = read::<BackendStatus>(status) else { return };
        status.conditions.retain(is_ours);
        self.digest = Some(digest(&status));
        self.generation = status.observed_generation;
        self.conditions = conditions(&status.conditions);
        self.endpoints = status.endpoints.iter().filter_map(endpoint).collect();
    }

    fn read_plugin(&mut self, status: Option<&Value>) {
        let Some(mut status) = read::<PluginStatus>(status) else { return };
        status.conditions.retain(is_ours);
        self.digest = Some(digest(&status));
        self.generation = status.observed_generation;
        self.conditions = conditions(&status.conditions);
    }

    /// Whether its status is equal to this one.
    #[must_use]
    pub fn has(&self, status: &impl Serialize) -> bool {
        self.digest == Some(digest(status))
    }

    /// The generation that its status is about; `None` = it has no status, or the status does not say.
    #[must_use]
    pub fn generation(&self) -> Option<i64> {
        self.generation
    }

    /// Since when a condition has the status that it has, if that is this one.
    #[must_use]
    pub fn condition_since(&self, kind: ConditionType, holds: bool) -> Option<Timestamp> {
        let condition = self.conditions[kind as usize].as_ref().filter(|condition| condition.holds == holds)?;
        Timestamp::from_second(condition.since).ok()
    }

    /// Whether a condition holds; `None` = it is not there.
    #[must_use]
    pub fn holds(&self, kind: ConditionType) -> Option<bool> {
        self.conditions[kind as usize].as_ref().map(|condition| condition.holds)
    }

    /// Whether a condition says this already.
    #[must_use]
    pub fn says(&self, kind: ConditionType, reason: &str, message: &str) -> bool {
        let condition = self.conditions[kind as usize].as_ref();
        condition.is_some_and(|condition| condition.said == said(kind, reason, message))
    }

    /// Since when an endpoint has the state that it has, if that is this one.
    #[must_use]
    pub fn endpoint_since(&self, address: &EndpointAddress, state: &str) -> Option<Timestamp> {
        let (_, was, since) = self.endpoints.iter().find(|(known, ..)| known == address)?;
        Timestamp::from_second(*since).ok().filter(|_| **was == *state)
    }
}

fn read<T: DeserializeOwned>(status: Option<&Value>) -> Option<T> {
    T::deserialize(status?).ok()
}

/// Others may have put conditions of their own beside ours.
fn is_ours(condition: &Condition) -> bool {
    ConditionType::ALL.iter().any(|kind| kind.as_str() == condition.type_)
}

fn conditions(conditions: &[Condition]) -> [Option<SeenCondition>; ConditionType::ALL.len()] {
    ConditionType::ALL.map(|kind| {
        let condition = conditions.iter().find(|condition| condition.type_ == kind.as_str())?;
        let Time(since) = &condition.last_transition_time;
        let said = said(kind, &condition.reason, &condition.message);
        Some(SeenCondition { holds: condition.status == "True", since: since.as_second(), said })
    })
}

/// A hash of what a condition says; of Programmed without its message, in which numbers come and go.
fn said(kind: ConditionType, reason: &str, message: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    reason.hash(&mut hasher);
    if kind != ConditionType::Programmed {
        message.hash(&mut hasher);
    }
    hasher.finish()
}

fn endpoint(status: &EndpointStatus) -> Option<(EndpointAddress, Box<str>, i64)> {
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
    use crate::testing::key;

    fn saw(observed: &Observed, uid: &str, version: u64, status: Option<PoolStatus>) {
        let metadata =
            ObjectMeta { uid: Some(uid.into()), resource_version: Some(version.to_string()), ..ObjectMeta::default() };
        let status = status.map(|status| serde_json::to_value(status).unwrap());
        observed.saw(&key("Pool", "a"), &metadata, status.as_ref());
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
        saw(&observed, "u", 5, Some(status(7, "True", 60)));
        let seen = observed.get(&key("Pool", "a")).unwrap();
        assert!(seen.has(&status(7, "True", 60)) && !seen.has(&status(8, "True", 60)));
        let since = |holds| seen.condition_since(ConditionType::Accepted, holds);
        assert_eq!((since(true), since(false)), (Timestamp::from_second(60).ok(), None));
        assert_eq!(seen.condition_since(ConditionType::Programmed, true), None);
    }

    #[test]
    fn what_comes_late_is_passed_over_unless_it_is_of_another_object() {
        let observed = Observed::default();
        saw(&observed, "u", 5, Some(status(7, "True", 60)));
        saw(&observed, "u", 4, None);
        assert!(observed.get(&key("Pool", "a")).unwrap().has(&status(7, "True", 60)));
        saw(&observed, "other", 4, None);
        assert!(!observed.get(&key("Pool", "a")).unwrap().has(&status(7, "True", 60)));
    }

    #[tokio::test]
    async fn a_new_object_and_another_status_are_news_and_another_spec_is_none() {
        let observed = Observed::default();
        saw(&observed, "u", 1, None);
        assert_eq!(observed.changes().await, [key("Pool", "a")].into());
        saw(&observed, "u", 2, None);
        assert!(observed.state.lock().changed.is_empty());
        saw(&observed, "u", 3, Some(status(1, "True", 0)));
        assert_eq!(observed.changes().await, [key("Pool", "a")].into());
        saw(&observed, "v", 4, Some(status(1, "True", 0)));
        assert_eq!(observed.changes().await, [key("Pool", "a")].into());
    }

    #[test]
    fn what_is_gone_is_forgotten() {
        let observed = Observed::default();
        saw(&observed, "u", 1, None);
        observed.retain(Kind::Backend, None, |_| false);
        observed.retain(Kind::Pool, Some("other"), |_| false);
        assert!(observed.get(&key("Pool", "a")).is_some());
        observed.retain(Kind::Pool, Some("default"), |_| false);
        assert!(observed.get(&key("Pool", "a")).is_none());
        saw(&observed, "u", 1, None);
        observed.gone(&key("Pool", "a"));
        assert!(observed.get(&key("Pool", "a")).is_none());
    }
}
