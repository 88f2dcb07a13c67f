//! Which chain of pools takes a request (M1 to M4, M6, M7).
//!
//! Everything that can be decided is decided when configuration arrives: rules are grouped by host and put
//! in order (M6), equal ones are joined (M7), paths become a trie and regexes sets. A request then looks up
//! its host, walks its path once, and judges only conditions of rules whose host and path hold already, so
//! its cost hardly depends on how many rules there are (M9).

mod canonical;
mod condition;
pub mod host;
mod path;
mod prefix;
mod regexes;
mod rules;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use http::{HeaderMap, Method};
use weir_proto::model::{HostPattern, Pool, ResourceName};

use self::canonical::HostRule;
use self::host::HostMap;
use self::rules::HostRules;

/// What is looked at of a request.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// As made by [`host::normalise`].
    pub host: &'a str,
    /// As made by [`crate::http::path::normalise`].
    pub path: &'a str,
    /// Without its question mark.
    pub query: Option<&'a str>,
    /// As sent.
    pub method: &'a Method,
    /// As sent.
    pub headers: &'a HeaderMap,
}

/// The pools that hold one rule (M7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleChain {
    /// The rule, with one host, in canonical text: no two rules of a matcher have the same, and a rule keeps
    /// its own whatever becomes of the others.
    pub key: Arc<str>,
    /// Who holds it, in order of name.
    pub pools: Vec<ResourceName>,
}

impl RuleChain {
    fn new(host: Option<&HostPattern>, HostRule { rule, pools }: HostRule) -> Self {
        let host = host.map_or_else(|| "*".to_owned(), ToString::to_string);
        Self { key: format!("{host} {}", rule.text).into(), pools: pools.into_iter().collect() }
    }
}

/// The compiled rules of one listener.
#[derive(Debug, Default)]
pub struct Matcher {
    groups: HostMap<Group>,
    chains: Vec<RuleChain>,
}

/// The rules of one host. Their chains follow each other, the best rule's first.
#[derive(Debug)]
struct Group {
    first_chain: usize,
    rules: Arc<HostRules>,
}

impl Matcher {
    /// Compiles the rules of these pools, whose order does not matter. Hosts whose rules are those of
    /// `previous` are shared with it, and so is every regex set that stays the same.
    pub fn compile<'a>(pools: impl IntoIterator<Item = &'a Pool>, previous: Option<&Self>) -> Self {
        let mut matcher = Self::default();
        for (host, rules) in canonical::by_host(pools) {
            let old = previous.and_then(|previous| previous.groups.get(host.as_ref())).map(|group| &group.rules);
            let group = Group { first_chain: matcher.chains.len(), rules: HostRules::renew(&rules, old) };
            matcher.chains.extend(rules.into_iter().map(|held| RuleChain::new(host.as_ref(), held)));
            matcher.groups.insert(host, group);
        }
        matcher
    }

    /// Index into [`Matcher::chains`] of the best rule that holds for the request.
    #[must_use]
    pub fn find(&self, head: &Head<'_>) -> Option<usize> {
        self.groups.levels(head.host).find_map(|group| Some(group.first_chain + group.rules.find(head)?))
    }

    /// Every rule that there is, with the pools that hold it.
    #[must_use]
    pub fn chains(&self) -> &[RuleChain] {
        &self.chains
    }
}
