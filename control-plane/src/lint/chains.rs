//! Which Pools back each other up: those with an equal rule, on the same listeners.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use weir_proto::model::{PathMatch, Pool, PoolProtocol, Rule};

use super::Resources;

/// The Pools of one rule, by priority.
pub(super) type Chain<'a> = BTreeMap<i32, Vec<&'a Pool>>;

/// All chains of enabled Pools.
pub(super) fn of(resources: &Resources) -> Vec<Chain<'_>> {
    let mut chains: BTreeMap<String, Chain<'_>> = BTreeMap::new();
    for pool in resources.pools().filter(|pool| pool.enabled) {
        for rule in keys(pool) {
            chains.entry(rule).or_default().entry(pool.priority).or_default().push(pool);
        }
    }
    chains.into_values().collect()
}

/// Names below this belong to nobody (RFC 6761): a Pool that others inherit from has one to take no requests itself.
const NOBODY: &str = ".invalid";

/// What the rules of a Pool are called, one for each host; equal ones are called alike.
fn keys(pool: &Pool) -> BTreeSet<String> {
    let listeners = pool.listeners.iter().collect::<BTreeSet<_>>();
    if pool.protocol == PoolProtocol::Tcp {
        return [format!("TCP {listeners:?}")].into();
    }
    let everything = [Rule::default()];
    let rules = if pool.rules.is_empty() { &everything[..] } else { &pool.rules };
    let key = |host: String, rule: &Rule| format!("{listeners:?} {host} {}", conditions(rule));
    let hosts = |rule| hosts(rule).into_iter().filter(|host| !host.ends_with(NOBODY));
    rules.iter().flat_map(|rule| hosts(rule).map(move |host| key(host, rule))).collect()
}

/// The hosts of a rule; an empty one stands for any.
pub(super) fn hosts(rule: &Rule) -> Vec<String> {
    let any = rule.hosts.is_empty().then(String::new);
    any.into_iter().chain(rule.hosts.iter().map(ToString::to_string)).collect()
}

/// A rule without its hosts, in one form in which equal ones look the same.
pub(super) fn conditions(rule: &Rule) -> String {
    let methods: BTreeSet<&String> = rule.methods.iter().collect();
    let values = |values: &[_]| values.iter().map(|value| format!("{value:?}")).collect::<BTreeSet<_>>();
    let mut text = format!("{:?}", path(rule));
    // Writing to a string does not fail.
    let _ = write!(text, " {methods:?} {:?} {:?}", values(&rule.headers), values(&rule.query));
    text
}

/// The path of a rule; none is the prefix of all.
pub(super) fn path(rule: &Rule) -> PathMatch {
    rule.path.clone().unwrap_or_else(|| PathMatch::Prefix(String::new()))
}
