//! Which resources there are, for clients that ask before they do anything.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{
    APIGroup, APIGroupList, APIResource, APIResourceList, APIVersions, GroupVersionForDiscovery,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::kinds::{self, KindInfo};
use crate::api;

const VERBS: [&str; 7] = ["create", "delete", "get", "list", "patch", "update", "watch"];

/// There are no Pods, Services and so on.
pub(super) fn core() -> Value {
    value(&APIVersions::default())
}

pub(super) fn groups() -> Value {
    value(&APIGroupList { groups: vec![weir()] })
}

pub(super) fn group() -> Value {
    value(&weir())
}

pub(super) fn resources() -> Value {
    let resources = kinds::all().iter().map(resource).collect();
    value(&APIResourceList { group_version: api::API_VERSION.to_owned(), resources })
}

/// A namespace, which kubectl asks for before it says that something is not in it. A manifest may name any.
pub(super) fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}, "status": {"phase": "Active"}})
}

/// That of this program.
pub(super) fn version() -> Value {
    let version = env!("CARGO_PKG_VERSION");
    let mut parts = version.split('.');
    json!({"major": parts.next(), "minor": parts.next(), "gitVersion": format!("v{version}+weir"), "platform": "linux"})
}

fn weir() -> APIGroup {
    let version =
        GroupVersionForDiscovery { group_version: api::API_VERSION.to_owned(), version: api::VERSION.to_owned() };
    APIGroup {
        name: api::GROUP.to_owned(),
        preferred_version: Some(version.clone()),
        versions: vec![version],
        server_address_by_client_cidrs: None,
    }
}

fn resource(info: &KindInfo) -> APIResource {
    APIResource {
        name: info.plural.clone(),
        singular_name: info.singular.clone(),
        kind: info.kind.as_str().to_owned(),
        namespaced: true,
        verbs: VERBS.map(str::to_owned).into(),
        short_names: Some(info.short_names.clone()),
        categories: Some(info.categories.clone()),
        ..APIResource::default()
    }
}

fn value(document: &impl Serialize) -> Value {
    // A document of a cluster always has a JSON form.
    serde_json::to_value(document).unwrap_or_default()
}
