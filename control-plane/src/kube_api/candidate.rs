//! What a request comes to for one object: whether it may be, and what its manifest should say then. Pure.

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use weir_proto::model::{Key, Kind, ResourceName};

use super::refusal::{Refusal, Wrong};
use crate::api;
use crate::manifest;
use crate::objects::{Entry, LAST_APPLIED, SERVER_FIELDS, to_the_second};
use crate::source::file::Wish;

/// Metadata that would ask for what only a cluster does.
const CLUSTER_FIELDS: [&str; 3] = ["finalizers", "ownerReferences", "generateName"];

/// The uid of what is not made.
const NO_UID: &str = "00000000-0000-0000-0000-000000000000";

/// Whether there may, or must, be such an object already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Must {
    BeNew,
    Exist,
    Either,
}

/// A change of one object that may be made.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) key: Key,
    /// `None` = its manifest says that already.
    pub(super) wish: Option<Wish>,
    /// What kubectl notes in it.
    pub(super) note: Option<String>,
    /// The object as it would be; of one that goes, as it is.
    pub(super) preview: Value,
}

/// The object that a body is about.
pub(super) fn key_of(kind: Kind, body: &Value, namespace: Option<&str>) -> Result<Key, Refusal> {
    let own = body["metadata"]["namespace"].as_str();
    if let (Some(own), Some(namespace)) = (own, namespace)
        && own != namespace
    {
        let message = "the namespace of the provided object does not match the namespace sent on the request";
        return Err(Refusal::bad_request(message));
    }
    let namespace = namespace.or(own).unwrap_or(manifest::DEFAULT_NAMESPACE);
    let name = body["metadata"]["name"].as_str().unwrap_or_default();
    let name =
        ResourceName::new(namespace, name).map_err(|bad| Refusal::bad_request(format!("{}: {bad}", bad.field())))?;
    Ok(Key { kind, name })
}

/// The object is to be this.
pub(super) fn put(key: &Key, now: Option<&Entry>, mut body: Value, must: Must) -> Result<Plan, Refusal> {
    match (now, must) {
        (Some(_), Must::BeNew) => return Err(Refusal::already_exists(key)),
        (None, Must::Exist) => return Err(Refusal::no_object(key)),
        _ => {}
    }
    check_names(key, &body)?;
    check_version(key, now, &body["metadata"])?;
    let note = body["metadata"]["annotations"][LAST_APPLIED].as_str().map(str::to_owned);
    body["metadata"]["namespace"] = key.name.namespace().into();
    let mut wanted = visible(body);
    check_rules(key, &mut wanted)?;
    let written = wanted.clone();
    manifest::fill(api::schema(key.kind), &mut wanted);
    let manifest = match now {
        None => Some(written),
        Some(entry) => change(key, entry, &wanted)?,
    };
    let origin = now.map(|entry| entry.origin.clone());
    let wish = manifest.map(|manifest| Wish { key: key.clone(), origin, manifest: Some(manifest) });
    let preview = preview(now, wanted, note.as_deref());
    Ok(Plan { key: key.clone(), wish, note, preview })
}

/// The object is to go, if it is the one that is meant.
pub(super) fn delete(key: &Key, now: Option<&Entry>, preconditions: &Value) -> Result<Plan, Refusal> {
    let entry = now.ok_or_else(|| Refusal::no_object(key))?;
    check_version(key, now, preconditions)?;
    if entry.origin.is_static() {
        return Err(Refusal::protected(key, &format!("{} is marked `# weir: static`", entry.origin.file().display())));
    }
    let wish = Wish { key: key.clone(), origin: Some(entry.origin.clone()), manifest: None };
    Ok(Plan { key: key.clone(), wish: Some(wish), note: None, preview: Value::clone(&entry.object) })
}

fn check_names(key: &Key, body: &Value) -> Result<(), Refusal> {
    let wanted = [
        ("apiVersion", &body["apiVersion"], api::API_VERSION),
        ("kind", &body["kind"], key.kind.as_str()),
        ("metadata.name", &body["metadata"]["name"], key.name.name()),
    ];
    match wanted.into_iter().find(|(_, value, wanted)| *value != wanted) {
        Some((field, value, wanted)) => Err(Refusal::bad_request(format!("{field}: {value} is not {wanted:?}"))),
        None => Ok(()),
    }
}

