//! Backends.

use weir_proto::model::{Invalid, Key};
use weir_proto::pb;
use weir_proto::pb::resource::Body;

use super::checked;
use crate::api::{BackendSpec, FastCgiSpec, Protocol};

/// The message of a Backend.
///
/// # Errors
/// Names the field that is wrong.
pub fn backend(key: &Key, spec: &BackendSpec) -> Result<Body, Invalid> {
    let BackendSpec { pool, address, service, weight, score, enabled, labels, protocol, fastcgi } = spec.clone();
    let address = address.unwrap_or_default();
    let from_service = service.is_some();
    let protocol = self::protocol(protocol, fastcgi);
    checked(key, Body::Backend(pb::Backend { pool, address, weight, enabled, labels, from_service, score, protocol }))
}

/// The schema has no `fastcgi` beside another protocol.
fn protocol(protocol: Protocol, fastcgi: Option<FastCgiSpec>) -> Option<pb::backend::Protocol> {
    match protocol {
        Protocol::Http => None,
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
