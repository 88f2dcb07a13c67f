//! `pb::Endpoints` and `model::Endpoints`.

use std::net::SocketAddr;

use super::list;
use crate::model::endpoints::MAX_ENDPOINTS;
use crate::model::{Endpoints, Invalid, ResourceName, ServiceEndpoint};
use crate::pb;

pub(super) fn decode(name: ResourceName, msg: pb::Endpoints) -> Result<Endpoints, Invalid> {
    let pb::Endpoints { endpoints } = msg;
    if endpoints.len() > MAX_ENDPOINTS {
        let reason = format!("{} endpoints are more than {MAX_ENDPOINTS}", endpoints.len());
        return Err(Invalid::new("endpoints", reason));
    }
    let mut endpoints = list("endpoints", endpoints, decode_one)?;
    endpoints.sort_by_key(|endpoint| endpoint.address);
    match endpoints.windows(2).find(|pair| pair[0].address == pair[1].address) {
        Some(twins) => Err(Invalid::new("endpoints", format!("{} is there twice", twins[0].address))),
        None => Ok(Endpoints { name, endpoints }),
    }
}

fn decode_one(msg: pb::ServiceEndpoint) -> Result<ServiceEndpoint, Invalid> {
    let pb::ServiceEndpoint { address, terminating, labels } = msg;
    let address = decode_address(&address).map_err(|e| Invalid::new("address", e))?;
    Ok(ServiceEndpoint { address, terminating, labels })
}

fn decode_address(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| format!("{text:?} is no IP:port"))?;
    if address.port() == 0 || address.ip().is_unspecified() || address.ip().is_multicast() {
        return Err(format!("{text:?} is nowhere to connect to"));
    }
    Ok(address)
}

pub(super) fn encode(endpoints: &Endpoints) -> pb::Endpoints {
    let Endpoints { name: _, endpoints } = endpoints;
    pb::Endpoints { endpoints: endpoints.iter().map(encode_one).collect() }
}

fn encode_one(endpoint: &ServiceEndpoint) -> pb::ServiceEndpoint {
    let ServiceEndpoint { address, terminating, labels } = endpoint;
    pb::ServiceEndpoint { address: address.to_string(), terminating: *terminating, labels: labels.clone() }
}