/// Whether the client knows the object as it is.
fn check_version(key: &Key, now: Option<&Entry>, told: &Value) -> Result<(), Refusal> {
    for field in ["resourceVersion", "uid"] {
        let Some(told) = told[field].as_str().filter(|told| !told.is_empty()) else { continue };
        match now {
            None if field == "uid" => {}
            None => return Err(Refusal::bad_request("resourceVersion should not be set on objects to be created")),
            Some(entry) if entry.object["metadata"][field] != told => {
                let why = "the object has been modified; please apply your changes to the latest version and try again";
                return Err(Refusal::conflict(key, why));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

fn check_rules(key: &Key, wanted: &mut Value) -> Result<(), Refusal> {
    let (_, mut wrong) = manifest::judge(key.kind, wanted).map_err(|bad| Refusal::bad_request(bad.to_string()))?;
    let asked = CLUSTER_FIELDS.into_iter().filter(|field| wanted["metadata"].get(field).is_some());
    wrong.extend(asked.map(|field| -> Wrong { (format!("metadata.{field}"), "is for clusters only".to_owned()) }));
    if wrong.is_empty() { Ok(()) } else { Err(Refusal::invalid(key, &wrong)) }
}

/// What is the user's in an object: neither the server's metadata, nor kubectl's note, nor the status.
fn visible(mut object: Value) -> Value {
    if let Some(map) = object.as_object_mut() {
        map.remove("status");
    }
    let metadata = &mut object["metadata"];
    if let Some(annotations) = metadata["annotations"].as_object_mut() {
        annotations.remove(LAST_APPLIED);
    }
    if let Some(map) = metadata.as_object_mut() {
        map.retain(|name, value| {
            let is_empty = value.is_null()
                || value.as_object().is_some_and(Map::is_empty)
                || value.as_array().is_some_and(Vec::is_empty);
            !SERVER_FIELDS.contains(&name.as_str()) && !is_empty
        });
    }
    object
}

/// What the manifest should say for its object to be `wanted`; `None` if it does.
fn change(key: &Key, entry: &Entry, wanted: &Value) -> Result<Option<Value>, Refusal> {
    let before = visible(Value::clone(&entry.object));
    if before == *wanted {
        return Ok(None);
    }
    if entry.origin.is_static() {
        let mut allowed = before.clone();
        allowed["spec"]["enabled"] = wanted["spec"]["enabled"].clone();
        if allowed != *wanted {
            let file = entry.origin.file().display();
            let why = format!("{file} is marked `# weir: static`, so that only spec.enabled may change");
            return Err(Refusal::protected(key, &why));
        }
    }
    Ok(Some(written(Some(entry.origin.body()), Some(&before), wanted)))
}

/// What is to be written for a value to be `wanted` that is `seen` now, and `written` with less, as defaults need not
/// be written, or more, as some of what is written is not shown.
fn written(raw: Option<&Value>, seen: Option<&Value>, wanted: &Value) -> Value {
    match (raw, seen, wanted) {
        (Some(raw), Some(seen), wanted) if seen == wanted => raw.clone(),
        (Some(Value::Object(raw)), Some(Value::Object(seen)), Value::Object(wanted)) => {
            let hidden = raw.iter().filter(|(name, _)| !seen.contains_key(*name) && !wanted.contains_key(*name));
            let mut map: Map<String, Value> = hidden.map(|(name, value)| (name.clone(), value.clone())).collect();
            for (name, value) in wanted {
                // A default that nobody wrote.
                if raw.get(name).is_none() && seen.get(name) == Some(value) {
                    continue;
                }
                map.insert(name.clone(), written(raw.get(name), seen.get(name), value));
            }
            map.into()
        }
        (_, _, wanted) => wanted.clone(),
    }
}

/// The object as it would be.
fn preview(now: Option<&Entry>, mut wanted: Value, note: Option<&str>) -> Value {
    let first = json!({"metadata": {"uid": NO_UID, "creationTimestamp": to_the_second(Timestamp::now()).to_string()}});
    let old = now.map_or(&first, |entry| &entry.object);
    for field in SERVER_FIELDS {
        if let Some(value) = old["metadata"].get(field) {
            wanted["metadata"][field] = value.clone();
        }
    }
    let generation = old["metadata"]["generation"].as_i64().unwrap_or_default();
    wanted["metadata"]["generation"] = (generation + i64::from(old["spec"] != wanted["spec"])).into();
    if let Some(note) = note {
        wanted["metadata"]["annotations"][LAST_APPLIED] = note.into();
    }
    if let Some(status) = old.get("status") {
        wanted["status"] = status.clone();
    }
    wanted
}

/// What a deletion is answered with.
pub(super) fn deleted(plan: &Plan) -> Value {
    let details = json!({
        "name": plan.key.name.name(),
        "group": api::GROUP,
        "kind": super::kinds::of(plan.key.kind).plural,
        "uid": plan.preview["metadata"]["uid"],
    });
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_new_is_written_and_what_is_not_shown_stays() {
        let raw = json!({"spec": {"weight": 3, "score": null}, "status": {"old": 1}});
        let seen = json!({"spec": {"weight": 3, "enabled": true, "role": "Active"}});
        let same = written(Some(&raw), Some(&seen), &seen);
        assert_eq!(same, raw);
        let wanted = json!({"spec": {"weight": 3, "enabled": false, "role": "Active"}});
        let expected = json!({"spec": {"weight": 3, "score": null, "enabled": false}, "status": {"old": 1}});
        assert_eq!(written(Some(&raw), Some(&seen), &wanted), expected);
        let removed = written(Some(&raw), Some(&seen), &json!({"spec": {"enabled": true, "role": "Active"}}));
        assert_eq!(removed, json!({"spec": {"score": null}, "status": {"old": 1}}));
    }
}
