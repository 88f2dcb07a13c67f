//! `pb::Backend` and `model::Backend`.

use super::at_most;
use crate::model::pool::MAX_WEIGHT;
use crate::model::{Address, Backend, Invalid, ResourceName};
use crate::pb;

pub(super) fn decode(name: ResourceName, msg: pb::Backend) -> Result<Backend, Invalid> {
    let pb::Backend { pool, address, weight, enabled, labels } = msg;
    Ok(Backend {
        pool: name.sibling(&pool).map_err(|e| Invalid::new("pool", e))?,
        address: Address::parse(&address).map_err(|e| Invalid::new("address", e))?,
        weight: at_most("weight", weight, MAX_WEIGHT)?,
        name,
        enabled,
        labels,
    })
}

pub(super) fn encode(backend: &Backend) -> pb::Backend {
    let Backend { name: _, pool, address, weight, enabled, labels } = backend;
    pb::Backend {
        pool: pool.name().to_owned(),
        address: address.to_string(),
        weight: *weight,
        enabled: *enabled,
        labels: labels.clone(),
    }
}
