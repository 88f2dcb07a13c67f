//! Backends.

use weir_proto::model::{Invalid, Key};
use weir_proto::pb;
use weir_proto::pb::resource::Body;

use super::checked;
use crate::api::BackendSpec;
use crate::api::backend::ProxyProtocol;

/// The message of a Backend.
///
/// # Errors
/// Names the field that is wrong.
pub fn backend(key: &Key, spec: &BackendSpec) -> Result<Body, Invalid> {
    let BackendSpec { pool, address, service, weight, score, enabled, labels, proxy_protocol } = spec.clone();
    let address = address.unwrap_or_default();
    let from_service = service.is_some();
    let proxy_protocol = proxy_protocol.map(|version| proxy_protocol_message(version).into());
    let message = pb::Backend { pool, address, weight, enabled, labels, from_service, score, proxy_protocol };
    checked(key, Body::Backend(message))
}

fn proxy_protocol_message(version: ProxyProtocol) -> pb::ProxyProtocol {
    match version {
        ProxyProtocol::V1 => pb::ProxyProtocol::V1,
        ProxyProtocol::V2 => pb::ProxyProtocol::V2,
    }
}
