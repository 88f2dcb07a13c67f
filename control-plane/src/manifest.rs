//! One file of manifests to resources or findings, by the same rules as the API server: first the
//! structure of the schema, then its CEL rules.

mod content;
mod defaults;
mod rules;
mod structure;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

pub(crate) use defaults::fill;
use serde::de::Error;
use serde_json::{Value, json};
use weir_proto::model::{BadName, Key, Kind, ResourceName};

use crate::api;
use crate::contents::{ContentKey, Told};
use crate::finding::{Finding, Place};
use crate::keep::Keep;
use crate::lint;
use crate::source::{Given, Object, Spec};
use crate::yaml::{self, Document};

/// Namespace of a manifest that names none.
pub(crate) const DEFAULT_NAMESPACE: &str = "default";

/// The comment that marks a file to stay as it is but for `spec.enabled`.
const STATIC: &str = "weir: static";

/// Where a manifest stands, to find the lines of its fields later.
#[derive(Clone, PartialEq, Eq)]
pub struct Origin {
    file: Arc<Path>,
    document: Document,
    /// Which item of its document it is, if that is a List.
    item: Option<usize>,
    /// Whether its file is marked to stay as it is.
    is_static: bool,
    /// The manifest as its user wrote it, without nulls; of a resource only.
    body: Value,
}

/// Without what is in it.
impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, document, item, is_static, body: _ } = self;
        let mut debug = f.debug_struct("Origin");
        debug.field("file", file).field("document", document).field("item", item).field("is_static", is_static);
        debug.finish_non_exhaustive()
    }
}

impl Origin {
    /// The place of a field, or of the manifest if `field` is empty.
    #[must_use]
    pub fn place(&self, field: &str) -> Place {
        let prefix = self.item.map(|i| format!("items[{i}]")).unwrap_or_default();
        let joint = if prefix.is_empty() || field.is_empty() { "" } else { "." };
        let (line, column) = self.document.locate(&format!("{prefix}{joint}{field}"));
        Place { file: self.file.clone(), line, column }
    }

    /// Whether the manifest wants to hear nothing of this lint.
    #[must_use]
    pub fn ignores(&self, lint: &str) -> bool {
        let silent = self.body["metadata"]["annotations"][lint::IGNORE].as_str().unwrap_or_default();
        silent.split(',').any(|silent| silent.trim() == lint)
    }

    /// The file.
    pub(crate) fn file(&self) -> &Arc<Path> {
        &self.file
    }

    /// The document of the file.
    pub(crate) fn document(&self) -> &Document {
        &self.document
    }

    /// Which item of its document it is, if that is a List.
    pub(crate) fn item(&self) -> Option<usize> {
        self.item
    }

    /// Whether its file is marked to stay as it is.
    pub(crate) fn is_static(&self) -> bool {
        self.is_static
    }

    /// The manifest as its user wrote it, without nulls.
    pub(crate) fn body(&self) -> &Value {
        &self.body
    }

    fn finding(&self, key: Option<&Key>, field: impl Into<String>, message: impl Into<String>) -> Finding {
        let field = field.into();
        Finding { place: Some(self.place(&field)), key: key.cloned(), field, message: message.into() }
    }
}

/// One manifest as found in a file.
#[derive(Debug, Clone, PartialEq)]
pub enum Manifest {
    /// A resource that keeps every rule of its schema.
    Good(Object),
    /// A resource that cannot be used.
    Broken {
        /// Which one.
        key: Key,
        /// What is wrong; never empty.
        findings: Vec<Finding>,
        /// Where it is written.
        origin: Arc<Origin>,
    },
    /// A Secret or ConfigMap.
    Content {
        /// Which one.
        key: ContentKey,
        /// What is in it, or that it cannot be read.
        told: Told,
        /// Where it begins.
        place: Place,
        /// What is wrong, without a word of what is in it.
        findings: Vec<Finding>,
    },
    /// Something that cannot be told to be any resource.
    Unknown {
        /// The resources that it may be meant to be.
        hides: Keep,
        /// What is wrong; never empty.
        findings: Vec<Finding>,
    },
}

