//! What went on in the last minutes, as points of a plot.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Points that are kept: with one in five seconds, five minutes.
const POINTS: usize = 60;

/// Requests over time, the oldest first.
#[derive(Debug, Clone, Default)]
pub struct History {
    points: VecDeque<Point>,
    /// When the newest began.
    began: Option<Instant>,
}

/// The requests of one step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Point {
    /// How many there were.
    pub requests: u64,
    /// How many of them were answered 500 or more.
    pub errors: u64,
}

impl History {
    /// From a point to the next.
    pub const STEP: Duration = Duration::from_secs(5);

    /// Every point; the newest is not complete.
    pub fn points(&self) -> impl Iterator<Item = Point> + '_ {
        self.points.iter().copied()
    }

    /// So many came until `now` since the last call.
    pub(super) fn add(&mut self, now: Instant, requests: u64, errors: u64) {
        if self.began.is_none_or(|began| now.duration_since(began) >= Self::STEP) {
            self.began = Some(now);
            if self.points.len() == POINTS {
                self.points.pop_front();
            }
            self.points.push_back(Point::default());
        }
        if let Some(point) = self.points.back_mut() {
            point.requests += requests;
            point.errors += errors;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn t2_a_point_is_five_seconds_and_five_minutes_are_kept() {
        let (mut history, start) = (History::default(), Instant::now());
        for second in 0..400 {
            history.add(start + Duration::from_secs(second), 2, 1);
        }
        let points: Vec<Point> = history.points().collect();
        assert_eq!(points.len(), POINTS);
        assert!(points.iter().all(|point| *point == Point { requests: 10, errors: 5 }), "{points:?}");
    }
}
