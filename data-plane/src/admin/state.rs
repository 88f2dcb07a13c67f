//! The state of pools and their endpoints, as JSON (T2).

mod backend;
pub(super) mod pace;
mod plugin;
mod routes;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use weir_proto::model::units::format_duration;

use super::query::Selection;
use crate::pool::admission::Slots;
use crate::pool::runtime::PoolShard;
use crate::pool::totals::Totals;
use crate::pool::{Pool, PoolRuntime};
use crate::reason::Reason;
use crate::stats::recent::PoolPace;
use crate::stats::{Counter, Gauge, Recent};
use crate::table::Table;

pub(super) use backend::BackendState;
use pace::{HistoryState, PaceState};
use plugin::{PluginState, plugins};
use routes::{RouteState, Routes};

/// Classes of statuses, 1xx to 5xx.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Pools, by name.
#[derive(Debug, Serialize)]
pub(super) struct PoolsState {
    /// How many there are of those asked for; only some may be shown.
    total: usize,
    pub(super) pools: Vec<PoolState>,
}

/// One pool.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PoolState {
    pub(super) name: String,
    pub(super) enabled: bool,
    pub(super) protocol: &'static str,
    pub(super) method: &'static str,
    /// When endpoints are probed, if they are.
    health_mode: Option<&'static str>,
    priority: i32,
    weight: u32,
    /// An endpoint could be chosen now.
    pub(super) up: bool,
    /// Too few endpoints are up: health is ignored.
    panic: bool,
    /// The rules that lead here, with the pools that back each other up there.
    routes: Vec<RouteState>,
    plugins: Vec<PluginState>,
    /// Plugins that are not there: the pool does not serve without them.
    missing_plugins: Vec<String>,
    pub(super) in_flight: Load,
    /// Requests that wait, and how many had to.
    pub(super) queued: Queued,
    pub(super) dropped: Dropped,
    pub(super) retries: u64,
    /// Responses, whoever made them.
    pub(super) responses: BTreeMap<&'static str, u64>,
    /// In the last ten seconds.
    pub(super) pace: PaceState,
    /// In the last five minutes.
    history: HistoryState,
    pub(super) backends: Vec<BackendState>,
}

/// Requests: now, at most, and ever.
#[derive(Debug, Serialize)]
pub(super) struct Load {
    pub(super) current: u64,
    pub(super) max: u64,
    pub(super) total: u64,
}

/// Who waits, and how many may, for how long.
#[derive(Debug, Serialize)]
pub(super) struct Queued {
    #[serde(flatten)]
    pub(super) load: Load,
    pub(super) limit: u32,
    timeout: String,
}

/// 503 and 504 made here.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Dropped {
    pub(super) total: u64,
    by_reason: ByReason,
}

/// Counts, by short reason.
type ByReason = BTreeMap<&'static str, u64>;

impl PoolsState {
    /// Reads the pools of `table` that are asked for.
    pub(super) fn read(table: &Table, recent: &Recent, wanted: &Selection) -> Self {
        let found: Vec<_> = table.pools.iter().filter(|pool| wanted.has(pool)).collect();
        let page: Vec<_> = wanted.page(&found).collect();
        let routes = Routes::of(table, page.iter().map(|pool| &pool.config.name));
        let pools = page.into_iter().map(|pool| PoolState::read(pool, recent, &routes)).collect();
        Self { total: found.len(), pools }
    }
}

impl PoolState {
    /// Reads one pool of `table`.
    pub(super) fn of(pool: &Pool, table: &Table, recent: &Recent) -> Self {
        Self::read(pool, recent, &Routes::of(table, [&pool.config.name]))
    }

    fn read(pool: &Pool, recent: &Recent, routes: &Routes) -> Self {
        let Pool { config, runtime, .. } = pool;
        let (view, recent) = (runtime.view.load(), recent.pool(&runtime.name).unwrap_or_default());
        let PoolPace { pace, history, endpoints } = &recent;
        let members = runtime.members();
        Self {
            name: runtime.name.to_string(),
            enabled: config.enabled,
            protocol: config.protocol.as_str(),
            method: config.balance.as_str(),
            health_mode: config.health.active.as_ref().map(|active| active.mode.as_str()),
            priority: config.priority,
            weight: config.weight,
            up: !view.tiers.is_empty(),
            panic: view.panic,
            routes: routes.to(&runtime.name),
            plugins: plugins(pool.plugins.as_deref()),
            missing_plugins: pool.plugins.iter().flat_map(|chain| chain.missing()).cloned().collect(),
            in_flight: Load::read(&runtime.in_flight, runtime.requests()),
            queued: Queued::read(pool),
            dropped: Dropped::read(pool),
            retries: by_reason(pool, |shard| &shard.retries).values().sum(),
            responses: responses(runtime),
            pace: pace.into(),
            history: history.into(),
            backends: members.iter().map(|member| BackendState::read(member, endpoints)).collect(),
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
}

impl Queued {
    fn read(pool: &Pool) -> Self {
        let (runtime, queue) = (&pool.runtime, &pool.config.queue);
        let (current, max) = runtime.gate.length();
        let total = runtime.shards.sum(|shard| shard.queued.get());
        let load = Load { current: current as u64, max: max as u64, total };
        Self { load, limit: queue.limit, timeout: format_duration(queue.timeout) }
    }
}

impl Dropped {
    fn read(pool: &Pool) -> Self {
        let by_reason = by_reason(pool, |shard| &shard.dropped);
        Self { total: by_reason.values().sum(), by_reason }
    }
}

/// Responses of a pool by class, of its endpoints that are gone, too.
fn responses(runtime: &PoolRuntime) -> BTreeMap<&'static str, u64> {
    let mut totals = runtime.past().into_values().fold(Totals::default(), Totals::and);
    runtime.members().iter().for_each(|member| totals.add(&member.endpoint));
    let local = |class: usize| runtime.shards.sum(|shard| shard.local_responses[class].get());
    by_class(totals.responses.iter().enumerate().map(|(class, count)| count + local(class)))
}

/// The classes that occurred.
fn by_class(counts: impl Iterator<Item = u64>) -> BTreeMap<&'static str, u64> {
    CLASSES.into_iter().zip(counts).filter(|(_, count)| *count > 0).collect()
}

/// The reasons that counted, summed over workers.
fn by_reason(pool: &Pool, counters: impl Fn(&PoolShard) -> &[Counter; Reason::ALL.len()]) -> ByReason {
    reasons(|reason| pool.runtime.shards.sum(|shard| counters(shard)[reason].get()))
}

/// The reasons whose counts, by their numbers, are not zero.
pub(super) fn reasons(count: impl Fn(usize) -> u64) -> ByReason {
    let counts = Reason::ALL.into_iter().map(|reason| (reason.as_str(), count(reason as usize)));
    counts.filter(|(_, count)| *count > 0).collect()
}

/// A moment, to the millisecond.
pub(super) fn text(time: Timestamp) -> String {
    format!("{time:.3}")
}
