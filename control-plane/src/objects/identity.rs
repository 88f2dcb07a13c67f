//! What makes an object the one it is, and cannot be seen in the user's files: kept in a hidden file of the folder, but
//! only for objects that the API has written. A folder that nobody writes to by the API has no such file; there the
//! time of creation is that of the file, and counting begins at generation 1.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use weir_proto::model::{Key, Kind};

/// Its name in the folder.
pub(crate) const FILE: &str = ".weir-objects.json";

/// The annotation in which kubectl notes what it applied. It may be longer than the object, and is of no use to people,
/// so that it is kept here in place of their files.
pub(crate) const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Of one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Identity {
    pub(super) uid: String,
    pub(super) created: Timestamp,
    pub(super) generation: i64,
    /// A hash of the specification of that generation.
    spec: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last_applied: Option<String>,
    /// Whether the API has written the object.
    #[serde(skip)]
    is_recorded: bool,
}

/// Of all objects, by `Kind namespace/name`.
#[derive(Debug, Default)]
pub(super) struct Identities {
    all: BTreeMap<String, Identity>,
    /// Notes of objects that are about to come.
    notes: BTreeMap<String, String>,
    /// What the file holds, as far as we know.
    written: Option<String>,
}

impl Identities {
    /// Those that a folder has. What cannot be read is as good as none: it is all made anew.
    pub(super) fn load(folder: &Path) -> Self {
        let path = folder.join(FILE);
        let Ok(text) = std::fs::read(&path) else { return Self::default() };
        let all: Result<BTreeMap<String, Identity>, _> = serde_json::from_slice(&text);
        let mut all = all.unwrap_or_else(|error| {
            tracing::warn!(file = %path.display(), %error, "objects are given new identities");
            BTreeMap::new()
        });
        all.values_mut().for_each(|identity| identity.is_recorded = true);
        let written = String::from_utf8(text).ok();
        Self { all, notes: BTreeMap::new(), written }
    }

    /// That of an object with this specification, made when there is none.
    pub(super) fn of(&mut self, key: &Key, spec: &Value, born: Timestamp) -> Identity {
        let (name, spec) = (key.to_string(), hex(&spec.to_string())[..16].to_owned());
        let note = self.notes.remove(&name);
        let identity = self.all.entry(name).or_insert_with_key(|name| Identity {
            uid: uid(&format!("{name} {born}")),
            created: to_the_second(born),
            generation: 1,
            spec: spec.clone(),
            last_applied: note,
            is_recorded: false,
        });
        if identity.spec != spec {
            (identity.generation, identity.spec) = (identity.generation + 1, spec);
        }
        identity.clone()
    }

    /// Keeps a note of kubectl; true if it is another.
    pub(super) fn set_note(&mut self, key: &Key, note: Option<String>) -> bool {
        let name = key.to_string();
        match (self.all.get_mut(&name), note) {
            (Some(identity), note) => std::mem::replace(&mut identity.last_applied, note) != identity.last_applied,
            (None, Some(note)) => self.notes.insert(name, note).is_none(),
            (None, None) => false,
        }
    }

    /// Of a kind there are none but these.
    pub(super) fn retain(&mut self, kind: Kind, names: &BTreeSet<String>) {
        let of_kind = format!("{} ", kind.as_str());
        self.all.retain(|name, _| !name.starts_with(&of_kind) || names.contains(name));
    }

    pub(super) fn forget(&mut self, key: &Key) {
        self.all.remove(&key.to_string());
    }

    /// The text of the file, these objects included; `None` if it is that already.
    pub(super) fn record(&mut self, keys: &[Key]) -> Option<String> {
        for key in keys {
            if let Some(identity) = self.all.get_mut(&key.to_string()) {
                identity.is_recorded = true;
            }
        }
        let recorded: BTreeMap<_, _> = self.all.iter().filter(|(_, identity)| identity.is_recorded).collect();
        let text = serde_json::to_string_pretty(&recorded).ok()? + "\n";
        let is_news = self.written.as_ref() != Some(&text) && !(recorded.is_empty() && self.written.is_none());
        is_news.then(|| self.written.insert(text).clone())
    }
}

/// As Kubernetes writes times.
pub(crate) fn to_the_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// A UUID (version 8: of our own making) that is the same for the same text.
fn uid(text: &str) -> String {
    let hex = hex(text);
    format!("{}-{}-8{}-8{}-{}", &hex[..8], &hex[8..12], &hex[12..15], &hex[15..18], &hex[18..30])
}

fn hex(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::key;

    #[test]
    fn an_object_stays_the_one_it_is_over_restarts_and_counts_its_changes() {
        let folder = tempfile::tempdir().unwrap();
        let (web, born) = (key("Pool", "web"), Timestamp::from_second(1_000).unwrap());
        let mut identities = Identities::load(folder.path());
        identities.set_note(&web, Some("{}".into()));
        let first = identities.of(&web, &json!({"weight": 1}), born);
        let second = identities.of(&web, &json!({"weight": 2}), Timestamp::now());
        assert_eq!((first.generation, second.generation, &first.uid), (1, 2, &second.uid));
        std::fs::write(folder.path().join(FILE), identities.record(std::slice::from_ref(&web)).unwrap()).unwrap();
        let mut again = Identities::load(folder.path());
        let third = again.of(&web, &json!({"weight": 2}), Timestamp::now());
        assert_eq!(
            (third.generation, &third.uid, third.created, third.last_applied.as_deref()),
            (2, &first.uid, born, Some("{}"))
        );
        assert_eq!(again.of(&web, &json!({"weight": 3}), born).generation, 3, "changed while nobody looked");
        again.forget(&web);
        assert_ne!(again.of(&web, &json!({}), Timestamp::now()).uid, first.uid, "a new object of the same name");
    }

    #[test]
    fn what_the_api_has_not_written_is_not_recorded() {
        let mut identities = Identities::default();
        identities.of(&key("Pool", "web"), &json!({}), Timestamp::now());
        assert_eq!(identities.record(&[]), None);
        assert!(identities.record(&[key("Pool", "web")]).is_some());
        assert_eq!(identities.record(&[]), None, "nothing is new");
    }

    #[test]
    fn a_broken_file_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), "{").unwrap();
        assert!(Identities::load(folder.path()).all.is_empty());
    }
}
