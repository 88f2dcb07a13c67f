//! `pb::Backend` and `model::Backend`.

use super::at_most;
use crate::model::fastcgi::Script;
use crate::model::pool::MAX_WEIGHT;
use crate::model::{Address, Backend, FastCgi, Invalid, Protocol, ResourceName};
use crate::pb;

pub(super) fn decode(name: ResourceName, msg: pb::Backend) -> Result<Backend, Invalid> {
    let pb::Backend { pool, address, weight, enabled, labels, from_service, score, protocol } = msg;
    Ok(Backend {
        pool: name.sibling(&pool).map_err(|e| Invalid::new("pool", e))?,
        address: decode_address(&address, from_service).map_err(|e| Invalid::new("address", e))?,
        weight: at_most("weight", weight, MAX_WEIGHT)?,
        name,
        enabled,
        labels,
        score,
        protocol: protocol.map_or(Ok(Protocol::Http), decode_protocol)?,
    })
}

fn decode_protocol(msg: pb::backend::Protocol) -> Result<Protocol, Invalid> {
    let pb::backend::Protocol::Fastcgi(pb::FastCgi { document_root, index, script_filename }) = msg;
    let fastcgi = FastCgi::new(&document_root, &index, &script_filename).map_err(|e| e.under("fastcgi"))?;
    Ok(Protocol::FastCgi(fastcgi))
}

fn encode_protocol(protocol: &Protocol) -> Option<pb::backend::Protocol> {
    let Protocol::FastCgi(FastCgi { document_root, script }) = protocol else { return None };
    let (index, script_filename) = match script {
        Script::None => (String::new(), String::new()),
        Script::ByPath { index } => (index.clone(), String::new()),
        Script::Fixed(script) => (String::new(), script.clone()),
    };
    let document_root = document_root.clone().unwrap_or_default();
    Some(pb::backend::Protocol::Fastcgi(pb::FastCgi { document_root, index, script_filename }))
}

fn decode_address(text: &str, from_service: bool) -> Result<Address, String> {
    match (from_service, text) {
        (false, text) => Address::parse(text),
        (true, "") => Ok(Address::Service),
        (true, text) => Err(format!("{text:?} is given beside a Service")),
    }
}

pub(super) fn encode(backend: &Backend) -> pb::Backend {
    let Backend { name: _, pool, address, weight, enabled, labels, score, protocol } = backend;
    pb::Backend {
        pool: pool.name().to_owned(),
        address: match address {
            Address::Service => String::new(),
            Address::Fixed(_) | Address::Name(..) => address.to_string(),
        },
        weight: *weight,
        enabled: *enabled,
        labels: labels.clone(),
        from_service: *address == Address::Service,
        score: *score,
        protocol: encode_protocol(protocol),
    }
}
