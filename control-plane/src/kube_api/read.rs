//! One object, or a list of them.

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use weir_proto::model::Key;

use super::Files;
use super::query::Query;
use super::refusal::Refusal;
use super::reply::{self, Reply};
use super::route::Collection;
use super::table::table;
use crate::api;

pub(super) fn get(files: &Files, key: &Key, query: &Query) -> Result<Reply, Refusal> {
    let object = files.objects.get(key).ok_or_else(|| Refusal::no_object(key))?.object;
    if !query.as_table {
        return Ok(reply::json(&*object));
    }
    let version = object["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    Ok(reply::json(&table(key.kind, std::slice::from_ref(&object), version, query.row_object)))
}

/// All of them at once, whatever `limit` says, which asks for no more than that many at a time if that is possible.
pub(super) fn list(files: &Files, of: &Collection, query: &Query) -> Result<Reply, Refusal> {
    let (version, objects) = chosen(files, of, query);
    let version = version.to_string();
    if query.as_table {
        return Ok(reply::json(&table(of.kind, &objects, &version, query.row_object)));
    }
    let items = objects.iter().map(AsRef::as_ref).collect();
    let kind = format!("{}List", of.kind.as_str());
    Ok(reply::json(&List {
        api_version: api::API_VERSION,
        kind,
        metadata: Metadata { resource_version: version },
        items,
    }))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List<'a> {
    api_version: &'static str,
    kind: String,
    metadata: Metadata,
    items: Vec<&'a Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    resource_version: String,
}

/// The objects that are meant, and the version that they are of.
pub(super) fn chosen(files: &Files, of: &Collection, query: &Query) -> (u64, Vec<Arc<Value>>) {
    let (version, mut objects) = files.objects.list(of.kind);
    objects.retain(|object| is_chosen(of, query, object));
    (version, objects)
}

pub(super) fn is_chosen(of: &Collection, query: &Query, object: &Value) -> bool {
    let is_here = of.namespace.as_deref().is_none_or(|namespace| object["metadata"]["namespace"] == namespace);
    is_here && query.selector.matches(object)
}
