//! One time-out ends what another one is meant to bound, so that the second never takes effect.

use std::time::Duration;

use weir_proto::model::units::format_duration;
use weir_proto::model::{Pool, Queue, Timeouts};

use super::{Hit, Lint, Resources};

pub(super) const LINT: Lint = Lint {
    id: "contradicting-timeouts",
    about: "a time-out never takes effect, as a shorter one ends what it bounds",
    look,
};

/// A time with its field, and whether somebody chose it: defaults contradict nobody.
struct Time {
    field: &'static str,
    time: Duration,
    is_chosen: bool,
}

impl Time {
    fn new(field: &'static str, time: Duration, default: Duration) -> Self {
        Self { field, time, is_chosen: time != default }
    }

    fn is_set(&self) -> bool {
        !self.time.is_zero()
    }
}

fn look(resources: &Resources) -> Vec<Hit> {
    resources.pools().flat_map(of_pool).collect()
}

fn of_pool(pool: &Pool) -> Vec<Hit> {
    let defaults = Timeouts::default();
    let request = Time::new("timeouts.request", pool.timeouts.request, defaults.request);
    let per_try = Time::new("retry.perTry", pool.retry.per_try, Duration::ZERO);
    let within_request = [
        Time::new("timeouts.connect", pool.timeouts.connect, defaults.connect),
        Time::new("timeouts.read", pool.timeouts.read, defaults.read),
        Time::new("retry.perTry", pool.retry.per_try, Duration::ZERO),
        Time::new("queue.timeout", pool.queue.timeout, Queue::default().timeout),
    ];
    let mut hits: Vec<Hit> = within_request.iter().filter_map(|time| never(pool, time, &request)).collect();
    let read = Time::new("timeouts.read", pool.timeouts.read, defaults.read);
    hits.extend(never(pool, &read, &per_try));
    hits
}

/// Whether `outer` always ends first.
fn never(pool: &Pool, time: &Time, outer: &Time) -> Option<Hit> {
    let is_in_vain = time.is_chosen && time.is_set() && outer.is_set() && time.time >= outer.time;
    let (own, other) = (format_duration(time.time), format_duration(outer.time));
    let message = || format!("{own} never takes effect: {} ends the wait after {other}", outer.field);
    is_in_vain.then(|| Hit::pool(&pool.name, format!("spec.{}", time.field), message()))
}

#[cfg(test)]
mod tests {
    use super::super::tests::of_pool as found;
    use super::*;

    #[test]
    fn a_time_that_another_one_cuts_off_is_found() {
        for (spec, field) in [
            ("timeouts: {connect: 5s, request: 3s}", "timeouts.connect"),
            ("timeouts: {read: 30s, request: 30s}", "timeouts.read"),
            ("timeouts: {request: 3s}, retry: {perTry: 4s}", "retry.perTry"),
            ("timeouts: {request: 3s}, queue: {timeout: 5s, whenUnavailable: true}", "queue.timeout"),
            ("timeouts: {read: 5s}, retry: {perTry: 4s}", "timeouts.read"),
        ] {
            let hits = found(LINT, spec);
            let start = format!("Pool default/a: spec.{field}: ");
            assert!(hits.len() == 1 && hits[0].starts_with(&start), "{spec}: {hits:?}");
        }
    }

    #[test]
    fn times_that_fit_and_defaults_are_not() {
        for spec in [
            "",
            "timeouts: {request: 10s}",
            "timeouts: {connect: 1s, read: 5s, request: 10s}, retry: {perTry: 6s}",
            "timeouts: {read: 5s, request: 0s}",
            "timeouts: {read: 0s, request: 10s}",
            "retry: {perTry: 1s}",
        ] {
            assert_eq!(found(LINT, spec), [""; 0], "{spec}");
        }
    }
}
