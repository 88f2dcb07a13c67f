//! From the place that the number of the client's connection points at, then the next that is up: monkey's
//! "naive" method. Endpoints that are down keep their places, so that a failure moves only their clients.

use super::{Choice, Tried};
use crate::pool::Candidate;

/// The place of each endpoint, up or down.
#[derive(Debug)]
pub struct Places(Box<[Option<usize>]>);

impl Places {
    /// As for [`super::Picker::new`].
    #[must_use]
    pub fn new(places: &[Option<usize>]) -> Self {
        Self(places.into())
    }

    /// The first untried candidate from the connection's place on, going round.
    pub fn pick(&self, candidates: &[Candidate], choice: &Choice<'_>) -> Option<usize> {
        let n = self.0.len();
        let usable = |index: &usize, tried: &Tried| !tried.has(&candidates[*index]);
        let at = |offset: usize| self.0[(choice.connection % n + offset) % n];
        (0..n).filter_map(at).find(|index| usable(index, choice.tried))
    }
}

#[cfg(test)]
mod tests {
    use weir_proto::model::Balance;

    use super::super::Picker;
    use super::super::tests::{Chooser, candidates, picker};

    #[test]
    fn c3_rotate_starts_at_the_connection_number_then_the_next_alive() {
        let candidates = candidates(&[1, 1, 1]);
        let method = picker(&Balance::Rotate, &candidates);
        for connection in 0..7 {
            let mut chooser = Chooser { connection, ..Chooser::new() };
            assert_eq!(chooser.pick(&method, &candidates), Some(connection % 3));
            chooser.tried.add(candidates[connection % 3].endpoint.id);
            assert_eq!(chooser.pick(&method, &candidates), Some((connection + 1) % 3));
        }
    }

    #[test]
    fn c3_rotate_moves_only_the_connections_of_an_endpoint_that_is_down() {
        let up = candidates(&[1, 1]);
        let method = Picker::new(&Balance::Rotate, &up, &[Some(0), None, Some(1)]);
        let picks = (0..6).map(|connection| Chooser { connection, ..Chooser::new() }.pick(&method, &up));
        assert_eq!(picks.map(Option::unwrap).collect::<Vec<_>>(), [0, 1, 1, 0, 1, 1]);
    }
}
