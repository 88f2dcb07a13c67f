//! Secrets and ConfigMaps among manifests. Nothing that is said about them holds a word of what is in them.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use serde_json::Value;

use super::structure::Wrong;
use super::{Manifest, Origin, hides, read_name, unknown};
use crate::contents::{Content, ContentKey, ContentKind, Told};

/// `apiVersion` of both kinds.
const API_VERSION: &str = "v1";

/// Contents by key, or what is wrong with them.
type Entries = Result<BTreeMap<String, Vec<u8>>, Wrong>;

/// The kind, if it is one of these.
pub(super) fn kind(value: &Value) -> Option<ContentKind> {
    let is_it = |kind: &ContentKind| value["apiVersion"] == API_VERSION && value["kind"] == kind.as_str();
    ContentKind::ALL.into_iter().find(is_it)
}

pub(super) fn read(origin: &Origin, kind: ContentKind, value: &Value) -> Manifest {
    let name = match read_name(value) {
        Ok(name) => name,
        Err(bad) => return unknown(origin, vec![Wrong::new(bad.field(), bad.to_string())], hides(value)),
    };
    let (told, findings) = match entries(kind, value) {
        Ok(entries) => (Told::There(Content::from(entries)), Vec::new()),
        Err(Wrong { field, message }) => {
            let finding = origin.finding(None, field, message);
            (Told::Unreadable("it is malformed".into()), vec![finding])
        }
    };
    Manifest::Content { key: ContentKey { kind, name }, told, place: origin.place(""), findings }
}

fn entries(kind: ContentKind, value: &Value) -> Entries {
    let (binary, text) = match kind {
        ContentKind::Secret => ("data", "stringData"),
        ContentKind::ConfigMap => ("binaryData", "data"),
    };
    let mut entries = strings(value, binary, base64)?;
    entries.extend(strings(value, text, |text| Ok(text.as_bytes().to_vec()))?);
    Ok(entries)
}

fn strings(value: &Value, field: &str, read: impl Fn(&str) -> Result<Vec<u8>, &'static str>) -> Entries {
    let map = match &value[field] {
        Value::Null => return Ok(BTreeMap::new()),
        Value::Object(map) => map,
        _ => return Err(Wrong::new(field, "must be a mapping")),
    };
    let entry = |(key, value): (&String, &Value)| {
        let bytes = value.as_str().ok_or("must be a string").and_then(&read);
        bytes.map(|bytes| (key.clone(), bytes)).map_err(|why| Wrong::new(format!("{field}.{key}"), why))
    };
    map.iter().map(entry).collect()
}

fn base64(text: &str) -> Result<Vec<u8>, &'static str> {
    let decoded = serde_json::from_value(Value::String(text.to_owned()));
    decoded.map(|ByteString(bytes)| bytes).map_err(|_| "is not base64")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read(text: &str) -> Manifest {
        super::super::read(&Path::new("f").into(), text).remove(0)
    }

    fn entries(text: &str) -> Vec<(String, String)> {
        let Manifest::Content { told: Told::There(content), .. } = read(text) else { panic!("{:?}", read(text)) };
        let entry = |(key, bytes): (&String, &Vec<u8>)| (key.clone(), String::from_utf8_lossy(bytes).into_owned());
        content.entries().iter().map(entry).collect()
    }

    #[test]
    fn both_kinds_give_text_and_binary_data() {
        let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ntype: Opaque\n\
                      data: {x: aGk=, y: aGk=}\nstringData: {y: plain}\n";
        assert_eq!(entries(secret), [("x".into(), "hi".into()), ("y".into(), "plain".into())]);
        let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: aGk=}\nbinaryData: {y: aGk=}\n";
        assert_eq!(entries(map), [("x".into(), "aGk=".into()), ("y".into(), "hi".into())]);
        assert_eq!(entries("apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n"), []);
    }

    #[test]
    fn what_is_wrong_is_said_without_a_word_of_what_is_in_it() {
        let head = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n";
        for (text, said) in [
            ("data: {password: hunter2!}", "f:4: data.password: is not base64"),
            ("stringData: {password: [hunter2!]}", "f:4: stringData.password: must be a string"),
            ("data: hunter2!", "f:4: data: must be a mapping"),
        ] {
            let Manifest::Content { told, findings, .. } = read(&format!("{head}{text}\n")) else { panic!() };
            assert_eq!(findings[0].to_string(), said);
            assert!(matches!(told, Told::Unreadable(_)));
        }
        let right = read(&format!("{head}stringData: {{password: hunter2!}}\n"));
        assert!(!format!("{right:?}").contains("hunter2"), "{right:?}");
    }
}
