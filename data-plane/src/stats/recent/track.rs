//! What one thing counted in the last seconds.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::LOOK_EVERY;
use super::history::History;
use crate::stats::histogram::{Counts, OfRequests, quantile};

/// Looks that rates go back: with one a second, ten seconds.
const LOOKS: usize = 11;

/// Readings of a counter, the oldest first, with their times.
#[derive(Debug)]
pub(super) struct Window<T>(VecDeque<(Instant, T)>);

impl<T> Default for Window<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T: Default> Window<T> {
    /// What is read for the first time had counted nothing at the look before: whatever has counts is looked at.
    pub(super) fn push(&mut self, now: Instant, reading: T) {
        if self.0.is_empty()
            && let Some(before) = now.checked_sub(LOOK_EVERY)
        {
            self.0.push_back((before, T::default()));
        }
        if self.0.len() == LOOKS {
            self.0.pop_front();
        }
        self.0.push_back((now, reading));
    }

    fn newest(&self) -> Option<&T> {
        self.0.back().map(|(_, reading)| reading)
    }

    /// The growth per second of a figure of the readings.
    #[expect(clippy::cast_precision_loss, reason = "no count is that large")]
    fn growth(&self, figure: impl Fn(&T) -> u64) -> f64 {
        let (Some((from, oldest)), Some((to, newest))) = (self.0.front(), self.0.back()) else { return 0.0 };
        let seconds = to.duration_since(*from).as_secs_f64();
        if seconds > 0.0 { figure(newest).saturating_sub(figure(oldest)) as f64 / seconds } else { 0.0 }
    }
}

impl Window<u64> {
    /// The growth per second.
    pub(super) fn rate(&self) -> f64 {
        self.growth(|reading| *reading)
    }
}

/// A reading of counters that only go up.
#[derive(Debug, Default, Clone)]
pub(super) struct Mark {
    pub(super) requests: u64,
    pub(super) errors: u64,
    pub(super) latency: Counts,
}

impl Mark {
    pub(super) fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.errors += other.errors;
        self.latency.iter_mut().zip(other.latency).for_each(|(sum, count)| *sum += count);
    }
}

/// What went on in the last seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pace {
    /// Requests per second.
    pub requests: f64,
    /// Answers of 500 and more per second.
    pub errors: f64,
    /// Half of the requests took no longer, from their heads to the ends of the responses; `None` without any.
    pub p50: Option<Duration>,
    /// Nine of ten did.
    pub p90: Option<Duration>,
    /// 99 of a hundred did.
    pub p99: Option<Duration>,
}

/// The last seconds and the last minutes.
#[derive(Debug, Default)]
pub(super) struct Track {
    marks: Window<Mark>,
    history: History,
    /// Looks since the last at which something was going on.
    rests_for: usize,
}

impl Track {
    /// `busy`: there are requests that have been counted and have not ended.
    pub(super) fn note(&mut self, now: Instant, mark: Mark, busy: bool) {
        let none = Mark::default();
        let before = self.marks.newest().unwrap_or(&none);
        let grown = |figure: fn(&Mark) -> u64| figure(&mark).saturating_sub(figure(before));
        let (requests, errors) = (grown(|mark| mark.requests), grown(|mark| mark.errors));
        self.history.add(now, requests, errors);
        self.rests_for = if busy || requests > 0 { 0 } else { self.rests_for + 1 };
        self.marks.push(now, mark);
    }

    /// The newest reading, if nothing has been different for as long as rates go back, and its requests are these.
    pub(super) fn at_rest(&self, requests: u64) -> Option<Mark> {
        let newest = self.marks.newest()?;
        (self.rests_for > LOOKS && newest.requests == requests).then(|| newest.clone())
    }

    pub(super) fn history(&self) -> &History {
        &self.history
    }

    pub(super) fn pace(&self) -> Pace {
        let latency = self.latency();
        let quantile = |share| quantile::<OfRequests>(&latency, share);
        Pace {
            requests: self.marks.growth(|mark| mark.requests),
            errors: self.marks.growth(|mark| mark.errors),
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
        }
    }

    fn latency(&self) -> Counts {
        let (Some((_, oldest)), Some((_, newest))) = (self.marks.0.front(), self.marks.0.back()) else {
            return Counts::default();
        };
        let mut counts = newest.latency;
        counts.iter_mut().zip(oldest.latency).for_each(|(count, before)| *count = count.saturating_sub(before));
        counts
    }
}
