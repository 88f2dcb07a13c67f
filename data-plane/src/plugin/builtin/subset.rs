//! `Subset`: keeps the candidates with a label that has the value of a header or cookie. A request without the value
//! may go to all.

use weir_proto::model::plugin::param::{self, WhenEmpty};

use crate::plugin::{Candidates, Failure, Hooks, Session, Stage};
use crate::pool::Candidate;

/// The type.
#[derive(Debug)]
pub(super) struct Subset(pub(super) param::Subset);

impl Stage for Subset {
    fn hooks(&self) -> Hooks {
        Hooks { balance: true, ..Hooks::default() }
    }

    fn balance(&self, session: &mut Session<'_>, candidates: &mut Candidates<'_>) -> Result<(), Failure> {
        let Some(value) = session.carried(&self.0.source) else { return Ok(()) };
        let fits = |candidate: &Candidate| {
            candidate.origin.label(&self.0.label).is_some_and(|label| label.as_bytes() == value)
        };
        if self.0.when_empty == WhenEmpty::None || candidates.iter().any(fits) {
            candidates.retain(fits);
        }
        Ok(())
    }
}
