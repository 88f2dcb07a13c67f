//! All rules of one host, compiled.

use std::sync::Arc;

use weir_proto::model::PathMatch;

use super::Head;
use super::RuleChain;
use super::condition::Candidate;
use super::path::PathTrie;
use super::regexes::Regexes;

/// Finds the best of a host's rules. Knows them by their place in the host's order.
#[derive(Debug)]
pub(super) struct HostRules {
    /// The rules' texts, in order: equal texts compile to equal rules.
    texts: Vec<Arc<str>>,
    trie: PathTrie,
    regexes: Regexes,
}

impl HostRules {
    /// Compiles rules, which are in order, or shares `previous` if it is the same.
    pub(super) fn renew(rules: &[Arc<RuleChain>], previous: Option<&Arc<Self>>) -> Arc<Self> {
        let texts = || rules.iter().map(|chain| &chain.rule.text);
        match previous {
            Some(previous) if previous.texts.iter().eq(texts()) => Arc::clone(previous),
            _ => Arc::new(Self::compile(rules, previous.map(|previous| &previous.regexes))),
        }
    }

    fn compile(rules: &[Arc<RuleChain>], previous: Option<&Regexes>) -> Self {
        let mut trie = PathTrie::new();
        let mut regexes = Vec::new();
        for (index, rule) in rules.iter().map(|chain| &chain.rule).enumerate() {
            let candidate = Candidate::new(index, rule);
            match &rule.path {
                PathMatch::Exact(path) => trie.add_exact(path, candidate),
                PathMatch::Prefix(prefix) => trie.add_prefix(prefix, candidate),
                PathMatch::Regex { pattern, order: _ } => regexes.push((candidate, pattern)),
            }
        }
        let texts = rules.iter().map(|chain| Arc::clone(&chain.rule.text)).collect();
        Self { texts, trie, regexes: Regexes::compile(regexes, previous) }
    }

    /// Place of the best rule that holds: exact, regex, prefix (M6).
    pub(super) fn find(&self, head: &Head<'_>) -> Option<usize> {
        let place = self.trie.place(head.path);
        place.exact(head).or_else(|| self.regexes.find(head)).or_else(|| place.prefix(head))
    }
}
