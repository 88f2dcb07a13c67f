//! The parameter of `Metrics`.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::template::Template;
use super::{read, scalar};
use crate::model::Invalid;

/// Of `Metrics`: a metric that users make up.
#[derive(Debug, Clone, PartialEq)]
pub struct Metrics {
    /// Without the prefix that keeps it apart from Weir's own.
    pub name: String,
    /// What it is about.
    pub help: String,
    /// What is done with values.
    pub kind: MetricKind,
    /// In the order of their names.
    pub labels: Vec<(String, Template)>,
    /// What is counted or observed of a request.
    pub value: Measure,
    /// Most series of one pool, besides the one for all others.
    pub max_series: usize,
}

/// What is done with values.
#[derive(Debug, Clone, PartialEq)]
pub enum MetricKind {
    /// They are added up.
    Counter,
    /// They are counted by size; upper bounds, ascending.
    Histogram(Vec<f64>),
}

/// A figure of a request that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Measure {
    /// One.
    Requests,
    /// Seconds from the request head to the end of the response.
    Duration,
    /// Seconds from the choice of the backend to its response head; none without a backend.
    UpstreamDuration,
    /// Bytes of the response body.
    Bytes,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Fields {
    #[serde(deserialize_with = "name")]
    name: String,
    #[serde(deserialize_with = "scalar::filled")]
    help: String,
    #[serde(default, rename = "type")]
    kind: Kind,
    #[serde(default)]
    labels: BTreeMap<String, Template>,
    value: Option<Measure>,
    buckets: Option<Vec<f64>>,
    #[serde(default = "usual_series", deserialize_with = "series")]
    max_series: usize,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    #[default]
    Counter,
    Histogram,
}

const MAX_NAME: usize = 128;
const MAX_LABELS: usize = 8;
const MAX_SERIES: usize = 10_000;
const MAX_BUCKETS: usize = 64;

/// Of what takes time, in seconds.
const OF_SECONDS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Of bytes.
const OF_BYTES: [f64; 7] = [100.0, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8];

fn usual_series() -> usize {
    100
}

fn name<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    scalar::text(from, |text| match is_name(text) {
        true => Ok(text.to_owned()),
        false => Err(format!("{text:?} is no name of a metric: letters, digits and _, at most {MAX_NAME}")),
    })
}

fn series<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
    let most = usize::try_from(i64::deserialize(from)?).ok().filter(|most| (1..=MAX_SERIES).contains(most));
    most.ok_or_else(|| serde::de::Error::custom(format!("must be 1 to {MAX_SERIES}")))
}

/// Of metrics and labels alike. Colons are for recording rules.
fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    text.len() <= MAX_NAME
        && bytes.next().is_some_and(|first| first == b'_' || first.is_ascii_alphabetic())
        && bytes.all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
}

impl Metrics {
    pub(super) fn parse(param: &Value) -> Result<Self, Invalid> {
        let Fields { name, help, kind, labels, value, buckets, max_series } = read(param)?;
        check_end(&name, kind)?;
        check_labels(labels.keys())?;
        let (kind, value) = match kind {
            Kind::Counter if buckets.is_some() => {
                return Err(Invalid::new("buckets", "goes with type histogram only"));
            }
            Kind::Counter => (MetricKind::Counter, value.unwrap_or(Measure::Requests)),
            Kind::Histogram => {
                let value = value.unwrap_or(Measure::Duration);
                (MetricKind::Histogram(bounds(value, buckets)?), value)
            }
        };
        Ok(Self { name, help, kind, labels: labels.into_iter().collect(), value, max_series })
    }
}

/// Ends that keep apart the series of counters and those that a histogram has, whatever their names.
fn check_end(name: &str, kind: Kind) -> Result<(), Invalid> {
    let taken = ["_total", "_bucket", "_sum", "_count"].into_iter().find(|end| name.ends_with(end));
    match (kind, taken) {
        (Kind::Counter, Some("_total")) | (Kind::Histogram, None) => Ok(()),
        (Kind::Counter, _) => Err(Invalid::new("name", "of a counter must end with _total")),
        (Kind::Histogram, Some(end)) => Err(Invalid::new("name", format!("of a histogram must not end with {end}"))),
    }
}

fn check_labels<'a>(labels: impl ExactSizeIterator<Item = &'a String>) -> Result<(), Invalid> {
    if labels.len() > MAX_LABELS {
        return Err(Invalid::new("labels", format!("must be at most {MAX_LABELS}")));
    }
    for label in labels {
        let reason = match label.as_str() {
            "pool" => "is there already: the pool in which the request ended",
            "le" => "is for the buckets of histograms",
            text if text.starts_with("__") => "must not begin with __, which is for Prometheus itself",
            text if !is_name(text) => "is no name of a label: letters, digits and _",
            _ => continue,
        };
        return Err(Invalid::new(format!("labels.{label}"), reason));
    }
    Ok(())
}

