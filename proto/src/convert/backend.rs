//! `pb::Backend` and `model::Backend`.

use super::{at_most, backend_tls, unknown};
use crate::model::backend::MAX_CAPACITY;
use crate::model::fastcgi::Script;
use crate::model::pool::MAX_WEIGHT;
use crate::model::{Address, Backend, FastCgi, Invalid, Protocol, ProxyProtocol, ResourceName, Role};
use crate::pb;

pub(super) fn decode(name: ResourceName, msg: pb::Backend) -> Result<Backend, Invalid> {
    let pb::Backend {
        pool,
        address,
        weight,
        enabled,
        labels,
        from_service,
        score,
        role,
        capacity,
        protocol,
        proxy_protocol,
        tls,
    } = msg;
    let backend = Backend {
        pool: name.sibling(&pool).map_err(|e| Invalid::new("pool", e))?,
        address: decode_address(&address, from_service).map_err(|e| Invalid::new("address", e))?,
        weight: at_most("weight", weight, MAX_WEIGHT)?,
        name,
        enabled,
        labels,
        score,
        role: decode_role(role)?,
        capacity: at_most("capacity", capacity, MAX_CAPACITY)?,
        protocol: protocol.map_or(Ok(Protocol::Http), decode_protocol)?,
        proxy_protocol: proxy_protocol.map(decode_proxy_protocol).transpose()?,
        tls: tls.map(backend_tls::decode).transpose().map_err(|e| e.under("tls"))?,
    };
    match backend {
        Backend { protocol: Protocol::FastCgi(_), tls: Some(_), .. } => {
            Err(Invalid::new("tls", "does not go with protocol FastCGI"))
        }
        backend => Ok(backend),
    }
}

fn decode_role(number: i32) -> Result<Role, Invalid> {
    match pb::Role::try_from(number) {
        // Unspecified by who knows no roles yet.
        Ok(pb::Role::Active | pb::Role::Unspecified) => Ok(Role::Active),
        Ok(pb::Role::Standby) => Ok(Role::Standby),
        Ok(pb::Role::Backup) => Ok(Role::Backup),
        Err(_) => Err(unknown("role", number)),
    }
}

fn encode_role(role: Role) -> pb::Role {
    match role {
        Role::Active => pb::Role::Active,
        Role::Standby => pb::Role::Standby,
        Role::Backup => pb::Role::Backup,
    }
}

fn decode_protocol(msg: pb::backend::Protocol) -> Result<Protocol, Invalid> {
    let pb::FastCgi { document_root, index, script_filename } = match msg {
        pb::backend::Protocol::Http2(pb::Http2 {}) => return Ok(Protocol::Http2),
        pb::backend::Protocol::Fastcgi(msg) => msg,
    };
    let fastcgi = FastCgi::new(&document_root, &index, &script_filename).map_err(|e| e.under("fastcgi"))?;
    Ok(Protocol::FastCgi(fastcgi))
}

fn encode_protocol(protocol: &Protocol) -> Option<pb::backend::Protocol> {
    let FastCgi { document_root, script } = match protocol {
        Protocol::Http => return None,
        Protocol::Http2 => return Some(pb::backend::Protocol::Http2(pb::Http2 {})),
        Protocol::FastCgi(fastcgi) => fastcgi,
    };
    let (index, script_filename) = match script {
        Script::None => (String::new(), String::new()),
        Script::ByPath { index } => (index.clone(), String::new()),
        Script::Fixed(script) => (String::new(), script.clone()),
    };
    let document_root = document_root.clone().unwrap_or_default();
    Some(pb::backend::Protocol::Fastcgi(pb::FastCgi { document_root, index, script_filename }))
}

fn decode_proxy_protocol(number: i32) -> Result<ProxyProtocol, Invalid> {
    match pb::ProxyProtocol::try_from(number) {
        Ok(pb::ProxyProtocol::V1) => Ok(ProxyProtocol::V1),
        Ok(pb::ProxyProtocol::V2) => Ok(ProxyProtocol::V2),
        Ok(pb::ProxyProtocol::Unspecified) | Err(_) => Err(unknown("proxyProtocol", number)),
    }
}

fn encode_proxy_protocol(version: ProxyProtocol) -> pb::ProxyProtocol {
    match version {
        ProxyProtocol::V1 => pb::ProxyProtocol::V1,
        ProxyProtocol::V2 => pb::ProxyProtocol::V2,
    }
}

fn decode_address(text: &str, from_service: bool) -> Result<Address, String> {
    match (from_service, text) {
        (false, text) => Address::parse(text),
        (true, "") => Ok(Address::Service),
        (true, text) => Err(format!("{text:?} is given beside a Service")),
    }
}

pub(super) fn encode(backend: &Backend) -> pb::Backend {
    let Backend {
        name: _,
        pool,
        address,
        weight,
        enabled,
        labels,
        score,
        role,
        capacity,
        protocol,
        proxy_protocol,
        tls,
    } = backend;
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
        role: encode_role(*role).into(),
        capacity: *capacity,
        protocol: encode_protocol(protocol),
        proxy_protocol: proxy_protocol.map(|version| encode_proxy_protocol(version).into()),
        tls: tls.as_ref().map(backend_tls::encode),
    }
}
