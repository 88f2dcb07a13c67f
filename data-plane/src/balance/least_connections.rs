//! Fewest requests in flight per weight, over all workers; ties are drawn by weight.

use super::Choice;
use super::lowest::lowest;
use crate::pool::Candidate;

/// Requests in flight per unit of weight.
#[must_use]
pub fn load(candidate: &Candidate) -> f64 {
    f64::from(candidate.endpoint.in_flight.current()) / f64::from(candidate.weight)
}

/// The untried candidate of the lowest load.
pub fn pick(candidates: &[Candidate], choice: &mut Choice<'_>) -> Option<usize> {
    lowest(candidates, choice, load)
}

#[cfg(test)]
mod tests {
    use weir_proto::model::Balance;

    use super::super::tests::{Chooser, candidates, picker};

    #[test]
    fn c3_least_connections_takes_the_fewest_in_flight_per_weight() {
        let candidates = candidates(&[1, 2, 1]);
        let method = picker(&Balance::LeastConnections, &candidates);
        for (index, n) in [(0, 2), (1, 3), (2, 5)] {
            (0..n).for_each(|_| candidates[index].endpoint.in_flight.enter());
        }
        assert_eq!(Chooser::new().counts(&method, &candidates, 20), [0, 20, 0]);
    }

    #[test]
    fn c3_least_connections_draws_among_equals_by_weight() {
        let candidates = candidates(&[1, 3]);
        let method = picker(&Balance::LeastConnections, &candidates);
        let counts = Chooser::new().counts(&method, &candidates, 10_000);
        assert!((7_300..7_700).contains(&counts[1]), "{counts:?}");
    }
}
