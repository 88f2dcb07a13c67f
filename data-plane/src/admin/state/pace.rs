//! Rates and latencies of the last moments and minutes, as JSON: requests per second, seconds.

use std::time::Duration;

use serde::Serialize;

use crate::stats::recent::{History, Pace};

/// The last ten seconds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::admin) struct PaceState {
    pub(in crate::admin) requests_per_second: f64,
    errors_per_second: f64,
    /// `None` = no request ended.
    latency: Option<Latency>,
}

/// In seconds, from request heads to the ends of responses.
#[derive(Debug, Serialize)]
struct Latency {
    p50: f64,
    p90: f64,
    p99: f64,
}

/// Points of a plot, the oldest first; the last is not complete.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::admin) struct HistoryState {
    /// Seconds from a point to the next.
    step: u64,
    requests: Vec<u64>,
    errors: Vec<u64>,
}

impl From<&Pace> for PaceState {
    fn from(pace: &Pace) -> Self {
        let Pace { requests, errors, p50, p90, p99 } = *pace;
        let seconds = |duration: Duration| duration.as_secs_f64();
        let latency = p50.zip(p90).zip(p99);
        Self {
            requests_per_second: rounded(requests),
            errors_per_second: rounded(errors),
            latency: latency.map(|((p50, p90), p99)| Latency {
                p50: seconds(p50),
                p90: seconds(p90),
                p99: seconds(p99),
            }),
        }
    }
}

impl From<&History> for HistoryState {
    fn from(history: &History) -> Self {
        let (requests, errors) = history.points().map(|point| (point.requests, point.errors)).unzip();
        Self { step: History::STEP.as_secs(), requests, errors }
    }
}

/// To a hundredth: rates are for people.
pub(super) fn rounded(rate: f64) -> f64 {
    (rate * 100.0).round() / 100.0
}
