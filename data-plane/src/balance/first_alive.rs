//! In order, from a starting point.

use super::Tried;
use crate::pool::Candidate;

/// The first untried candidate from `start` on, going round.
pub fn from(start: usize, candidates: &[Candidate], tried: &Tried) -> Option<usize> {
    let n = candidates.len();
    (0..n).map(|offset| (start % n + offset) % n).find(|index| !tried.has(&candidates[*index]))
}

#[cfg(test)]
mod tests {
    use weir_proto::model::Balance;

    use super::super::tests::{Chooser, candidates, picker};

    #[test]
    fn c3_first_alive_always_starts_at_the_first() {
        let candidates = candidates(&[1, 9, 1]);
        let method = picker(&Balance::FirstAlive, &candidates);
        assert_eq!(Chooser::new().counts(&method, &candidates, 10), [10, 0, 0]);
    }
}