fn bounds(value: Measure, buckets: Option<Vec<f64>>) -> Result<Vec<f64>, Invalid> {
    let Some(bounds) = buckets else {
        return match value {
            Measure::Duration | Measure::UpstreamDuration => Ok(OF_SECONDS.to_vec()),
            Measure::Bytes => Ok(OF_BYTES.to_vec()),
            Measure::Requests => Err(Invalid::new("value", "requests goes with type counter only")),
        };
    };
    if value == Measure::Requests {
        return Err(Invalid::new("value", "requests goes with type counter only"));
    }
    if bounds.is_empty() || bounds.len() > MAX_BUCKETS {
        return Err(Invalid::new("buckets", format!("must be 1 to {MAX_BUCKETS}")));
    }
    if !bounds.iter().all(|bound| bound.is_finite() && *bound > 0.0) || !bounds.is_sorted_by(|a, b| a < b) {
        return Err(Invalid::new("buckets", "must be > 0 and ascend"));
    }
    Ok(bounds)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{parse, refusal};
    use super::super::{BuiltIn, Param};
    use super::*;

    #[test]
    fn p1_a_metric_counts_requests_unless_it_is_told_otherwise() {
        let param = json!({"name": "logins_total", "help": "Logins.", "labels": {"to": "{backend.name}"}});
        let Param::Metrics(metrics) = parse(BuiltIn::Metrics, &param) else { panic!() };
        assert_eq!((metrics.kind, metrics.value, metrics.max_series), (MetricKind::Counter, Measure::Requests, 100));
        assert_eq!(metrics.labels[0].0, "to");
        let param = json!({"name": "size", "help": "Sizes.", "type": "histogram", "value": "bytes"});
        let Param::Metrics(metrics) = parse(BuiltIn::Metrics, &param) else { panic!() };
        assert_eq!(metrics.kind, MetricKind::Histogram(OF_BYTES.to_vec()));
        let param = json!({"name": "t", "help": "Times.", "type": "histogram", "buckets": [0.5, 1]});
        let Param::Metrics(metrics) = parse(BuiltIn::Metrics, &param) else { panic!() };
        assert_eq!((metrics.kind, metrics.value), (MetricKind::Histogram(vec![0.5, 1.0]), Measure::Duration));
    }

    #[test]
    fn t1_what_no_metric_of_prometheus_can_be_is_refused_by_field() {
        let with = |field: &str, value: Value| {
            let mut param = json!({"name": "a_total", "help": "A."});
            param[field] = value;
            param
        };
        for (param, expected) in [
            (json!({"help": "A."}), ": missing field `name`"),
            (json!({"name": "a_total"}), ": missing field `help`"),
            (with("help", json!("")), "help: must not be empty"),
            (with("name", json!("a-b_total")), "name: \"a-b_total\" is no name"),
            (with("name", json!("9_total")), "name: \"9_total\" is no name"),
            (with("name", json!("a:b_total")), "name: \"a:b_total\" is no name"),
            (with("name", json!("a")), "name: of a counter must end with _total"),
            (with("type", json!("histogram")), "name: of a histogram must not end with _total"),
            (with("type", json!("gauge")), "type: unknown variant `gauge`"),
            (with("labels", json!({"pool": "x"})), "labels.pool: is there already"),
            (with("labels", json!({"le": "x"})), "labels.le: is for"),
            (with("labels", json!({"__x": "x"})), "labels.__x: must not begin"),
            (with("labels", json!({"a-b": "x"})), "labels.a-b: is no name"),
            (with("labels", json!({"a": "{nobody}"})), "labels.a: {nobody} is no variable"),
            (with("value", json!("size")), "value: unknown variant `size`"),
            (with("buckets", json!([1])), "buckets: goes with type histogram only"),
            (with("maxSeries", json!(0)), "maxSeries: must be 1 to 10000"),
            (with("maxSeries", json!(10_001)), "maxSeries: must be 1 to 10000"),
        ] {
            let refused = refusal(BuiltIn::Metrics, &param);
            assert!(refused.starts_with(expected), "{refused}");
        }
        let labels: serde_json::Map<String, Value> = (0..9).map(|n| (format!("l{n}"), json!("x"))).collect();
        assert_eq!(refusal(BuiltIn::Metrics, &with("labels", labels.into())), "labels: must be at most 8");
    }

    #[test]
    fn t1_buckets_ascend() {
        for (buckets, value) in [(json!([]), "duration"), (json!([2, 1]), "bytes"), (json!([1, 1]), "bytes")] {
            let param = json!({"name": "t", "help": "T.", "type": "histogram", "buckets": buckets, "value": value});
            assert!(refusal(BuiltIn::Metrics, &param).starts_with("buckets: must be"));
        }
        for buckets in [json!(null), json!([1])] {
            let mut param = json!({"name": "t", "help": "T.", "type": "histogram", "value": "requests"});
            param["buckets"] = buckets;
            assert_eq!(refusal(BuiltIn::Metrics, &param), "value: requests goes with type counter only");
        }
    }
}
