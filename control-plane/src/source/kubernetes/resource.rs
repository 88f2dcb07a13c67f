//! Pools and Backends as the API server has them.
//!
//! They are read as JSON of any form, so that one which is broken harms no other, and held to the same rules as
//! manifests in files: the definition in the cluster may be older than this program.

use kube::core::{ApiResource, DynamicObject, Resource};
use kube::{Api, Client};
use weir_proto::model::{Key, Kind, ResourceName};

use super::lists::Told;
use crate::manifest;
use crate::source::{Changes, Event, Given};

/// Where the API server has the resources of a kind.
pub(super) fn endpoint<K: Resource<DynamicType = ()>>(client: Client, namespace: Option<&str>) -> Api<DynamicObject> {
    let resource = ApiResource::erase::<K>(&());
    match namespace {
        Some(namespace) => Api::namespaced_with(client, namespace, &resource),
        None => Api::all_with(client, &resource),
    }
}

/// What is kept of a resource: all but its metadata and status.
pub(super) fn reduce(kind: Kind, name: ResourceName, object: DynamicObject) -> Given {
    manifest::from_cluster(Key { kind, name }, object.metadata.generation, object.data)
}

/// What is told of a kind.
pub(super) fn changes(kind: Kind, told: Told<Given>) -> Changes {
    vec![match told {
        Told::Applied((_, given)) => Event::Apply(given),
        Told::Gone(name) => Event::Delete(Key { kind, name }),
        Told::All(None, all) => Event::Reset(kind, all.into_values().collect()),
        Told::All(Some(namespace), all) => Event::ResetIn(kind, namespace, all.into_values().collect()),
    }]
}
