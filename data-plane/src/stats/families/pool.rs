//! Series of one pool.

use weir_proto::model::PoolProtocol;

use crate::http::mirror::NotMirrored;
use crate::pool::runtime::PoolShard;
use crate::pool::totals::Totals;
use crate::pool::{Member, Pool, PoolRuntime};
use crate::reason::Reason;
use crate::stats::{Counter, Histogram};

use super::sheet::{Metric, Sheet};

/// Class of a status, by its first digit less one.
pub(super) const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Writes down everything of `pool`.
pub(super) fn collect(pool: &Pool, sheet: &mut Sheet) {
    let runtime = &pool.runtime;
    let name = runtime.name.to_string();
    durations(runtime, &name, sheet);
    reasons(runtime, &name, sheet);
    queue(runtime, &name, sheet);
    mirrors(runtime, &name, sheet);
    let view = runtime.view.load();
    sheet.gauge(Metric::PoolPanic, &[&name], f64::from(u8::from(view.panic)));
    if pool.config.enabled {
        sheet.gauge(Metric::PoolEndpointsUp, &[&name], view.up as f64);
    }
    let past = runtime.past();
    let mut members = runtime.members();
    members.sort_by(|a, b| a.endpoint.backend.cmp(&b.endpoint.backend));
    for members in members.chunk_by(|a, b| a.endpoint.backend == b.endpoint.backend) {
        let past = past.get(&members[0].endpoint.backend);
        let totals = totals(members, past);
        backend(&name, members, &totals, sheet);
        if pool.config.protocol == PoolProtocol::Tcp {
            tcp(&name, members[0].endpoint.backend.name(), &totals, sheet);
        }
    }
}

fn queue(runtime: &PoolRuntime, name: &str, sheet: &mut Sheet) {
    let (current, longest) = runtime.gate.length();
    sheet.gauge(Metric::QueueDepth, &[name], current as f64);
    sheet.gauge(Metric::QueueDepthMax, &[name], longest as f64);
    sheet.count_if_any(Metric::Queued, &[name], runtime.shards.sum(|shard| shard.queued.get()));
}

fn durations(runtime: &PoolRuntime, name: &str, sheet: &mut Sheet) {
    let of = |histogram: fn(&PoolShard) -> &Histogram| Histogram::summarise(runtime.shards.iter().map(histogram));
    sheet.histogram_if_any(Metric::RequestDuration, &[name], &of(|shard| &shard.request_duration));
    sheet.histogram_if_any(Metric::UpstreamDuration, &[name], &of(|shard| &shard.upstream_duration));
    sheet.histogram_if_any(Metric::QueueWait, &[name], &of(|shard| &shard.queue_wait));
}

fn reasons(runtime: &PoolRuntime, name: &str, sheet: &mut Sheet) {
    let sum = |counter: &dyn Fn(&PoolShard) -> &Counter| runtime.shards.sum(|shard| counter(shard).get());
    for (class, code) in CLASSES.iter().enumerate() {
        sheet.count_if_any(Metric::Requests, &["", code, name], sum(&|shard| &shard.local_responses[class]));
    }
    for reason in Reason::ALL {
        let index = reason as usize;
        sheet.count_if_any(Metric::Dropped, &[name, reason.as_str()], sum(&|shard| &shard.dropped[index]));
        sheet.count_if_any(Metric::Retries, &[name, reason.as_str()], sum(&|shard| &shard.retries[index]));
    }
}

fn mirrors(runtime: &PoolRuntime, name: &str, sheet: &mut Sheet) {
    sheet.count_if_any(Metric::Mirrored, &[name], runtime.shards.sum(|shard| shard.mirrored.get()));
    for reason in NotMirrored::ALL {
        let count = runtime.shards.sum(|shard| shard.not_mirrored[reason as usize].get());
        sheet.count_if_any(Metric::MirrorDropped, &[name, reason.as_str()], count);
    }
}

/// What a Backend counted, those of its endpoints included that are gone.
fn totals(members: &[Member], past: Option<&Totals>) -> Totals {
    let mut totals = past.cloned().unwrap_or_default();
    members.iter().for_each(|member| totals.add(&member.endpoint));
    totals
}

/// Series of one Backend of a pool of TCP.
fn tcp(pool: &str, backend: &str, totals: &Totals, sheet: &mut Sheet) {
    sheet.count_if_any(Metric::TcpConnections, &[backend, pool], totals.connects);
    sheet.count_if_any(Metric::TcpBytes, &[backend, "downstream", pool], totals.bytes_downstream);
    sheet.count_if_any(Metric::TcpBytes, &[backend, "upstream", pool], totals.bytes_upstream);
}

/// Series of one Backend, whatever the number of its endpoints.
fn backend(pool: &str, members: &[Member], totals: &Totals, sheet: &mut Sheet) {
    let name = members[0].endpoint.backend.name();
    let active: u32 = members.iter().map(|member| member.endpoint.in_flight.current()).sum();
    let most = members.iter().map(|member| member.endpoint.in_flight.max()).max().unwrap_or_default();
    let up = members.iter().filter(|member| member.status().state.is_up()).count();
    sheet.gauge(Metric::RequestsActive, &[name, pool], f64::from(active));
    sheet.gauge(Metric::RequestsActiveMax, &[name, pool], f64::from(most));
    sheet.gauge(Metric::BackendUp, &[name, pool], up as f64);
    for (code, count) in CLASSES.iter().zip(totals.responses) {
        sheet.count_if_any(Metric::Requests, &[name, code, pool], count);
    }
    for (reason, count) in Reason::ALL.iter().zip(totals.fails) {
        sheet.count_if_any(Metric::BackendFails, &[name, pool, reason.as_str()], count);
    }
    sheet.count_if_any(Metric::HealthTransitions, &[name, pool, "up"], totals.up);
    sheet.count_if_any(Metric::HealthTransitions, &[name, pool, "down"], totals.down);
}
