//! Counters that scripts make up: one family, `weir_plugin_count_total`, with a bounded number of series.

use std::collections::BTreeMap;

use super::Failure;
use super::bounded::Bounded;
use crate::stats::{Counter, Sharded};

/// Most series of one plugin; what would be one more is counted as dropped.
pub const MAX_SERIES: usize = 200;
/// Most labels of one series.
const MAX_LABELS: usize = 8;
/// Most bytes of a name or a value.
const MAX_TEXT: usize = 128;
/// Labels that are Weir's own.
const OURS: [&str; 2] = ["name", "plugin"];

/// A counter of a plugin.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Series {
    /// What is counted; the label `name`.
    pub name: String,
    /// Further labels.
    pub labels: BTreeMap<String, String>,
}

/// All counters of one plugin.
#[derive(Debug)]
pub struct Counts {
    series: Bounded<Series, f64>,
    dropped: Sharded<Counter>,
}

impl Series {
    /// A series with these labels.
    ///
    /// # Errors
    /// If a label is none of Prometheus, or Weir's own, or there is too much of anything.
    pub fn new(name: String, labels: BTreeMap<String, String>) -> Result<Self, Failure> {
        if labels.len() > MAX_LABELS {
            return Err(Failure::bad_answer(format!("a counter has at most {MAX_LABELS} labels")));
        }
        if let Some(label) = labels.keys().find(|label| !is_label(label)) {
            return Err(Failure::bad_answer(format!("{label:?} is no label of a counter, or one of Weir's own")));
        }
        if let Some(text) = labels.values().chain([&name]).find(|text| text.len() > MAX_TEXT) {
            return Err(Failure::bad_answer(format!("{text:?} has more than {MAX_TEXT} bytes")));
        }
        Ok(Self { name, labels })
    }
}

fn is_label(label: &str) -> bool {
    let mut bytes = label.bytes();
    label.len() <= MAX_TEXT
        && !label.starts_with("__")
        && !OURS.contains(&label)
        && bytes.next().is_some_and(|first| first == b'_' || first.is_ascii_alphabetic())
        && bytes.all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
}

impl Counts {
    /// Nothing is counted yet.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self { series: Bounded::new(workers, MAX_SERIES), dropped: Sharded::new(workers) }
    }

    /// Counts on one worker.
    ///
    /// # Errors
    /// If the amount is none that a counter can go up by.
    pub fn add(&self, worker: usize, series: &Series, amount: f64) -> Result<(), Failure> {
        if !amount.is_finite() || amount < 0.0 {
            return Err(Failure::bad_answer(format!("a counter does not go up by {amount}")));
        }
        if !self.series.change(worker, series, |count| *count += amount) {
            self.dropped.of(worker).increment();
        }
        Ok(())
    }

    /// The sums over all workers.
    #[must_use]
    pub fn sums(&self) -> BTreeMap<Series, f64> {
        self.series.sums(|sum, count| *sum += count)
    }

    /// How often a series was one too many.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.sum(Counter::get)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(name: &str, labels: &[(&str, &str)]) -> Result<Series, Failure> {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Series::new(name.to_owned(), labels.collect())
    }

    #[test]
    fn t1_a_plugin_has_a_bounded_number_of_series_over_all_workers() {
        let counts = Counts::new(2);
        for number in 0..MAX_SERIES + 10 {
            let name = number.to_string();
            counts.add(number % 2, &series("a", &[("n", &name)]).unwrap(), 1.0).unwrap();
        }
        assert_eq!((counts.sums().len(), counts.dropped()), (MAX_SERIES, 10));
        counts.add(1, &series("a", &[("n", "0")]).unwrap(), 2.5).unwrap();
        assert_eq!(counts.sums()[&series("a", &[("n", "0")]).unwrap()], 3.5);
    }

    #[test]
    fn what_no_counter_of_prometheus_can_have_is_refused() {
        for label in ["", "9", "a-b", "ä", "__a", "name", "plugin", &"a".repeat(200)] {
            assert!(series("a", &[(label, "")]).is_err(), "{label}");
        }
        assert!(series("a", &[("A_9", "ä")]).is_ok() && series(&"a".repeat(129), &[]).is_err());
        for amount in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(Counts::new(1).add(0, &series("a", &[]).unwrap(), amount).is_err(), "{amount}");
        }
    }
}
