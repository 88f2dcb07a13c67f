//! The rules of one host, and who holds them.

use std::collections::BTreeSet;
use std::sync::Arc;

use imbl::HashMap;
use slab::Slab;
use weir_proto::model::HostPattern;

use super::RuleChain;
use super::canonical::{Edit, Edits};
use super::rules::HostRules;

/// Immutable once it is live; the next one shares with it what stays.
#[derive(Debug, Clone, Default)]
pub(super) struct Group {
    /// By number, which a rule keeps as long as anybody holds it.
    pub(super) chains: Slab<Arc<RuleChain>>,
    /// By the texts of the rules.
    numbers: HashMap<Arc<str>, usize>,
    pub(super) rules: HostRules,
}

impl Group {
    /// Applies edits; gives the numbers of the rules that they concern.
    pub(super) fn edit(&mut self, host: Option<&HostPattern>, edits: Edits) -> BTreeSet<usize> {
        let concerned = edits.into_values().filter_map(|edit| self.edit_rule(host, edit)).collect();
        self.rules.compile();
        concerned
    }

    fn edit_rule(&mut self, host: Option<&HostPattern>, Edit { rule, holders }: Edit) -> Option<usize> {
        let Some(number) = self.numbers.get(&rule.text).copied() else {
            return self.insert(RuleChain::new(host, rule).edited(holders));
        };
        let next = self.chains[number].edited(holders);
        if next.pools != self.chains[number].pools {
            self.replace(number, next);
        }
        Some(number)
    }

    fn insert(&mut self, chain: RuleChain) -> Option<usize> {
        if chain.pools.is_empty() {
            return None;
        }
        let chain = Arc::new(chain);
        let number = self.chains.insert(Arc::clone(&chain));
        self.numbers.insert(Arc::clone(&chain.rule.text), number);
        self.rules.insert(number, &chain);
        Some(number)
    }

    fn replace(&mut self, number: usize, chain: RuleChain) {
        self.rules.remove(number, &chain.rule.path);
        if chain.pools.is_empty() {
            self.chains.remove(number);
            self.numbers.remove(&chain.rule.text);
        } else {
            let chain = Arc::new(chain);
            self.rules.insert(number, &chain);
            self.chains[number] = chain;
        }
    }
}
