//! What many measured times come to.

use std::time::Duration;

use serde_json::{Value, json};

/// Median, 99th percentile and maximum, in seconds; null if there are no times.
#[must_use]
pub fn figures(mut times: Vec<Duration>) -> Value {
    times.sort();
    let at = |percent: usize| times.get(times.len() * percent / 100).or(times.last()).map(Duration::as_secs_f64);
    json!({"p50": at(50), "p99": at(99), "max": at(100)})
}
