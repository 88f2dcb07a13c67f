//! `Fill`: keeps the first candidate, by name. Who is full is no candidate, so that the next is used when the first is full.

use crate::plugin::{Candidates, Failure, Hooks, Session, Stage};

/// The type.
#[derive(Debug)]
pub(super) struct Fill;

impl Stage for Fill {
    fn hooks(&self) -> Hooks {
        Hooks { balance: true, ..Hooks::default() }
    }

    fn balance(&self, _: &mut Session<'_>, candidates: &mut Candidates<'_>) -> Result<(), Failure> {
        candidates.keep_only(0);
        Ok(())
    }
}
