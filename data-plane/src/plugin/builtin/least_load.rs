//! `LeastLoad`: keeps the candidates with the most free capacity, all that are tied. Who has no limit is freer than who has
//! one.

use crate::plugin::{Candidates, Failure, Hooks, Session, Stage};

/// The type.
#[derive(Debug)]
pub(super) struct LeastLoad;

impl Stage for LeastLoad {
    fn hooks(&self) -> Hooks {
        Hooks { balance: true, ..Hooks::default() }
    }

    fn balance(&self, _: &mut Session<'_>, candidates: &mut Candidates<'_>) -> Result<(), Failure> {
        // Read once each: other workers change them meanwhile.
        let free: Vec<u32> = candidates.iter().map(|candidate| candidate.endpoint.in_flight.free()).collect();
        if let Some(most) = free.iter().max() {
            let mut free = free.iter();
            candidates.retain(|_| free.next() == Some(most));
        }
        Ok(())
    }
}
