//! The resources of a folder as objects of the Kubernetes API: with the metadata that files do not hold, every default,
//! their status, and what has happened to them lately. One writer, the publisher, keeps them up; statuses come from the
//! reporter.

mod history;
mod identity;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use history::History;
pub(crate) use history::{Change, ChangeKind, TooOld};
pub(crate) use identity::{FILE as IDENTITIES, LAST_APPLIED, to_the_second};
use identity::{Identities, Identity};
use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;
use weir_proto::model::{Key, Kind};

use crate::api;
use crate::manifest::{self, Origin};
use crate::source::{Event, Given};
use crate::status::Status;

/// Fields of `metadata` that are the server's, whatever a file or a client says.
pub(crate) const SERVER_FIELDS: [&str; 8] = [
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "managedFields",
    "selfLink",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
];

/// All objects. Locks are held for a look, never across a wait.
#[derive(Debug)]
pub(crate) struct Objects {
    state: Mutex<State>,
    /// The newest version.
    changed: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    all: BTreeMap<Key, Entry>,
    history: History,
    identities: Identities,
    /// What kubectl notes in an object that is about to change; it is no matter of the user's files.
    notes: BTreeMap<Key, Option<String>>,
    /// The newest status of each resource. One that is deleted and made again at once may have the same as before, and
    /// then nobody tells it again.
    statuses: BTreeMap<Key, Arc<Status>>,
}

/// An object, and where it is written.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) object: Arc<Value>,
    pub(crate) origin: Arc<Origin>,
}

impl Objects {
    /// None yet; of those that an earlier process knew, the folder has the identities.
    pub(crate) fn open(folder: &Path) -> Self {
        let history = History::new(Timestamp::now());
        let changed = watch::Sender::new(history.newest());
        let identities = Identities::load(folder);
        let state =
            State { all: BTreeMap::new(), history, identities, notes: BTreeMap::new(), statuses: BTreeMap::new() };
        Self { state: Mutex::new(state), changed }
    }

    /// Takes in changes, and gives each resource in them its generation.
    pub(crate) fn take(&self, changes: &mut [Event]) {
        let mut state = self.state.lock();
        for change in changes {
            match change {
                Event::Apply(given) => state.give(given, Timestamp::now()),
                Event::Delete(key) => state.delete(key),
                Event::Reset(kind, all) => state.begin(*kind, all),
                _ => {}
            }
        }
        self.changed.send_replace(state.history.newest());
    }

    /// A resource has another status, or is gone.
    pub(crate) fn set_status(&self, key: &Key, status: Option<&Arc<Status>>) {
        let mut state = self.state.lock();
        let Some(status) = status else {
            state.statuses.remove(key);
            return;
        };
        state.statuses.insert(key.clone(), status.clone());
        let Some(Entry { object, origin }) = state.all.get(key).cloned() else { return };
        let document = status.document(key.kind, &object, Timestamp::now());
        if object["status"] != document {
            let mut object = Arc::unwrap_or_clone(object);
            object["status"] = document;
            state.put(key, object, origin);
            self.changed.send_replace(state.history.newest());
        }
    }

    /// One object.
    pub(crate) fn get(&self, key: &Key) -> Option<Entry> {
        self.state.lock().all.get(key).cloned()
    }

    /// All objects of a kind, and the version that they are of.
    pub(crate) fn list(&self, kind: Kind) -> (u64, Vec<Arc<Value>>) {
        let state = self.state.lock();
        let of_kind = state.all.iter().filter(|(key, _)| key.kind == kind);
        (state.history.newest(), of_kind.map(|(_, entry)| entry.object.clone()).collect())
    }

    /// What has happened since a version.
    pub(crate) fn since(&self, version: u64) -> Result<Vec<Change>, TooOld> {
        self.state.lock().history.since(version)
    }

