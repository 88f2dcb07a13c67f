//! What the request path reads: pools, and for each listener the compiled rules and their chains.

pub mod build;
pub mod chain;
pub mod pools;

use std::sync::Arc;

use arc_swap::ArcSwap;

pub use chain::Chain;
pub use pools::Pools;

use crate::matcher::{Head, Matcher, Near, Place};

/// One state of the configuration. Immutable; a request reads one table from its beginning to its end, so that
/// match, retry and log agree. Only one that found nobody to try has a look at the live table.
#[derive(Debug, Default)]
pub struct Table {
    /// Every pool.
    pub pools: Pools,
    /// One per listener, in the order of the listeners of this process.
    pub listeners: Vec<Arc<Routes>>,
}

/// The rules of one listener.
#[derive(Debug, Default)]
pub struct Routes {
    /// Finds the best rule.
    matcher: Matcher,
    /// The chain of each of the matcher's rules, by its place.
    chains: Vec<Arc<[Option<Arc<Chain>>]>>,
}

impl Routes {
    /// Where the best rule for a request is.
    #[must_use]
    pub fn find(&self, head: &Head<'_>) -> Option<Place> {
        self.matcher.find(head)
    }

    /// The rules that come nearest to a request; see [`Matcher::nearest`].
    #[must_use]
    pub fn nearest(&self, head: &Head<'_>, most: usize) -> Vec<Near> {
        self.matcher.nearest(head, most)
    }

    /// The chain of the rule at this place.
    #[must_use]
    pub fn chain(&self, place: Place) -> Option<&Arc<Chain>> {
        self.chains.get(place.group)?.get(place.rule)?.as_ref()
    }

    /// The chains of all rules.
    pub fn chains(&self) -> impl Iterator<Item = &Arc<Chain>> {
        self.chains.iter().flat_map(|chains| chains.iter()).flatten()
    }

    /// The chain of the rule that holds for everything: the only one of a listener of TCP.
    #[must_use]
    pub fn only(&self) -> Option<&Arc<Chain>> {
        self.chains().next()
    }

    /// The place of this rule, if a pool has it; most likely where it was in another table.
    #[must_use]
    pub fn place(&self, rule: &str, likely: Place) -> Option<Place> {
        if self.chain(likely).is_some_and(|chain| **chain.rule() == *rule) {
            return Some(likely);
        }
        self.chains.iter().enumerate().find_map(|(group, chains)| {
            let rule = chains.iter().position(|chain| chain.as_ref().is_some_and(|chain| **chain.rule() == *rule))?;
            Some(Place { group, rule })
        })
    }
}

/// The live table; the control thread stores, workers load.
pub type TableHandle = Arc<ArcSwap<Table>>;
