//! `Hash`: keeps one candidate, always the same for the same key, as the pool's method `Hash` does.

use weir_proto::model::HashKey;

use crate::balance::hash;
use crate::http::key;
use crate::plugin::{Candidates, Failure, Hooks, Session, Stage};

/// The type.
#[derive(Debug)]
pub(super) struct Hash(pub(super) HashKey);

impl Stage for Hash {
    fn hooks(&self) -> Hooks {
        Hooks { balance: true, ..Hooks::default() }
    }

    fn balance(&self, session: &mut Session<'_>, candidates: &mut Candidates<'_>) -> Result<(), Failure> {
        let key = key::of_source(&self.0, session.headers(), session.query(), session.client());
        if let Some(place) = hash::best(candidates.iter(), key) {
            candidates.keep_only(place);
        }
        Ok(())
    }
}