    /// The newest version, as it grows.
    pub(crate) fn versions(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// With the next change of an object it has this note of kubectl.
    pub(crate) fn note(&self, key: &Key, note: Option<String>) {
        self.state.lock().notes.insert(key.clone(), note);
    }

    /// The change was made (or `is_off`): a note that came with no other change is one of its own.
    pub(crate) fn settle(&self, key: &Key, is_off: bool) {
        let mut state = self.state.lock();
        let Some(note) = state.notes.remove(key).filter(|_| !is_off) else { return };
        let Some(Entry { object, origin }) = state.all.get(key).cloned() else { return };
        if state.identities.set_note(key, note) {
            let identity = state.identities.of(key, &object["spec"], Timestamp::now());
            let renewed = compose(key, origin.body(), &identity, &object);
            state.put(key, renewed, origin);
            self.changed.send_replace(state.history.newest());
        }
    }

    /// What is to be known of these objects after the end of this process, and cannot be seen in the files.
    pub(crate) fn record(&self, keys: &[Key]) -> Option<String> {
        self.state.lock().identities.record(keys)
    }
}

impl State {
    /// The first list of a kind.
    fn begin(&mut self, kind: Kind, all: &mut [Given]) {
        self.identities.retain(kind, &all.iter().map(|given| given.key().to_string()).collect());
        for given in all {
            // The file is all that is known of the time before the start.
            let written = given.origin().and_then(|origin| modified(origin.file()));
            self.give(given, written.unwrap_or_else(Timestamp::now));
        }
    }

    fn give(&mut self, given: &mut Given, born: Timestamp) {
        let key = given.key().clone();
        let Some(origin) = given.origin().cloned() else { return };
        if let Some(note) = self.notes.remove(&key) {
            self.identities.set_note(&key, note);
        }
        let mut spec = json!({"spec": origin.body()["spec"]});
        manifest::fill(api::schema(key.kind), &mut spec);
        let identity = self.identities.of(&key, &spec["spec"], born);
        given.set_generation(identity.generation);
        let before = self.all.get(&key).map(|entry| entry.object.clone());
        let mut object = compose(&key, origin.body(), &identity, before.as_deref().unwrap_or(&Value::Null));
        if let Some(status) = self.statuses.get(&key).filter(|_| before.is_none()) {
            object["status"] = status.document(key.kind, &object, Timestamp::now());
        }
        match before.filter(|before| is_same(before, &object)) {
            // It may stand elsewhere now.
            Some(object) => drop(self.all.insert(key, Entry { object, origin })),
            None => self.put(&key, object, origin),
        }
    }

    fn put(&mut self, key: &Key, mut object: Value, origin: Arc<Origin>) {
        let version = self.history.next(Timestamp::now());
        object["metadata"]["resourceVersion"] = version.to_string().into();
        let object = Arc::new(object);
        let before = self.all.insert(key.clone(), Entry { object: object.clone(), origin });
        let before = before.map(|entry| entry.object);
        let kind = if before.is_some() { ChangeKind::Modified } else { ChangeKind::Added };
        self.history.push(Change { version, of: key.kind, kind, object, before });
    }

    fn delete(&mut self, key: &Key) {
        self.identities.forget(key);
        self.notes.remove(key);
        let Some(Entry { object: before, .. }) = self.all.remove(key) else { return };
        let version = self.history.next(Timestamp::now());
        let mut object = Value::clone(&before);
        object["metadata"]["resourceVersion"] = version.to_string().into();
        let before = Some(before);
        self.history.push(Change { version, of: key.kind, kind: ChangeKind::Deleted, object: object.into(), before });
    }
}

/// The object that a manifest stands for; of what it was before it has the status, and until that changes the version.
fn compose(key: &Key, body: &Value, identity: &Identity, before: &Value) -> Value {
    let mut object = json!({
        "apiVersion": api::API_VERSION,
        "kind": key.kind.as_str(),
        "metadata": body["metadata"],
        "spec": body["spec"],
    });
    manifest::fill(api::schema(key.kind), &mut object);
    let metadata = &mut object["metadata"];
    if let Some(map) = metadata.as_object_mut() {
        map.retain(|name, _| !SERVER_FIELDS.contains(&name.as_str()));
    }
    metadata["name"] = key.name.name().into();
    metadata["namespace"] = key.name.namespace().into();
    metadata["uid"] = identity.uid.clone().into();
    metadata["generation"] = identity.generation.into();
    metadata["creationTimestamp"] = identity.created.to_string().into();
    metadata["resourceVersion"] = before["metadata"]["resourceVersion"].clone();
    if let Some(note) = &identity.last_applied {
        metadata["annotations"][LAST_APPLIED] = note.clone().into();
    }
    if let Some(status) = before.get("status") {
        object["status"] = status.clone();
    }
    object
}

fn is_same(before: &Value, after: &Value) -> bool {
    before["metadata"] == after["metadata"] && before["spec"] == after["spec"]
}

fn modified(file: &Path) -> Option<Timestamp> {
    let modified = std::fs::metadata(file).and_then(|metadata| metadata.modified()).ok()?;
    Some(to_the_second(Timestamp::try_from(modified).ok()?))
}
