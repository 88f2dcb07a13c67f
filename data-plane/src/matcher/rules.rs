//! What finds the rules of one host.

use std::sync::Arc;

use weir_proto::model::PathMatch;

use super::Head;
use super::RuleChain;
use super::condition::Candidate;
use super::path::PathTrie;
use super::regexes::Regexes;

/// Finds the best of a host's rules. Knows them by the numbers that the host gave them. A copy shares what it
/// has compiled.
#[derive(Debug, Clone, Default)]
pub(super) struct HostRules {
    trie: PathTrie,
    /// Those with a regex, in order.
    with_regex: Arc<Vec<Candidate>>,
    regexes: Arc<Regexes>,
}

impl HostRules {
    /// Takes in a rule; to be followed by [`HostRules::compile`].
    pub(super) fn insert(&mut self, number: usize, chain: &Arc<RuleChain>) {
        self.edit(&chain.rule.path, |rules| {
            let place = rules.partition_point(|other| other.chain.rank() < chain.rank());
            rules.insert(place, Candidate::new(number, chain));
        });
    }

    /// Gives up a rule, as [`HostRules::insert`].
    pub(super) fn remove(&mut self, number: usize, path: &PathMatch) {
        self.edit(path, |rules| rules.retain(|candidate| candidate.number != number));
    }

    fn edit(&mut self, path: &PathMatch, edit: impl FnOnce(&mut Vec<Candidate>)) {
        match path {
            PathMatch::Exact(path) => self.trie.edit_exact(path, edit),
            PathMatch::Prefix(prefix) => self.trie.edit_prefix(prefix, edit),
            PathMatch::Regex { .. } => edit(Arc::make_mut(&mut self.with_regex)),
        }
    }

    /// Compiles the regexes, unless they are what they were.
    pub(super) fn compile(&mut self) {
        self.regexes = Regexes::renew(&self.with_regex, &self.regexes);
    }

    /// Number of the best rule that holds: exact, regex, prefix (M6).
    pub(super) fn find(&self, head: &Head<'_>) -> Option<usize> {
        let place = self.trie.place(head.path);
        place.exact(head).or_else(|| self.regexes.find(head)).or_else(|| place.prefix(head))
    }
}