/// Reads all manifests of a file.
#[must_use]
pub fn read(file: &Arc<Path>, text: &str) -> Vec<Manifest> {
    let is_static = is_static(text);
    yaml::documents(text).into_iter().flat_map(|document| read_document(file, is_static, document)).collect()
}

/// Whether the comments at the head of a file say that it is to stay as it is.
fn is_static(text: &str) -> bool {
    let head =
        text.lines().map(str::trim).take_while(|line| line.is_empty() || line.starts_with('#') || *line == "---");
    head.into_iter().any(|line| line.strip_prefix('#').is_some_and(|comment| comment.trim() == STATIC))
}

fn read_document(file: &Arc<Path>, is_static: bool, document: Document) -> Vec<Manifest> {
    match document.parse() {
        Ok(value) => {
            read_value(Origin { file: file.clone(), document, item: None, is_static, body: Value::Null }, value)
        }
        Err(e) => {
            let place = Place { file: file.clone(), line: e.line, column: e.column };
            let finding = Finding { place: Some(place), key: None, field: e.field, message: e.message };
            vec![Manifest::Unknown { hides: Keep::All, findings: vec![finding] }]
        }
    }
}

fn read_value(origin: Origin, mut value: Value) -> Vec<Manifest> {
    if value.is_null() {
        return Vec::new();
    }
    if value["kind"] != "List" {
        return vec![read_manifest(origin, value)];
    }
    let Value::Array(items) = value["items"].take() else {
        let finding = origin.finding(None, "items", "must be a list of manifests");
        return vec![Manifest::Unknown { hides: Keep::All, findings: vec![finding] }];
    };
    let at = |i: usize| Origin { item: Some(i), ..origin.clone() };
    items.into_iter().enumerate().map(|(i, item)| read_manifest(at(i), item)).collect()
}

fn read_manifest(origin: Origin, mut value: Value) -> Manifest {
    if let Some(kind) = content::kind(&value) {
        return content::read(&origin, kind, &value);
    }
    let kind = match read_kind(&value) {
        Ok(kind) => kind,
        Err(wrong) => return unknown(&origin, vec![wrong], hides(&value)),
    };
    drop_nulls(api::schema(kind), &mut value);
    let key = read_key(kind, &value);
    let mut wrong = breaches(kind, &value);
    let origin = Origin { body: value.clone(), ..origin };
    let key = match key {
        Ok(key) => key,
        Err(bad) => {
            if wrong.is_empty() {
                wrong.push(structure::Wrong::new(bad.field(), bad.to_string()));
            }
            return unknown(&origin, wrong, Keep::All);
        }
    };
    if !wrong.is_empty() {
        return broken(origin, key, wrong);
    }
    match read_spec(kind, value) {
        Ok(spec) => Manifest::Good(Object { key, spec, generation: None, origin: Some(Arc::new(origin)) }),
        Err(error) => broken(origin, key, vec![structure::Wrong::new("spec", error.to_string())]),
    }
}

/// A resource as a cluster has it, with the fields `spec` and `status`. Its definition there has judged it already,
/// but may be older or newer than this program.
pub(crate) fn from_cluster(key: Key, generation: Option<i64>, mut body: Value) -> Given {
    let mut manifest = json!({"metadata": {"name": key.name.name()}});
    if let Some(spec) = body.get_mut("spec") {
        manifest["spec"] = spec.take();
    }
    drop_nulls(api::schema(key.kind), &mut manifest);
    let mut wrong = breaches(key.kind, &manifest);
    if wrong.is_empty() {
        match read_spec(key.kind, manifest) {
            Ok(spec) => return Given::Object(Object { key, spec, generation, origin: None }),
            Err(error) => wrong.push(structure::Wrong::new("spec", error.to_string())),
        }
    }
    let finding =
        |w: structure::Wrong| Finding { place: None, key: Some(key.clone()), field: w.field, message: w.message };
    let findings = wrong.into_iter().map(finding).collect();
    Given::Broken { key, generation, findings, origin: None }
}

