//! Backends.

use weir_proto::model::{Files, Invalid, Key};
use weir_proto::pb;
use weir_proto::pb::resource::Body;

use super::backend_tls::backend_tls;
use super::checked;
use crate::api::backend::{BackendRole, ProxyProtocol};
use crate::api::{BackendSpec, FastCgiSpec, Protocol};

/// The message of a Backend, with the contents that it names.
///
/// # Errors
/// Names the field that is wrong.
pub fn backend(key: &Key, spec: &BackendSpec, files: &Files) -> Result<Body, Invalid> {
    let BackendSpec {
        pool,
        address,
        service,
        weight,
        score,
        role,
        capacity,
        enabled,
        labels,
        protocol,
        fastcgi,
        proxy_protocol,
        tls: _,
    } = spec.clone();
    let backend = pb::Backend {
        pool,
        address: address.unwrap_or_default(),
        weight,
        enabled,
        labels,
        from_service: service.is_some(),
        score,
        role: self::role(role).into(),
        capacity,
        protocol: self::protocol(protocol, fastcgi),
        proxy_protocol: proxy_protocol.map(|version| proxy_protocol_message(version).into()),
        tls: backend_tls(&key.name, spec, files),
    };
    checked(key, Body::Backend(backend))
}

/// The schema has no `fastcgi` beside another protocol.
fn protocol(protocol: Protocol, fastcgi: Option<FastCgiSpec>) -> Option<pb::backend::Protocol> {
    match protocol {
        Protocol::Http => None,
        Protocol::H2 => Some(pb::backend::Protocol::Http2(pb::Http2 {})),
        Protocol::FastCgi => {
            let FastCgiSpec { document_root, index, script_filename } = fastcgi.unwrap_or_default();
            Some(pb::backend::Protocol::Fastcgi(pb::FastCgi {
                document_root: document_root.unwrap_or_default(),
                index: index.unwrap_or_default(),
                script_filename: script_filename.unwrap_or_default(),
            }))
        }
    }
}

fn proxy_protocol_message(version: ProxyProtocol) -> pb::ProxyProtocol {
    match version {
        ProxyProtocol::V1 => pb::ProxyProtocol::V1,
        ProxyProtocol::V2 => pb::ProxyProtocol::V2,
    }
}

fn role(role: BackendRole) -> pb::Role {
    match role {
        BackendRole::Active => pb::Role::Active,
        BackendRole::Standby => pb::Role::Standby,
        BackendRole::Backup => pb::Role::Backup,
    }
}
