//! In order, from a starting point: `FirstAlive` starts at the first candidate, `Rotate` at the number
//! of the client's connection (monkey's "naive" method).

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

    use super::super::Picker;
    use super::super::tests::{Chooser, candidates};

    #[test]
    fn c3_first_alive_always_starts_at_the_first() {
        let candidates = candidates(&[1, 9, 1]);
        let picker = Picker::new(&Balance::FirstAlive, &candidates);
        assert_eq!(Chooser::new().counts(&picker, &candidates, 10), [10, 0, 0]);
    }

    #[test]
    fn c3_rotate_starts_at_the_connection_number_then_the_next_alive() {
        let candidates = candidates(&[1, 1, 1]);
        let picker = Picker::new(&Balance::Rotate, &candidates);
        for connection in 0..7 {
            let mut chooser = Chooser { connection, ..Chooser::new() };
            assert_eq!(chooser.pick(&picker, &candidates), Some(connection % 3));
            chooser.tried.add(candidates[connection % 3].endpoint.id);
            assert_eq!(chooser.pick(&picker, &candidates), Some((connection + 1) % 3));
        }
    }
}
