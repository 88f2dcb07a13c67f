//! Several proxies as one: counts are added up, latencies are the slowest proxy's, an endpoint is as bad as anywhere.

use std::collections::BTreeMap;

use super::figures::{Backend, Dropped, Latency, Load, Overview, Pace, Pool, Share};

impl Overview {
    pub(super) fn and(self, other: Self) -> Self {
        let missing = other.missing.into_iter().filter(|missing| !self.missing.contains(missing)).collect::<Vec<_>>();
        Self {
            node: format!("{}, {}", self.node, other.node),
            now: self.now.max(other.now),
            missing: self.missing.into_iter().chain(missing).collect(),
            pools: self.pools.and(other.pools),
            endpoints: self.endpoints.and(other.endpoints),
            in_flight: self.in_flight + other.in_flight,
            queued: self.queued + other.queued,
            pace: self.pace.and(other.pace),
        }
    }
}

impl Share {
    fn and(self, other: Self) -> Self {
        Self { total: self.total.max(other.total), up: self.up.min(other.up) }
    }
}

impl Pace {
    fn and(self, other: Self) -> Self {
        Self {
            requests_per_second: self.requests_per_second + other.requests_per_second,
            errors_per_second: self.errors_per_second + other.errors_per_second,
            latency: match (self.latency, other.latency) {
                (Some(one), Some(another)) => Some(one.and(another)),
                (one, another) => one.or(another),
            },
        }
    }
}

impl Latency {
    fn and(self, other: Self) -> Self {
        Self { p50: self.p50.max(other.p50), p99: self.p99.max(other.p99) }
    }
}

impl Load {
    fn and(self, other: Self) -> Self {
        Self { current: self.current + other.current }
    }
}

impl Pool {
    fn and(self, other: Self) -> Self {
        Self {
            up: self.up && other.up,
            panic: self.panic || other.panic,
            in_flight: self.in_flight.and(other.in_flight),
            queued: self.queued.and(other.queued),
            dropped: Dropped { total: self.dropped.total + other.dropped.total },
            pace: self.pace.and(other.pace),
            backends: backends(self.backends.into_iter().chain(other.backends)),
            ..self
        }
    }
}

impl Backend {
    fn and(self, other: Self) -> Self {
        let in_flight = self.in_flight.and(other.in_flight);
        let requests_per_second = self.requests_per_second + other.requests_per_second;
        let mut failed = self.failed.clone();
        other.failed.iter().for_each(|(reason, count)| *failed.entry(reason.clone()).or_default() += count);
        let worse = if other.state > self.state { other } else { self };
        Self { in_flight, requests_per_second, failed, ..worse }
    }
}

/// Pools of several proxies, each once, by name.
pub(super) fn pools(all: impl IntoIterator<Item = Pool>) -> Vec<Pool> {
    unite(all, |pool| pool.name.clone(), Pool::and)
}

fn backends(all: impl IntoIterator<Item = Backend>) -> Vec<Backend> {
    unite(all, |backend| (backend.name.clone(), backend.address.clone()), Backend::and)
}

fn unite<T, K: Ord>(all: impl IntoIterator<Item = T>, key: impl Fn(&T) -> K, and: impl Fn(T, T) -> T) -> Vec<T> {
    let mut by_key = BTreeMap::new();
    for one in all {
        let key = key(&one);
        let united = match by_key.remove(&key) {
            Some(before) => and(before, one),
            None => one,
        };
        by_key.insert(key, united);
    }
    by_key.into_values().collect()
}
