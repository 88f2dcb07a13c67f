//! Who takes a request or a connection now: the roles in their order (C2), and of the one that is chosen a free slot (A1).

use super::{Candidate, InFlight, Tier, View};
use crate::balance::Tried;

/// What a choice among the candidates of one role comes to.
#[derive(Debug)]
pub enum Pick<'v> {
    /// One that has room, or had it a moment ago.
    Free(&'v Candidate),
    /// One that a plugin insists on, with room or not.
    Wanted(&'v Candidate),
    /// None.
    Nobody,
}

impl View {
    /// The candidate that `pick` chooses, from the first role that has one with room, and the slot of it for `worker`.
    /// `pick` is told who is out of the question: who was tried, and who is full.
    ///
    /// # Errors
    /// Those of `pick`.
    pub fn take<'v, E>(
        &'v self,
        worker: usize,
        tried: &Tried,
        pick: impl FnMut(&'v Tier, &Tried) -> Result<Pick<'v>, E>,
    ) -> Result<Option<(&'v Candidate, InFlight)>, E> {
        self.choose(tried, pick, |candidate| match self.limited {
            true => InFlight::try_start(&candidate.endpoint, worker),
            false => Some(InFlight::start(candidate.endpoint.clone(), worker)),
        })
    }

    /// As [`View::take`], with what `enter` gives in place of a slot: `None` of one that is full by now.
    ///
    /// # Errors
    /// Those of `pick`.
    pub fn choose<'v, T, E>(
        &'v self,
        tried: &Tried,
        mut pick: impl FnMut(&'v Tier, &Tried) -> Result<Pick<'v>, E>,
        enter: impl Fn(&'v Candidate) -> Option<T>,
    ) -> Result<Option<(&'v Candidate, T)>, E> {
        for tier in self.tiers_for(tried) {
            if let Some(taken) = self.choose_from(tier, tried, &mut pick, &enter)? {
                return Ok(Some(taken));
            }
        }
        Ok(None)
    }

    fn choose_from<'v, T, E>(
        &'v self,
        tier: &'v Tier,
        tried: &Tried,
        pick: &mut impl FnMut(&'v Tier, &Tried) -> Result<Pick<'v>, E>,
        enter: &impl Fn(&'v Candidate) -> Option<T>,
    ) -> Result<Option<(&'v Candidate, T)>, E> {
        loop {
            let (candidate, is_wanted) = match pick(tier, &self.excluded(tier, tried))? {
                Pick::Free(candidate) => (candidate, false),
                Pick::Wanted(candidate) => (candidate, true),
                Pick::Nobody => return Ok(None),
            };
            if let Some(entered) = enter(candidate) {
                return Ok(Some((candidate, entered)));
            }
            if is_wanted {
                return Ok(None);
            }
            // Someone else took its last slot, which can be seen by now.
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;

    use weir_proto::model::{self, Role};

    use super::*;
    use crate::pool::Member;
    use crate::pool::runtime::tests::members;

    /// A view of three of one slot each, the last of role `Standby`.
    fn view() -> (Vec<Member>, View) {
        let mut members = members(&[1, 1, 1]);
        for member in &mut members {
            Arc::make_mut(&mut member.origin.backend).capacity = 1;
            member.endpoint.in_flight.set_capacity(1);
        }
        Arc::make_mut(&mut members[2].origin.backend).role = Role::Standby;
        let view = View::build(&model::Pool::new("a/pool".parse().unwrap()), &members);
        (members, view)
    }

    /// The first who is not out of the question.
    fn first<'v>(tier: &'v Tier, excluded: &Tried) -> Result<Pick<'v>, Infallible> {
        let mut free = tier.candidates.iter().filter(|candidate| !excluded.has(candidate));
        Ok(free.next().map_or(Pick::Nobody, Pick::Free))
    }

    #[test]
    fn a1_c2_slots_are_taken_role_by_role_until_none_is_left() {
        let (members, view) = view();
        let tried = Tried::default();
        let mut held = Vec::new();
        for expected in &members {
            let Ok(taken) = view.take(0, &tried, first);
            let (candidate, in_flight) = taken.unwrap();
            assert_eq!(candidate.endpoint.id, expected.endpoint.id);
            held.push(in_flight);
        }
        let Ok(taken) = view.take(0, &tried, first);
        assert!(taken.is_none());
    }

    #[test]
    fn a1_one_that_fills_up_while_it_is_chosen_is_looked_past_unless_it_is_wanted() {
        let (members, view) = view();
        let tried = Tried::default();
        let mut held = Vec::new();
        let Ok(taken) = view.take(0, &tried, |tier, excluded| {
            let pick = first(tier, excluded);
            // Another worker is faster.
            if held.is_empty() {
                held.extend(InFlight::try_start(&members[0].endpoint, 0));
            }
            pick
        });
        assert_eq!(taken.unwrap().0.endpoint.id, members[1].endpoint.id);
        let wants_the_first = |tier: &'_ Tier, _: &Tried| {
            let pick =
                if tier.role == Role::Active { Pick::Wanted(&view.tiers[0].candidates[0]) } else { Pick::Nobody };
            Ok::<_, Infallible>(pick)
        };
        let Ok(taken) = view.take(0, &tried, wants_the_first);
        assert!(taken.is_none());
    }
}
