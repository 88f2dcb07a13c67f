//! The proxy as a whole, as JSON.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::Sources;
use super::state::pace::{HistoryState, PaceState};
use super::state::{reasons, text};
use crate::health::Noted;
use crate::pool::Pool;
use crate::stats::ProcessStats;
use crate::table::Table;

/// What this process is, and how it goes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Overview {
    /// Its name at the control plane.
    node: String,
    version: &'static str,
    /// When it began.
    since: String,
    now: String,
    /// What is missing to be ready; empty = it is.
    missing: Vec<&'static str>,
    control_plane: ControlPlane,
    listeners: Vec<ListenerState>,
    pools: Share,
    endpoints: Share,
    in_flight: u64,
    queued: u64,
    /// 503 and 504 made here, and what no rule takes, by reason.
    dropped: BTreeMap<&'static str, u64>,
    /// In the last ten seconds.
    pace: PaceState,
    /// In the last five minutes.
    history: HistoryState,
    /// Endpoints that came up or went down, newest first.
    events: Vec<EventState>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ControlPlane {
    connected: bool,
    /// Of the live table; empty if it came from the cache.
    table_version: String,
    /// Since the live table is so.
    table_age_seconds: Option<u64>,
}

#[derive(Debug, Serialize)]
struct ListenerState {
    name: String,
    connections: u32,
}

/// How many of how many are up; what is disabled does not count.
#[derive(Debug, Default, Serialize)]
struct Share {
    total: usize,
    up: usize,
}

#[derive(Debug, Serialize)]
struct EventState {
    time: String,
    pool: String,
    backend: String,
    address: String,
    up: bool,
    reason: &'static str,
}

impl Overview {
    /// As it is now.
    pub(super) fn read(sources: &Sources) -> Self {
        let Sources { table, stats, readiness, recent, transitions, about, .. } = sources;
        let (table, (pace, history)) = (table.load_full(), recent.all());
        let (pools, endpoints) = shares(&table);
        let runtimes = || table.pools.iter().map(|pool| &pool.runtime);
        Self {
            node: about.node_id.clone(),
            version: env!("CARGO_PKG_VERSION"),
            since: text(about.since),
            now: text(Timestamp::now()),
            missing: readiness.missing(),
            control_plane: ControlPlane::read(stats),
            listeners: stats
                .listeners
                .iter()
                .map(|l| ListenerState { name: l.name.clone(), connections: l.connections.current() })
                .collect(),
            pools,
            endpoints,
            in_flight: runtimes().map(|runtime| u64::from(runtime.in_flight.current())).sum(),
            queued: runtimes().map(|runtime| runtime.gate.length().0 as u64).sum(),
            dropped: dropped(&table, stats),
            pace: (&pace).into(),
            history: (&history).into(),
            events: transitions.newest().iter().map(EventState::from).collect(),
        }
    }
}

impl ControlPlane {
    fn read(stats: &ProcessStats) -> Self {
        let discovery = &stats.discovery;
        let table = discovery.table.lock().clone();
        Self {
            connected: discovery.connected.load(std::sync::atomic::Ordering::Relaxed),
            table_age_seconds: table.as_ref().map(|table| table.since.elapsed().as_secs()),
            table_version: table.map(|table| table.version).unwrap_or_default(),
        }
    }
}

impl From<&Noted> for EventState {
    fn from(noted: &Noted) -> Self {
        let Noted { time, pool, backend, address, up, reason } = noted;
        Self {
            time: text(*time),
            pool: pool.to_string(),
            backend: backend.name().to_owned(),
            address: address.to_string(),
            up: *up,
            reason,
        }
    }
}

/// Of the pools, and of their endpoints.
fn shares(table: &Table) -> (Share, Share) {
    let (mut pools, mut endpoints) = (Share::default(), Share::default());
    for Pool { runtime, .. } in table.pools.iter().map(|pool| &**pool).filter(|pool| pool.config.enabled) {
        pools.total += 1;
        pools.up += usize::from(!runtime.view.load().tiers.is_empty());
        runtime.with_members(|active, _| {
            let enabled = || active.iter().filter(|member| member.origin.backend.enabled);
            endpoints.total += enabled().count();
            endpoints.up += enabled().filter(|member| member.is_up()).count();
        });
    }
    (pools, endpoints)
}

fn dropped(table: &Table, stats: &ProcessStats) -> BTreeMap<&'static str, u64> {
    let of_pools = |reason: usize| {
        let count = |pool: &Pool| pool.runtime.shards.sum(|shard| shard.dropped[reason].get());
        table.pools.iter().map(|pool| count(pool)).sum::<u64>()
    };
    reasons(|reason| of_pools(reason) + stats.unrouted.sum(|shard| shard.reasons[reason].get()))
}
