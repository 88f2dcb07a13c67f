//! Backends.

use weir_proto::model::{Invalid, Key};
use weir_proto::pb;
use weir_proto::pb::resource::Body;

use super::checked;
use crate::api::BackendSpec;

/// The message of a Backend.
///
/// # Errors
/// Names the field that is wrong.
pub fn backend(key: &Key, spec: &BackendSpec) -> Result<Body, Invalid> {
    let BackendSpec { pool, address, service, weight, score, enabled, labels } = spec.clone();
    let address = address.unwrap_or_default();
    let from_service = service.is_some();
    checked(key, Body::Backend(pb::Backend { pool, address, weight, enabled, labels, from_service, score }))
}
