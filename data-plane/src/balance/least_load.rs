//! Most free capacity; of equals, fewest requests in flight per weight. Who has no limit is freer than who has one.

use super::Choice;
use super::least_connections::load;
use super::lowest::lowest;
use crate::pool::Candidate;

/// The untried candidate with the most free slots.
pub fn pick(candidates: &[Candidate], choice: &mut Choice<'_>) -> Option<usize> {
    lowest(candidates, choice, cost)
}

/// The more slots are free, the less; of equals by requests in flight.
#[must_use]
pub fn cost(candidate: &Candidate) -> (u32, f64) {
    (u32::MAX - candidate.endpoint.in_flight.free(), load(candidate))
}

#[cfg(test)]
mod tests {
    use weir_proto::model::Balance;

    use super::super::tests::{Chooser, candidates, picker};

    #[test]
    fn c3_least_load_takes_the_most_free_capacity() {
        let candidates = candidates(&[9, 1, 1]);
        let method = picker(&Balance::LeastLoad, &candidates);
        for (index, capacity, in_flight) in [(0, 4, 2), (1, 10, 7), (2, 3, 1)] {
            candidates[index].endpoint.in_flight.set_capacity(capacity);
            (0..in_flight).for_each(|_| candidates[index].endpoint.in_flight.enter());
        }
        assert_eq!(Chooser::new().counts(&method, &candidates, 20), [0, 20, 0], "3 free, and 2 of each of the others");
    }

    #[test]
    fn c3_least_load_takes_the_least_busy_of_those_without_a_limit_first() {
        let candidates = candidates(&[1, 2, 1]);
        let method = picker(&Balance::LeastLoad, &candidates);
        candidates[2].endpoint.in_flight.set_capacity(1_000);
        for (index, in_flight) in [(0, 10), (1, 18)] {
            (0..in_flight).for_each(|_| candidates[index].endpoint.in_flight.enter());
        }
        assert_eq!(Chooser::new().counts(&method, &candidates, 20), [0, 20, 0]);
    }
}
