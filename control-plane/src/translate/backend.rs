//! Backends.

use weir_proto::model::{Invalid, Key};
use weir_proto::pb;
use weir_proto::pb::resource::Body;

use super::checked;
use crate::api::BackendSpec;
use crate::api::backend::BackendRole;

/// The message of a Backend.
///
/// # Errors
/// Names the field that is wrong.
pub fn backend(key: &Key, spec: &BackendSpec) -> Result<Body, Invalid> {
    let BackendSpec { pool, address, service, weight, score, role, capacity, enabled, labels } = spec.clone();
    let address = address.unwrap_or_default();
    let from_service = service.is_some();
    let role = self::role(role).into();
    let backend = pb::Backend { pool, address, weight, enabled, labels, from_service, score, role, capacity };
    checked(key, Body::Backend(backend))
}

fn role(role: BackendRole) -> pb::Role {
    match role {
        BackendRole::Active => pb::Role::Active,
        BackendRole::Standby => pb::Role::Standby,
        BackendRole::Backup => pb::Role::Backup,
    }
}
