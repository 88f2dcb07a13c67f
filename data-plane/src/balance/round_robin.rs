//! Smooth weighted round robin, exact over all workers.
//!
//! The order of one full cycle is worked out when the view is built; a choice is one atomic addition.
//! The k-th turn of an endpoint of weight w in a cycle of length n is due at (k + 1/2) * n / w, and
//! turns are taken in the order in which they are due (earliest deadline first), so each endpoint's
//! turns are spread evenly and each cycle has exactly its share.

use std::sync::atomic::Ordering::Relaxed;

use super::{Choice, first_alive};
use crate::pool::Candidate;

/// Longest cycle that is worked out. Weights whose sum (after division by their greatest common
/// divisor) is larger are scaled down: their shares are then exact to 1 in 65,536.
const LONGEST: u64 = 1 << 16;

/// One cycle of turns, as indexes of candidates.
#[derive(Debug)]
pub struct Schedule(Box<[u32]>);

impl Schedule {
    /// Works out the cycle for these weights, each at least 1.
    #[must_use]
    pub fn new(weights: impl Iterator<Item = u32>) -> Self {
        let weights = reduce(weights.map(u64::from).collect());
        let mut turns: Vec<(u64, u32, u64)> = Vec::new();
        for (index, weight) in (0_u32..).zip(&weights) {
            turns.extend((0..*weight).map(|k| (2 * k + 1, index, *weight)));
        }
        // (2k + 1) / w is twice the due time over n; compared as fractions, so that it is exact.
        turns.sort_by(|(a, i, v), (b, j, w)| (a * w).cmp(&(b * v)).then(i.cmp(j)));
        Self(turns.into_iter().map(|(_, index, _)| index).collect())
    }

    /// The next turn, or after it the next endpoint that was not tried.
    pub fn pick(&self, candidates: &[Candidate], choice: &Choice<'_>) -> Option<usize> {
        if self.0.is_empty() {
            return None;
        }
        let turn = choice.cursor.fetch_add(1, Relaxed) % self.0.len();
        let index = self.0[turn] as usize;
        if choice.tried.is_empty() {
            return Some(index);
        }
        first_alive::from(index, candidates, choice.tried)
    }

    /// The turns of one cycle.
    #[must_use]
    pub fn turns(&self) -> &[u32] {
        &self.0
    }
}

/// Divides by the greatest common divisor, and scales down what is still too long.
fn reduce(mut weights: Vec<u64>) -> Vec<u64> {
    let divisor = weights.iter().copied().fold(0, gcd).max(1);
    weights.iter_mut().for_each(|w| *w /= divisor);
    let sum: u64 = weights.iter().sum();
    if sum > LONGEST && weights.len() as u64 <= LONGEST {
        weights.iter_mut().for_each(|w| *w = (*w * LONGEST / sum).max(1));
    }
    weights
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use weir_proto::model::Balance;

    use super::super::tests::{Chooser, candidates, picker};
    use super::*;

    #[test]
    fn c3_weights_3_1_2_give_exactly_that_in_each_6_spread_out() {
        let schedule = Schedule::new([3, 1, 2].into_iter());
        assert_eq!(schedule.turns(), [0, 2, 0, 1, 2, 0]);
    }

    #[test]
    fn c3_equal_weights_take_turns() {
        assert_eq!(Schedule::new([10, 10, 10].into_iter()).turns(), [0, 1, 2]);
    }

    #[test]
    fn c3_round_robin_is_exact_over_threads() {
        let candidates = candidates(&[3, 1, 2]);
        let method = picker(&Balance::RoundRobin, &candidates);
        let cursor = std::sync::atomic::AtomicUsize::new(0);
        let work = || {
            let mut counts = [0_usize; 3];
            let mut chooser = Chooser::new();
            for _ in 0..30_000 {
                let Chooser { tried, rng, .. } = &mut chooser;
                let mut choice = Choice { tried, cursor: &cursor, key: 0, connection: 0, rng };
                counts[method.pick(&candidates, &mut choice).unwrap()] += 1;
            }
            counts
        };
        let (one, two) = std::thread::scope(|scope| {
            let (one, two) = (scope.spawn(work), scope.spawn(work));
            (one.join().unwrap(), two.join().unwrap())
        });
        let sum: Vec<usize> = one.iter().zip(two).map(|(a, b)| a + b).collect();
        assert_eq!(sum, [30_000, 10_000, 20_000]);
    }

    #[test]
    fn cycles_stay_bounded_and_nearly_exact() {
        let weights = [65_535, 65_534, 1];
        let turns = Schedule::new(weights.into_iter());
        assert!(turns.turns().len() <= usize::try_from(LONGEST).unwrap() + weights.len());
        assert_eq!(turns.turns().iter().filter(|i| **i == 2).count(), 1);
    }
}
