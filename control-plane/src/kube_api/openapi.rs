//! The schemas of the kinds as OpenAPI 3, by which `kubectl explain` explains, and kubectl learns that unknown fields are
//! refused here and dry runs are to be had.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Map, Value, json};
use weir_proto::model::Kind;

use super::kinds;
use crate::api;

/// Where references lead to.
const SCHEMAS: &str = "#/components/schemas/";
/// How names of types that are not ours begin.
const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";

/// What documents there are.
pub(super) fn index() -> Value {
    let group = format!("apis/{}", api::API_VERSION);
    let url = format!("/openapi/v3/{group}?hash={}", env!("CARGO_PKG_VERSION"));
    json!({"paths": {(group): {"serverRelativeURL": url}}})
}

/// That of the group.
pub(super) fn document() -> Value {
    let (mut paths, mut schemas) = (Map::new(), meta_schemas());
    for info in kinds::all() {
        let gvk = json!({"group": api::GROUP, "version": api::VERSION, "kind": info.kind.as_str()});
        let collection = format!("/apis/{}/namespaces/{{namespace}}/{}", api::API_VERSION, info.plural);
        paths.insert(format!("/apis/{}/{}", api::API_VERSION, info.plural), json!({"get": operation("list", &gvk)}));
        paths.insert(
            format!("{collection}/{{name}}"),
            json!({
                "get": operation("get", &gvk), "put": operation("put", &gvk),
                "patch": patch(&gvk), "delete": operation("delete", &gvk),
            }),
        );
        paths.insert(collection, json!({"get": operation("list", &gvk), "post": operation("post", &gvk)}));
        schemas.insert(type_name(info.kind), schema(info.kind, &gvk));
    }
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Weir", "version": env!("CARGO_PKG_VERSION")},
        "paths": paths,
        "components": {"schemas": schemas},
    })
}

fn type_name(kind: Kind) -> String {
    format!("dev.weir.{}.{}", api::VERSION, kind.as_str())
}

fn operation(action: &str, gvk: &Value) -> Value {
    let parameter = |name: &str| json!({"name": name, "in": "query", "schema": {"type": "string"}});
    let writes = ["post", "put", "patch"].contains(&action);
    let names: &[&str] = if writes { &["dryRun", "fieldManager", "fieldValidation"] } else { &["dryRun"] };
    let parameters: Vec<Value> = names.iter().map(|name| parameter(name)).collect();
    json!({
        "parameters": parameters,
        "responses": {"200": {"description": "OK"}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": gvk,
    })
}

fn patch(gvk: &Value) -> Value {
    let mut operation = operation("patch", gvk);
    let any = json!({"schema": {"type": "object"}});
    operation["requestBody"] =
        json!({"content": {super::patch::MERGE: any, super::patch::JSON: any}, "required": true});
    operation
}

/// That of a kind, with the words of Kubernetes on what all kinds have.
fn schema(kind: Kind, gvk: &Value) -> Value {
    let crd = api::crd(kind).and_then(|crd| crd.spec.versions.into_iter().next()?.schema?.open_api_v3_schema);
    let mut schema = serde_json::to_value(crd).unwrap_or_default();
    let about = "More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md";
    let text =
        |words: &str, anchor: &str| json!({"type": "string", "description": format!("{words} {about}#{anchor}")});
    let properties = &mut schema["properties"];
    properties["apiVersion"] = text(
        "APIVersion defines the versioned schema of this representation of an object. Servers should convert recognized schemas to the latest internal value, and may reject unrecognized values.",
        "resources",
    );
    properties["kind"] = text(
        "Kind is a string value representing the REST resource this object represents. Servers may infer this from the endpoint the client submits requests to. Cannot be updated. In CamelCase.",
        "types-kinds",
    );
    properties["metadata"] = json!({
        "description": format!("Standard object's metadata. {about}#metadata"),
        "allOf": [{"$ref": format!("{SCHEMAS}{META}ObjectMeta")}],
    });
    schema["x-kubernetes-group-version-kind"] = json!([gvk]);
    schema
}

/// Those of the metadata, by name.
fn meta_schemas() -> Map<String, Value> {
    let mut root = serde_json::to_value(schemars::schema_for!(ObjectMeta)).unwrap_or_default();
    let definitions = root.as_object_mut().and_then(|root| root.remove("$defs")).unwrap_or_default();
    let mut schemas = Map::new();
    let Value::Object(definitions) = definitions else { return schemas };
    let all = definitions.into_iter().chain([("ObjectMeta".to_owned(), root)]);
    for (name, mut schema) in all {
        finish(&mut schema);
        schemas.insert(format!("{META}{}", short(&name)), schema);
    }
    schemas
}

/// References lead to where the schemas are here; a null is no value.
fn finish(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            map.remove("$schema");
            map.remove("title");
            if let Some(Value::String(target)) = map.get("$ref") {
                let name = target.rsplit('/').next().unwrap_or_default();
                map.insert("$ref".to_owned(), format!("{SCHEMAS}{META}{}", short(name)).into());
            }
            if let Some(Value::Array(types)) = map.get("type") {
                let type_ = types.iter().find(|type_| *type_ != "null").cloned().unwrap_or_default();
                map.insert("type".to_owned(), type_);
            }
            if let Some(Value::Array(mut choices)) = map.remove("anyOf") {
                choices.retain(|choice| choice["type"] != "null");
                map.insert("allOf".to_owned(), choices.into());
            }
            map.values_mut().for_each(finish);
        }
        Value::Array(items) => items.iter_mut().for_each(finish),
        _ => {}
    }
}

fn short(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
                map.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_leads_to_a_schema() {
        let document = document();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 3);
        for reference in found {
            let name = reference.strip_prefix(SCHEMAS).unwrap();
            assert!(document["components"]["schemas"].get(name).is_some(), "{name}");
        }
    }
}
