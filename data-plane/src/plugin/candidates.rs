//! The endpoints that may still be chosen.

use smallvec::SmallVec;

use crate::balance::Tried;
use crate::pool::{Candidate, View};

/// Those of a tier that were not tried and have room, and that no plugin has ruled out. In the tier's order.
#[derive(Debug)]
pub struct Candidates<'a> {
    all: &'a [Candidate],
    left: SmallVec<[u32; 16]>,
    others: Option<Others<'a>>,
    wanted: Option<&'a Candidate>,
}

/// Those that are no candidates, though they are up: full, or of weight 0.
#[derive(Debug)]
struct Others<'a> {
    view: &'a View,
    tried: Tried,
}

impl<'a> Candidates<'a> {
    /// All of `all` that were not tried.
    #[must_use]
    pub fn new(all: &'a [Candidate], tried: &Tried) -> Self {
        let left = (0_u32..).zip(all).filter(|(_, candidate)| !tried.has(candidate)).map(|(place, _)| place);
        Self { all, left: left.collect(), others: None, wanted: None }
    }

    /// The same, among which a plugin may ask for anyone of the view who was not tried.
    #[must_use]
    pub fn with_others(self, view: &'a View, tried: Tried) -> Self {
        Self { others: Some(Others { view, tried }), ..self }
    }

    /// Leaves the one that `is_it`, though it has no room or no weight; false if nobody is it who is up. If it is full,
    /// the request will wait for it.
    pub fn want(&mut self, is_it: impl Fn(&Candidate) -> bool) -> bool {
        let Some(Others { view, tried }) = &self.others else { return false };
        let view: &'a View = view;
        self.wanted = view.all().find(|candidate| !tried.has(candidate) && is_it(candidate));
        if self.wanted.is_some() {
            self.left.clear();
        }
        self.wanted.is_some()
    }

    /// The one that a plugin asked for.
    #[must_use]
    pub fn wanted(&self) -> Option<&'a Candidate> {
        self.wanted
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.left.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    /// Those left.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'a Candidate> + '_ {
        self.left.iter().map(|place| &self.all[*place as usize])
    }

    /// Leaves those of which `keep` says so.
    pub fn retain(&mut self, mut keep: impl FnMut(&'a Candidate) -> bool) {
        let all = self.all;
        self.left.retain(|place| keep(&all[*place as usize]));
    }

    /// Leaves those at these places of [`Candidates::iter`], each once, whatever their order. Says whether each place
    /// was there, and none came twice; if not, all stay.
    #[must_use]
    pub fn keep(&mut self, places: impl IntoIterator<Item = usize>) -> bool {
        let mut kept: SmallVec<[u32; 16]> = SmallVec::new();
        for place in places {
            let Some(place) = self.left.get(place) else { return false };
            kept.push(*place);
        }
        kept.sort_unstable();
        if kept.windows(2).any(|pair| pair[0] == pair[1]) {
            return false;
        }
        self.left = kept;
        true
    }

    /// Leaves the one at this place alone, if there is one.
    pub fn keep_only(&mut self, place: usize) {
        if let Some(place) = self.left.get(place).copied() {
            self.left.clear();
            self.left.push(place);
        }
    }

    /// The place in the view of the only one left.
    #[must_use]
    pub fn only(&self) -> Option<usize> {
        match self.left[..] {
            [place] => Some(place as usize),
            _ => None,
        }
    }

    /// All that are out of the question, tried ones too.
    #[must_use]
    pub fn excluded(&self) -> Tried {
        let mut excluded = Tried::default();
        let mut left = self.left.iter().peekable();
        for (place, candidate) in (0_u32..).zip(self.all) {
            if left.next_if(|next| **next == place).is_none() {
                excluded.add(candidate.endpoint.id);
            }
        }
        excluded
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::tests::candidates;

    fn names(candidates: &Candidates<'_>) -> Vec<String> {
        candidates.iter().map(|candidate| candidate.endpoint.backend.name().to_owned()).collect()
    }

    #[test]
    fn c1_what_was_tried_is_no_candidate() {
        let all = candidates(&[1, 1, 1]);
        let mut tried = Tried::default();
        tried.add(all[1].endpoint.id);
        let mut left = Candidates::new(&all, &tried);
        assert_eq!(names(&left), ["b000", "b002"]);
        left.retain(|candidate| candidate.endpoint.backend.name() == "b002");
        assert_eq!(left.only(), Some(2));
        let excluded = left.excluded();
        assert_eq!(all.iter().map(|c| excluded.has(c)).collect::<Vec<_>>(), [true, true, false]);
    }

    #[test]
    fn p3_only_candidates_can_be_kept_and_each_once() {
        let all = candidates(&[1, 1, 1]);
        let mut left = Candidates::new(&all, &Tried::default());
        assert!(!left.keep([0, 3]) && !left.keep([1, 1]));
        assert_eq!(left.len(), 3);
        assert!(left.keep([2, 0]));
        assert_eq!(names(&left), ["b000", "b002"]);
        left.keep_only(1);
        assert_eq!(names(&left), ["b002"]);
        assert!(left.keep([]) && left.is_empty());
    }
}