/// Every rule of its schema that a manifest breaks.
fn breaches(kind: Kind, manifest: &Value) -> Vec<structure::Wrong> {
    let wrong = structure::check(api::schema(kind), manifest);
    if wrong.is_empty() { rules::check(kind, manifest) } else { wrong }
}

fn broken(origin: Origin, key: Key, wrong: Vec<structure::Wrong>) -> Manifest {
    let findings = wrong.into_iter().map(|w| origin.finding(Some(&key), w.field, w.message)).collect();
    Manifest::Broken { key, findings, origin: Arc::new(origin) }
}

/// A manifest of a kind, or of a namespace, that is known already: which resource it is, and all that is wrong with it
/// as fields and messages. Nulls are taken out of it.
///
/// # Errors
/// If it has no good name.
pub(crate) fn judge(kind: Kind, value: &mut Value) -> Result<(Key, Vec<(String, String)>), BadName> {
    drop_nulls(api::schema(kind), value);
    let key = read_key(kind, value)?;
    let mut wrong = breaches(kind, value);
    if wrong.is_empty()
        && let Err(error) = read_spec(kind, value.clone())
    {
        wrong.push(structure::Wrong::new("spec", error.to_string()));
    }
    Ok((key, wrong.into_iter().map(|w| (w.field, w.message)).collect()))
}

fn unknown(origin: &Origin, wrong: Vec<structure::Wrong>, hides: Keep) -> Manifest {
    let findings = wrong.into_iter().map(|w| origin.finding(None, w.field, w.message)).collect();
    Manifest::Unknown { hides, findings }
}

/// What a manifest of unknown kind may be meant to be: whatever has its name.
fn hides(value: &Value) -> Keep {
    read_name(value).map_or(Keep::All, |name| Keep::named(&name))
}

