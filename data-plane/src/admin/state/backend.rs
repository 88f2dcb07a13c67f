//! The state of one endpoint.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering::Relaxed;

use serde::Serialize;

use super::pace::rounded;
use super::{ByReason, Load, by_class, reasons, text};
use crate::pool::status::Status;
use crate::pool::{Endpoint, EndpointId, Member};

/// One endpoint of a Backend.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::admin) struct BackendState {
    pub(in crate::admin) name: String,
    pub(in crate::admin) address: String,
    pub(in crate::admin) state: &'static str,
    pub(in crate::admin) since: String,
    pub(in crate::admin) reason: &'static str,
    enabled: bool,
    pub(in crate::admin) role: &'static str,
    pub(in crate::admin) weight: u32,
    score: i64,
    pub(in crate::admin) capacity: u32,
    labels: BTreeMap<String, String>,
    /// Failures that add up so far.
    fails: u32,
    last_failure: Option<LastFailure>,
    pub(in crate::admin) connections: u64,
    pub(in crate::admin) in_flight: Load,
    /// Its responses, by class.
    pub(in crate::admin) responses: BTreeMap<&'static str, u64>,
    /// Failures ever.
    pub(in crate::admin) failed: ByReason,
    /// How often it went down.
    pub(in crate::admin) downs: u64,
    /// In the last ten seconds.
    pub(in crate::admin) requests_per_second: f64,
    #[serde(skip)]
    pub(in crate::admin) seconds_since: i64,
    #[serde(skip)]
    pub(in crate::admin) bytes: (u64, u64),
}

#[derive(Debug, Serialize)]
struct LastFailure {
    time: String,
    reason: &'static str,
}

impl BackendState {
    /// Reads an endpoint; `rates` are the requests per second of those that had any.
    pub(super) fn read(member: &Member, rates: &HashMap<EndpointId, f64>) -> Self {
        let Member { origin, endpoint } = member;
        let (backend, status) = (&origin.backend, member.status());
        let Endpoint { address, in_flight, shards, .. } = &**endpoint;
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
            responses: by_class((0..5).map(|class| shards.sum(|shard| shard.responses[class].get()))),
            failed: reasons(|reason| endpoint.fails[reason].load(Relaxed)),
            downs: endpoint.transitions.down.load(Relaxed),
            requests_per_second: rounded(rates.get(&endpoint.id).copied().unwrap_or_default()),
            seconds_since: since.duration_until(jiff::Timestamp::now()).as_secs().max(0),
            bytes: (shards.sum(|s| s.bytes_upstream.get()), shards.sum(|s| s.bytes_downstream.get())),
        }
    }
}
