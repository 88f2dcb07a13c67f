//! What a cluster needs changed in a generated schema, and the schemas as JSON for local checks.

use std::sync::LazyLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};
use weir_proto::model::Kind;

/// Keyword for a value whose fields are nobody's business here.
pub(crate) const ANYTHING: &str = "x-kubernetes-preserve-unknown-fields";

/// In the order of [`Kind::ALL`].
static SCHEMAS: LazyLock<[Value; Kind::ALL.len()]> = LazyLock::new(|| Kind::ALL.map(manifest_schema));

/// The schema of a whole manifest of `kind`, `metadata` included; of a kind that users do not write, the one
/// that nothing keeps.
#[must_use]
pub fn schema(kind: Kind) -> &'static Value {
    &SCHEMAS[kind as usize]
}

/// Brings a generated definition into the form that a cluster takes without warnings.
pub(super) fn finish(crd: &mut CustomResourceDefinition) {
    for version in &mut crd.spec.versions {
        if let Some(root) = version.schema.as_mut().and_then(|s| s.open_api_v3_schema.as_mut()) {
            finish_props(root);
        }
    }
}

fn finish_props(props: &mut JSONSchemaProps) {
    // Kubernetes knows no unsigned formats and warns about them.
    props.format = props.format.take().filter(|format| !format.starts_with("uint"));
    // A field left out is the same as none: `null` is refused as for every other field.
    props.nullable = None;
    // The lines of a paragraph are those of the source; `kubectl explain` breaks its own.
    props.description = props.description.take().map(|text| joined(&text));
    for child in props.properties.iter_mut().flat_map(|children| children.values_mut()) {
        finish_props(child);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = props.items.as_mut() {
        finish_props(items);
    }
}

/// Each paragraph on one line.
fn joined(text: &str) -> String {
    text.split("\n\n").map(|paragraph| paragraph.replace('\n', " ")).collect::<Vec<_>>().join("\n\n")
}

fn manifest_schema(kind: Kind) -> Value {
    let Some(crd) = super::crd(kind) else { return Value::Bool(false) };
    let root = crd.spec.versions.first().and_then(|v| v.schema.as_ref()?.open_api_v3_schema.as_ref());
    let mut schema = serde_json::to_value(root).unwrap_or_default();
    schema["properties"]["apiVersion"] = json!({"type": "string"});
    schema["properties"]["kind"] = json!({"type": "string"});
    schema["properties"]["metadata"] = metadata_schema();
    schema["required"] = json!(["metadata", "spec"]);
    schema
}

/// Kubernetes' own schema of `metadata`, as far as names of fields go.
fn metadata_schema() -> Value {
    let known = serde_json::to_value(schemars::schema_for!(ObjectMeta)).unwrap_or_default();
    let names = known["properties"].as_object().into_iter().flatten().map(|(name, _)| name.clone());
    let mut properties: serde_json::Map<String, Value> = names.map(|name| (name, json!({(ANYTHING): true}))).collect();
    let strings = json!({"type": "object", "additionalProperties": {"type": "string"}});
    properties.insert("name".into(), json!({"type": "string"}));
    properties.insert("namespace".into(), json!({"type": "string"}));
    properties.insert("labels".into(), strings.clone());
    properties.insert("annotations".into(), strings);
    json!({"type": "object", "properties": properties, "required": ["name"]})
}

pub(super) fn duration(_: &mut SchemaGenerator) -> Schema {
    let rule = "self.matches('^([0-9]+(ms|s|m|h))+$')";
    text(32, rule, "must be a duration such as 250ms, 2s, 1m or 1m30s")
}

pub(super) fn size(_: &mut SchemaGenerator) -> Schema {
    text(20, "self.matches('^[0-9]+(Ki|Mi|Gi)?$')", "must be a size such as 512, 64Ki, 1Mi or 1Gi")
}

/// Masks of statuses.
pub(super) fn statuses(_: &mut SchemaGenerator) -> Schema {
    let mask = text(16, "self.matches('^[1-5][0-9xX][0-9xX]$')", "must be a status mask such as 502, 50x or 5xx");
    json_schema!({"type": "array", "maxItems": 64, "items": mask})
}

/// Any JSON.
pub(super) fn any(_: &mut SchemaGenerator) -> Schema {
    json_schema!({(ANYTHING): true})
}

/// A mapping of anything.
pub(super) fn free_map(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", (ANYTHING): true})
}

/// A string with a CEL rule rather than a pattern: a rule has a message for people.
pub(super) fn text(max_length: u32, rule: &str, message: &str) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": max_length,
        "x-kubernetes-validations": [{"rule": rule, "message": message}],
    })
}
