//! What the request path reads: pools, and for each listener the compiled rules and their chains.

pub mod build;
pub mod chain;

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use weir_proto::model::ResourceName;

pub use chain::Chain;

use crate::matcher::{Head, Matcher};
use crate::pool::Pool;

/// One state of the configuration. Immutable; a request reads one table from its beginning to its end, so that
/// match, retry and log agree. Only one that found nobody to try has a look at the live table.
#[derive(Debug, Default)]
pub struct Table {
    /// In the order of their names.
    pub pools: Vec<Arc<Pool>>,
    /// One per listener, in the order of the listeners of this process.
    pub listeners: Vec<Routes>,
}

/// The rules of one listener.
#[derive(Debug, Default)]
pub struct Routes {
    /// Finds the best rule.
    pub matcher: Matcher,
    /// The chain of each of the matcher's rules.
    pub chains: Vec<Chain>,
}

impl Routes {
    /// Index of the chain of the best rule for a request.
    #[must_use]
    pub fn find(&self, head: &Head<'_>) -> Option<usize> {
        self.matcher.find(head)
    }

    /// Index of the chain of this rule, if a pool has it.
    #[must_use]
    pub fn position(&self, rule: &str) -> Option<usize> {
        self.chains.iter().position(|chain| &*chain.rule == rule)
    }
}

impl Table {
    /// The pool of this name.
    #[must_use]
    pub fn pool(&self, name: &ResourceName) -> Option<&Arc<Pool>> {
        self.position(name).map(|index| &self.pools[index])
    }

    fn position(&self, name: &ResourceName) -> Option<usize> {
        self.pools.binary_search_by(|pool| pool.config.name.cmp(name)).ok()
    }

    /// Cursors of all chains by rule, to be carried over.
    fn cursors(&self) -> HashMap<&str, &Arc<std::sync::atomic::AtomicUsize>> {
        let chains = self.listeners.iter().flat_map(|routes| &routes.chains);
        chains.map(|chain| (&*chain.rule, &chain.cursor)).collect()
    }
}

/// The live table; the control thread stores, workers load.
pub type TableHandle = Arc<ArcSwap<Table>>;