/// A null is a field left out, as in Kubernetes, but for values of any shape, where it is a null.
fn drop_nulls(schema: &Value, value: &mut Value) {
    if schema[api::ANYTHING] == true {
        return;
    }
    match value {
        Value::Object(map) => {
            map.retain(|_, child| !child.is_null());
            for (name, child) in map {
                drop_nulls(schema["properties"].get(name).unwrap_or(&schema["additionalProperties"]), child);
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|item| drop_nulls(&schema["items"], item)),
        _ => {}
    }
}

fn read_kind(value: &Value) -> Result<Kind, structure::Wrong> {
    let one_of = |field: &str, known: &[&str]| {
        let Some(text) = value[field].as_str() else {
            return Err(structure::Wrong::new(field, format!("is missing: write {}", known.join(" or "))));
        };
        let place = known.iter().position(|k| *k == text);
        place.ok_or_else(|| structure::Wrong::new(field, structure::unknown_value(text, known)))
    };
    if !value.is_object() {
        return Err(structure::Wrong::new("", "is no manifest: it must have apiVersion, kind, metadata and spec"));
    }
    one_of("apiVersion", &[api::API_VERSION])?;
    let place = one_of("kind", &Kind::GIVEN.map(Kind::as_str))?;
    Ok(Kind::GIVEN[place])
}

fn read_key(kind: Kind, value: &Value) -> Result<Key, BadName> {
    Ok(Key { kind, name: read_name(value)? })
}

fn read_name(value: &Value) -> Result<ResourceName, BadName> {
    let metadata = &value["metadata"];
    let namespace = metadata["namespace"].as_str().unwrap_or(DEFAULT_NAMESPACE);
    let name = metadata["name"].as_str().unwrap_or_default();
    ResourceName::new(namespace, name)
}

fn read_spec(kind: Kind, mut value: Value) -> Result<Spec, serde_json::Error> {
    let spec = value["spec"].take();
    Ok(match kind {
        Kind::Pool => Spec::Pool(Arc::new(serde_json::from_value(spec)?)),
        Kind::Backend => Spec::Backend(Arc::new(serde_json::from_value(spec)?)),
        Kind::Plugin => Spec::Plugin(Arc::new(serde_json::from_value(spec)?)),
        Kind::Endpoints => return Err(serde_json::Error::custom("users do not write this kind")),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn findings(text: &str) -> Vec<String> {
        let broken = |manifest| match manifest {
            Manifest::Good(_) => Vec::new(),
            Manifest::Broken { findings, .. }
            | Manifest::Content { findings, .. }
            | Manifest::Unknown { findings, .. } => findings,
        };
        let manifests = read(&Path::new("f").into(), text);
        manifests.into_iter().flat_map(broken).map(|f| f.to_string()).collect()
    }

    const HEAD: &str = "apiVersion: weir.dev/v1alpha1\nkind: Pool\n";

    #[test]
    fn a_manifest_without_namespace_is_in_default_and_status_is_not_looked_at() {
        let text = format!(
            "{HEAD}metadata: {{name: a, uid: x, generation: 3}}\nspec: {{enabled: null}}\nstatus: {{conditions: []}}\n"
        );
        let manifests = read(&Path::new("f").into(), &text);
        let [Manifest::Good(object)] = &manifests[..] else { panic!("{manifests:?}") };
        assert_eq!(object.key.to_string(), "Pool default/a");
    }

    #[test]
    fn names_and_metadata_are_checked() {
        assert!(
            findings(&format!("{HEAD}metadata: {{name: A_b}}\nspec: {{}}\n"))[0].starts_with("f:3: metadata.name: ")
        );
        let namespace = findings(&format!("{HEAD}metadata:\n  name: a\n  namespace: A\nspec: {{}}\n"));
        assert!(namespace[0].starts_with("f:5: metadata.namespace: namespace \"A\" must"), "{namespace:?}");
        assert_eq!(findings(&format!("{HEAD}spec: {{}}\n")), ["f:1: metadata: is missing"]);
        let unknown = findings(&format!("{HEAD}metadata:\n  name: a\n  labls: {{}}\nspec: {{}}\n"));
        assert_eq!(unknown, [r#"f:5: Pool default/a: metadata.labls: unknown field, did you mean "labels"?"#]);
    }

    #[test]
    fn a_label_with_dots_is_reported_at_its_own_line() {
        let text = "apiVersion: weir.dev/v1alpha1\nkind: Backend\nmetadata: {name: a}\nspec:\n  pool: a\n  address: h:1\n  labels:\n    app: x\n    app.kubernetes.io/version: 5\n";
        let found = findings(text);
        assert!(found[0].starts_with("f:9: Backend default/a: spec.labels.app.kubernetes.io/version: "), "{found:?}");
    }

    #[test]
    fn input_made_to_hurt_is_refused_at_once() {
        assert_eq!(findings(&"[".repeat(100_000)).len(), 1);
        assert_eq!(findings(&format!("a: {}", "{a: ".repeat(10_000))).len(), 1);
        let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
        for i in 1..30 {
            let of = format!("*a{}, ", i - 1).repeat(9);
            laughs.push_str(&format!("a{i}: &a{i} [{of}]\n"));
        }
        assert_eq!(findings(&laughs).len(), 1);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "[-a-z:{}\\[\\],&*!|>'\"#%? \n\t.0-9<\\\\]{0,200}") {
            findings(&text);
        }

        #[test]
        fn no_spec_makes_the_reader_panic(spec in "[a-z]{1,8}: [-a-z:{}\\[\\],'\" \n.0-9]{0,60}") {
            findings(&format!("{HEAD}metadata: {{name: a}}\nspec:\n  {spec}\n"));
        }
    }
}
