//! `Random`: keeps one candidate, by chance. Weights do not count: the pool's method `Random` goes by them.

use rand::RngExt;

use crate::plugin::{Candidates, Failure, Hooks, Session, Stage};

/// The type.
#[derive(Debug)]
pub(super) struct Random;

impl Stage for Random {
    fn hooks(&self) -> Hooks {
        Hooks { balance: true, ..Hooks::default() }
    }

    fn balance(&self, session: &mut Session<'_>, candidates: &mut Candidates<'_>) -> Result<(), Failure> {
        if !candidates.is_empty() {
            let place = session.worker().rng.borrow_mut().random_range(0..candidates.len());
            candidates.keep_only(place);
        }
        Ok(())
    }
}
