//! The rules of one host, and who holds them.

use std::collections::HashMap;
use std::sync::Arc;

use weir_proto::model::HostPattern;

use super::RuleChain;
use super::canonical::Edit;
use super::rules::HostRules;

/// Immutable; the next one shares with it what stays.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) rules: Arc<HostRules>,
    /// In the order of `rules`.
    pub(super) chains: Vec<Arc<RuleChain>>,
}

impl Group {
    /// The group after these edits; `None` if nobody holds a rule any more.
    pub(super) fn edited(host: Option<&HostPattern>, previous: Option<&Self>, edits: Vec<Edit>) -> Option<Self> {
        let mut chains = previous.map(|previous| previous.chains.clone()).unwrap_or_default();
        apply(edits, host, &mut chains);
        chains.retain(|chain| !chain.pools.is_empty());
        // Nearly in order already, and such a list is sorted in one pass.
        chains.sort_by(|a, b| a.rank().cmp(&b.rank()));
        let rules = HostRules::renew(&chains, previous.map(|group| &group.rules));
        (!chains.is_empty()).then_some(Self { rules, chains })
    }
}

fn apply(edits: Vec<Edit>, host: Option<&HostPattern>, chains: &mut Vec<Arc<RuleChain>>) {
    let mut places: HashMap<Arc<str>, usize> =
        chains.iter().enumerate().map(|(place, chain)| (Arc::clone(&chain.rule.text), place)).collect();
    for Edit { rule, pool, holds } in edits {
        let place = *places.entry(Arc::clone(&rule.text)).or_insert_with(|| {
            chains.push(Arc::new(RuleChain::new(host, rule)));
            chains.len() - 1
        });
        Arc::make_mut(&mut chains[place]).set(pool, holds);
    }
}
