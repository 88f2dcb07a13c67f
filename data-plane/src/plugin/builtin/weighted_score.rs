//! `WeightedScore`: keeps one candidate, by chance in proportion to weights that are made of scores.
//!
//! Order most: the weight is the score, and of three or more the lowest are out. Order least: the weight is what is
//! missing to the highest score, so that of three or more the highest are out; between two the parameter says what the
//! highest is. If nobody has weight, or all have the same score, all are equal.

use rand::{Rng, RngExt};
use smallvec::SmallVec;
use weir_proto::model::plugin::param;

use crate::plugin::{Candidates, Failure, Hooks, Session, Stage};

/// The type.
#[derive(Debug)]
pub(super) struct WeightedScore(pub(super) param::WeightedScore);

/// One a candidate.
type Numbers<T> = SmallVec<[T; 16]>;

impl Stage for WeightedScore {
    fn hooks(&self) -> Hooks {
        Hooks { balance: true, ..Hooks::default() }
    }

    fn balance(&self, session: &mut Session<'_>, candidates: &mut Candidates<'_>) -> Result<(), Failure> {
        let scores: Numbers<i64> = candidates.iter().map(|candidate| candidate.origin.backend.score).collect();
        let weights = weights(&self.0, &scores);
        if let Some(place) = draw(&weights, &mut *session.worker().rng.borrow_mut()) {
            candidates.keep_only(place);
        }
        Ok(())
    }
}

fn weights(order: &param::WeightedScore, scores: &[i64]) -> Numbers<u64> {
    let lowest = scores.iter().copied().min().unwrap_or_default();
    let highest = scores.iter().copied().max().unwrap_or_default();
    let weight = |score: i64| match order {
        param::WeightedScore::Most if scores.len() > 2 && score == lowest => 0,
        param::WeightedScore::Most => score,
        param::WeightedScore::Least { max } if scores.len() == 2 => max.saturating_sub(score),
        param::WeightedScore::Least { .. } => highest.saturating_sub(score),
    };
    let weights: Numbers<u64> = scores.iter().map(|score| u64::try_from(weight(*score)).unwrap_or(0)).collect();
    if weights.iter().all(|weight| *weight == 0) { scores.iter().map(|_| 1).collect() } else { weights }
}

/// A place, by chance; `None` if there is none.
fn draw(weights: &[u64], rng: &mut impl Rng) -> Option<usize> {
    let total: u128 = weights.iter().copied().map(u128::from).sum();
    if total == 0 {
        return None;
    }
    let mut left = rng.random_range(0..total);
    weights.iter().position(|weight| {
        let weight = u128::from(*weight);
        let is_here = left < weight;
        left = left.saturating_sub(weight);
        is_here
    })
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    const MOST: param::WeightedScore = param::WeightedScore::Most;
    const LEAST: param::WeightedScore = param::WeightedScore::Least { max: 100 };

    #[test]
    fn p3_most_goes_by_the_score_without_the_lowest_of_three() {
        assert_eq!(weights(&MOST, &[10, 30])[..], [10, 30]);
        assert_eq!(weights(&MOST, &[10, 30, 20])[..], [0, 30, 20]);
        assert_eq!(weights(&MOST, &[10, 30, 10, 20])[..], [0, 30, 0, 20]);
    }

    #[test]
    fn p3_least_goes_by_what_is_missing_to_the_highest_or_between_two_to_the_maximum() {
        assert_eq!(weights(&LEAST, &[10, 30, 20])[..], [20, 0, 10]);
        assert_eq!(weights(&LEAST, &[10, 30])[..], [90, 70]);
        assert_eq!(weights(&LEAST, &[10, 130])[..], [90, 0], "more than the maximum");
    }

    #[test]
    fn p3_without_a_difference_all_are_equal() {
        for order in [MOST, LEAST] {
            assert_eq!(weights(&order, &[7, 7, 7])[..], [1, 1, 1], "{order:?}");
            assert_eq!(weights(&order, &[i64::MIN, i64::MIN, i64::MIN])[..], [1, 1, 1], "{order:?}");
            assert!(weights(&order, &[]).is_empty());
        }
        assert_eq!(weights(&MOST, &[-5, 0])[..], [1, 1], "no score is negative");
        assert_eq!(weights(&LEAST, &[100, 200])[..], [1, 1]);
    }

    #[test]
    fn p3_shares_follow_the_weights() {
        const DRAWS: u32 = 10_000;
        let mut rng = SmallRng::seed_from_u64(7);
        let mut counts = [0_u32; 3];
        (0..DRAWS).for_each(|_| counts[draw(&[1, 0, 3], &mut rng).unwrap()] += 1);
        let sigma = (f64::from(DRAWS) * 0.25 * 0.75).sqrt();
        assert_eq!(counts[1], 0);
        assert!((f64::from(counts[0]) - 2_500.0).abs() < 3.0 * sigma, "{counts:?}");
        assert_eq!(draw(&[], &mut rng), None);
        assert!(draw(&[u64::MAX, u64::MAX], &mut rng).is_some());
    }
}
