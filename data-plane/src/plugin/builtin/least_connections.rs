//! `LeastConnections`: keeps the candidates with the fewest requests in flight, all that are tied. Weights do not
//! count: the pool's method `LeastConnections` goes by them.

use crate::plugin::{Candidates, Failure, Hooks, Session, Stage};

/// The type.
#[derive(Debug)]
pub(super) struct LeastConnections;

impl Stage for LeastConnections {
    fn hooks(&self) -> Hooks {
        Hooks { balance: true, ..Hooks::default() }
    }

    fn balance(&self, _: &mut Session<'_>, candidates: &mut Candidates<'_>) -> Result<(), Failure> {
        // Read once each: other workers change them meanwhile.
        let loads: Vec<u32> = candidates.iter().map(|candidate| candidate.endpoint.in_flight.current()).collect();
        if let Some(fewest) = loads.iter().min() {
            let mut loads = loads.iter();
            candidates.retain(|_| loads.next() == Some(fewest));
        }
        Ok(())
    }
}
