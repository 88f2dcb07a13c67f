//! `Score`: keeps the candidates whose Backends have the best score, all that are tied.

use weir_proto::model::plugin::param::Order;

use crate::plugin::{Candidates, Failure, Hooks, Session, Stage};

/// The type.
#[derive(Debug)]
pub(super) struct Score(pub(super) Order);

impl Stage for Score {
    fn hooks(&self) -> Hooks {
        Hooks { balance: true, ..Hooks::default() }
    }

    fn balance(&self, _: &mut Session<'_>, candidates: &mut Candidates<'_>) -> Result<(), Failure> {
        let scores = candidates.iter().map(|candidate| candidate.origin.backend.score);
        let best = match self.0 {
            Order::Least => scores.min(),
            Order::Most => scores.max(),
        };
        candidates.retain(|candidate| Some(candidate.origin.backend.score) == best);
        Ok(())
    }
}
