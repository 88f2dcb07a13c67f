//! The state of pools and their endpoints, as JSON (T2).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::pool::admission::Slots;
use crate::pool::runtime::PoolShard;
use crate::pool::status::Status;
use crate::pool::{Endpoint, Member, Pool, PoolRuntime};
use crate::reason::Reason;
use crate::stats::{Counter, Gauge};
use crate::table::Table;

/// Every pool, by name.
#[derive(Debug, Serialize)]
pub(super) struct PoolsState {
    pools: Vec<PoolState>,
}

/// One pool.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PoolState {
    name: String,
    enabled: bool,
    protocol: &'static str,
    method: &'static str,
    /// When endpoints are probed, if they are.
    health_mode: Option<&'static str>,
    priority: i32,
    /// An endpoint could be chosen now.
    up: bool,
    in_flight: Load,
    /// Requests that wait, and how many had to.
    queued: Load,
    dropped: Dropped,
    retries: u64,
    backends: Vec<BackendState>,
}

/// Requests: now, at most, and ever.
#[derive(Debug, Serialize)]
struct Load {
    current: u64,
    max: u64,
    total: u64,
}

/// 503 and 504 made here.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Dropped {
    total: u64,
    by_reason: BTreeMap<&'static str, u64>,
}

/// One endpoint of a Backend.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct BackendState {
    name: String,
    address: String,
    state: &'static str,
    since: String,
    reason: &'static str,
    enabled: bool,
    role: &'static str,
    weight: u32,
    score: i64,
    capacity: u32,
    labels: BTreeMap<String, String>,
    fails: u32,
    last_failure: Option<LastFailure>,
    connections: u64,
    in_flight: Load,
}

#[derive(Debug, Serialize)]
struct LastFailure {
    time: String,
    reason: &'static str,
}

impl PoolsState {
    /// Reads every pool of `table`.
    pub(super) fn read(table: &Table) -> Self {
        Self { pools: table.pools.iter().map(|pool| PoolState::read(pool)).collect() }
    }
}

impl PoolState {
    /// Reads one pool.
    pub(super) fn read(pool: &Pool) -> Self {
        let Pool { config, runtime, .. } = pool;
        Self {
            name: runtime.name.to_string(),
            enabled: config.enabled,
            protocol: config.protocol.as_str(),
            method: config.balance.as_str(),
            health_mode: config.health.active.as_ref().map(|active| active.mode.as_str()),
            priority: config.priority,
            up: !runtime.view.load().tiers.is_empty(),
            in_flight: Load::read(&runtime.in_flight, runtime.requests()),
            queued: Load::of_queue(runtime),
            dropped: Dropped::read(pool),
            retries: by_reason(pool, |shard| &shard.retries).values().sum(),
            backends: runtime.members().iter().map(BackendState::read).collect(),
        }
    }
}

impl Load {
    fn read(gauge: &Gauge, total: u64) -> Self {
        Self { current: gauge.current().into(), max: gauge.max().into(), total }
    }

    fn of_slots(slots: &Slots, total: u64) -> Self {
        Self { current: slots.current().into(), max: slots.max().into(), total }
    }

    fn of_queue(runtime: &PoolRuntime) -> Self {
        let (current, max) = runtime.gate.length();
        Self { current: current as u64, max: max as u64, total: runtime.shards.sum(|shard| shard.queued.get()) }
    }
}

impl Dropped {
    fn read(pool: &Pool) -> Self {
        let by_reason = by_reason(pool, |shard| &shard.dropped);
        Self { total: by_reason.values().sum(), by_reason }
    }
}

impl BackendState {
    fn read(member: &Member) -> Self {
        let Member { origin, endpoint } = member;
        let (backend, status) = (&origin.backend, member.status());
        let Endpoint { address, in_flight, .. } = &**endpoint;
        let Status { state, since, fails, last_failure, left: _ } = status;
        Self {
            name: backend.name.name().to_owned(),
            address: address.to_string(),
            reason: status.reason(),
            state: state.as_str(),
            since: text(since),
            enabled: backend.enabled,
            role: backend.role.as_str(),
            weight: backend.weight,
            score: backend.score,
            capacity: backend.capacity,
            labels: origin.labels(),
            fails,
            last_failure: last_failure.map(|(time, reason)| LastFailure { time: text(time), reason: reason.as_str() }),
            connections: endpoint.connections(),
            in_flight: Load::of_slots(in_flight, endpoint.requests()),
        }
    }
}

type ByReason = [Counter; Reason::ALL.len()];

/// The reasons that counted, summed over workers.
fn by_reason(pool: &Pool, counters: impl Fn(&PoolShard) -> &ByReason) -> BTreeMap<&'static str, u64> {
    let sum = |reason: Reason| pool.runtime.shards.sum(|shard| counters(shard)[reason as usize].get());
    let counts = Reason::ALL.into_iter().map(|reason| (reason.as_str(), sum(reason)));
    counts.filter(|(_, count)| *count > 0).collect()
}

fn text(time: Timestamp) -> String {
    format!("{time:.3}")
}
