//! Weighted random, and the better of two random candidates
//! (M. Mitzenmacher, "The power of two choices in randomized load balancing", 2001).

use rand::RngExt;
use rand::rngs::SmallRng;

use super::{Choice, Tried};
use crate::pool::Candidate;

/// Running sums of the candidates' weights.
#[derive(Debug)]
pub struct Shares(Box<[u64]>);

impl Shares {
    /// Adds up the weights, each at least 1.
    #[must_use]
    pub fn new(weights: impl Iterator<Item = u32>) -> Self {
        let add = |sum: &mut u64, weight| {
            *sum += u64::from(weight);
            Some(*sum)
        };
        Self(weights.scan(0, add).collect())
    }

    /// A candidate with a chance in proportion to its weight.
    pub fn pick(&self, candidates: &[Candidate], choice: &mut Choice<'_>) -> Option<usize> {
        let total = *self.0.last()?;
        if choice.tried.is_empty() {
            return Some(self.draw(total, choice.rng));
        }
        draw_untried(candidates, choice.tried, None, choice.rng)
    }

    /// The one of two different random candidates that has the lower `cost`.
    pub fn better_of_two(
        &self,
        candidates: &[Candidate],
        choice: &mut Choice<'_>,
        cost: impl Fn(&Candidate) -> f64,
    ) -> Option<usize> {
        let first = self.pick(candidates, choice)?;
        let second = match (choice.tried.is_empty(), candidates.len()) {
            (true, 1) => None,
            (true, 2) => Some(1 - first),
            _ => draw_untried(candidates, choice.tried, Some(first), choice.rng),
        };
        Some(second.filter(|s| cost(&candidates[*s]) < cost(&candidates[first])).unwrap_or(first))
    }

    fn draw(&self, total: u64, rng: &mut SmallRng) -> usize {
        let ticket = rng.random_range(0..total);
        self.0.partition_point(|sum| *sum <= ticket)
    }
}

/// One pass over the candidates that holds a fair draw at each step (reservoir sampling).
fn draw_untried(candidates: &[Candidate], tried: &Tried, not: Option<usize>, rng: &mut SmallRng) -> Option<usize> {
    let mut total = 0_u64;
    let mut drawn = None;
    for (index, candidate) in candidates.iter().enumerate() {
        if Some(index) == not || tried.has(candidate) {
            continue;
        }
        let weight = u64::from(candidate.weight);
        total += weight;
        if rng.random_range(0..total) < weight {
            drawn = Some(index);
        }
    }
    drawn
}

/// How likely each is drawn.
pub(super) fn chances(candidates: &[Candidate], tried: &Tried) -> Vec<f64> {
    let weights = weights(candidates, tried);
    let total: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| if total > 0.0 { weight / total } else { 0.0 }).collect()
}

/// How likely each is the better of two.
pub(super) fn chances_of_better(candidates: &[Candidate], tried: &Tried, cost: impl Fn(&Candidate) -> f64) -> Vec<f64> {
    let (weights, firsts) = (weights(candidates, tried), chances(candidates, tried));
    let costs: Vec<f64> = candidates.iter().map(cost).collect();
    let total: f64 = weights.iter().sum();
    let mut chances = vec![0.0; candidates.len()];
    for (first, chance) in firsts.into_iter().enumerate() {
        let others = total - weights[first];
        if others <= 0.0 {
            chances[first] += chance;
            continue;
        }
        for second in (0..weights.len()).filter(|second| *second != first) {
            let better = if costs[second] < costs[first] { second } else { first };
            chances[better] += chance * weights[second] / others;
        }
    }
    chances
}

/// 0 of those that were tried.
fn weights(candidates: &[Candidate], tried: &Tried) -> Vec<f64> {
    candidates.iter().map(|candidate| if tried.has(candidate) { 0.0 } else { f64::from(candidate.weight) }).collect()
}

#[cfg(test)]
mod tests {
    use weir_proto::model::Balance;

    use super::super::tests::{Chooser, candidates, picker};

    /// Three standard deviations of a binomial count.
    fn assert_near(count: usize, n: f64, p: f64) {
        let off = (f64::from(u32::try_from(count).unwrap()) - n * p).abs();
        assert!(off < 3.0 * (n * p * (1.0 - p)).sqrt(), "{count} of {n}, expected {}", n * p);
    }

    #[test]
    fn c3_random_counts_weights() {
        let candidates = candidates(&[3, 1, 2]);
        let method = picker(&Balance::Random, &candidates);
        let counts = Chooser::new().counts(&method, &candidates, 60_000);
        for (count, share) in counts.into_iter().zip([3.0, 1.0, 2.0]) {
            assert_near(count, 60_000.0, share / 6.0);
        }
    }

    #[test]
    fn c3_power_of_two_never_takes_the_busiest() {
        let candidates = candidates(&[1, 1, 1]);
        candidates[1].endpoint.in_flight.enter();
        let method = picker(&Balance::PowerOfTwo, &candidates);
        let counts = Chooser::new().counts(&method, &candidates, 3_000);
        assert_eq!(counts[1], 0);
        assert_near(counts[0], 3_000.0, 0.5);
    }

    #[test]
    fn c3_power_of_two_judges_load_by_weight() {
        let candidates = candidates(&[10, 1]);
        (0..9).for_each(|_| candidates[0].endpoint.in_flight.enter());
        candidates[1].endpoint.in_flight.enter();
        let method = picker(&Balance::PowerOfTwo, &candidates);
        assert_eq!(Chooser::new().counts(&method, &candidates, 100), [100, 0]);
    }
}
