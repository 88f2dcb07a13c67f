//! Pools and Backends as the API server has them.
//!
//! They are read as JSON of any form, so that one which is broken harms no other, and held to the same rules as
//! manifests in files: the definition in the cluster may be older than this program.

use kube::core::{ApiResource, DynamicObject, Resource};
use kube::{Api, Client};
use weir_proto::model::{Key, Kind};

use super::lists::Told;
use crate::manifest;
use crate::source::{Changes, Event, Given};
use crate::status::Observed;

/// Where the API server has the resources of a kind.
pub(super) fn endpoint<K: Resource<DynamicType = ()>>(client: Client, namespace: Option<&str>) -> Api<DynamicObject> {
    let resource = ApiResource::erase::<K>(&());
    match namespace {
        Some(namespace) => Api::namespaced_with(client, namespace, &resource),
        None => Api::all_with(client, &resource),
    }
}

/// What is kept of a resource: all but its metadata and status, which are noted elsewhere.
pub(super) fn reduce(key: Key, object: DynamicObject, observed: &Observed) -> Given {
    observed.saw(&key, &object.metadata, object.data.get("status"));
    manifest::from_cluster(key, object.metadata.generation, object.data)
}

/// What is told of a kind.
pub(super) fn changes(kind: Kind, told: Told<Given>, observed: &Observed) -> Changes {
    match told {
        Told::Applied((_, given)) => vec![Event::Apply(given)],
        Told::Gone(name) => {
            let key = Key { kind, name };
            observed.gone(&key);
            vec![Event::Delete(key)]
        }
        Told::All(namespace, all) => {
            observed.retain(kind, namespace.as_deref(), |name| all.contains_key(name));
            let all = all.into_values().collect();
            vec![match namespace {
                None => Event::Reset(kind, all),
                Some(namespace) => Event::ResetIn(kind, namespace, all),
            }]
        }
    }
}
