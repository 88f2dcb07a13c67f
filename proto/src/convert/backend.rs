//! `pb::Backend` and `model::Backend`.

use super::{at_most, unknown};
use crate::model::pool::MAX_WEIGHT;
use crate::model::{Address, Backend, Invalid, ProxyProtocol, ResourceName};
use crate::pb;

pub(super) fn decode(name: ResourceName, msg: pb::Backend) -> Result<Backend, Invalid> {
    let pb::Backend { pool, address, weight, enabled, labels, from_service, score, proxy_protocol } = msg;
    Ok(Backend {
        pool: name.sibling(&pool).map_err(|e| Invalid::new("pool", e))?,
        address: decode_address(&address, from_service).map_err(|e| Invalid::new("address", e))?,
        weight: at_most("weight", weight, MAX_WEIGHT)?,
        name,
        enabled,
        labels,
        score,
        proxy_protocol: proxy_protocol.map(decode_proxy_protocol).transpose()?,
    })
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
    let Backend { name: _, pool, address, weight, enabled, labels, score, proxy_protocol } = backend;
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
        proxy_protocol: proxy_protocol.map(|version| encode_proxy_protocol(version).into()),
    }
}
