//! A rule never matches, as another one, which goes first (M6), takes all of its requests; or it is in its Pool twice.
//!
//! Equal rules of different Pools back each other up, and shadow nobody. What a regular expression matches is certain
//! only if it is one of those that match everything, or the same in both rules.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use weir_proto::model::{PathMatch, Pool, PoolProtocol, ResourceName, Rule, ValueMatch, ValueTest};

use super::{Hit, Lint, Resources, chains};

pub(super) const LINT: Lint = Lint {
    id: "shadowed-rule",
    about: "a match rule never matches: another one takes all of its requests, or it is there twice",
    look,
};

/// Patterns that match every path, as people write them.
const EVERYTHING: [&str; 10] = ["", "^", "^/", "/", ".*", "^.*", "^.*$", ".*$", "^/.*", "^/.*$"];

/// A rule at one of its hosts.
struct Entry<'a> {
    pool: &'a Pool,
    place: usize,
    rule: &'a Rule,
    path: PathMatch,
    text: String,
}

/// Rules that may take requests of others, by host: those that take every path, and those of each path.
#[derive(Default)]
struct Host<'a> {
    everything: Vec<Entry<'a>>,
    by_path: BTreeMap<String, Vec<Entry<'a>>>,
}

fn look(resources: &Resources) -> Vec<Hit> {
    let hosts = index(resources);
    let holders = holders(&hosts);
    let rules = http_pools(resources).flat_map(|pool| pool.rules.iter().enumerate().map(move |rule| (pool, rule)));
    rules.filter_map(|(pool, (place, rule))| judge(&hosts, &holders, pool, place, rule)).collect()
}

fn http_pools(resources: &Resources) -> impl Iterator<Item = &Pool> {
    resources.pools().filter(|pool| pool.protocol == PoolProtocol::Http)
}

fn index(resources: &Resources) -> BTreeMap<String, Host<'_>> {
    let mut hosts: BTreeMap<String, Host<'_>> = BTreeMap::new();
    for pool in http_pools(resources) {
        for (place, rule) in pool.rules.iter().enumerate() {
            for name in chains::hosts(rule) {
                let (path, text) = (chains::path(rule), chains::conditions(rule));
                let entry = Entry { pool, place, rule, text, path };
                let host = hosts.entry(name).or_default();
                match takes_every_path(&entry.path) {
                    true => host.everything.push(entry),
                    false => host.by_path.entry(format!("{:?}", entry.path)).or_default().push(entry),
                }
            }
        }
    }
    hosts
}

/// The first Pool by name of each rule of each host: its place among others goes by that.
fn holders<'a>(hosts: &BTreeMap<String, Host<'a>>) -> BTreeMap<(String, String), &'a ResourceName> {
    let mut holders = BTreeMap::new();
    for (host, rules) in hosts {
        for entry in rules.everything.iter().chain(rules.by_path.values().flatten()) {
            let first = holders.entry((host.clone(), entry.text.clone())).or_insert(&entry.pool.name);
            *first = (*first).min(&entry.pool.name);
        }
    }
    holders
}

/// What is to be said of a rule: it is shadowed if it is so at each of its hosts.
fn judge(
    hosts: &BTreeMap<String, Host<'_>>,
    holders: &BTreeMap<(String, String), &ResourceName>,
    pool: &Pool,
    place: usize,
    rule: &Rule,
) -> Option<Hit> {
    let entry = Entry { pool, place, rule, path: chains::path(rule), text: chains::conditions(rule) };
    let mut why = None;
    for name in chains::hosts(rule) {
        let host = hosts.get(&name)?;
        let same_path = host.by_path.get(&format!("{:?}", entry.path)).into_iter().flatten();
        let rank = |entry: &Entry<'_>| rank(entry, holders.get(&(name.clone(), entry.text.clone())).copied());
        let takes_all =
            |other: &&Entry<'_>| entry.is_again(other) || (other.covers(&entry) && rank(other) < rank(&entry));
        why = Some(host.everything.iter().chain(same_path).find(takes_all)?.describe());
    }
    let message = format!("never matches: {} takes all of its requests", why?);
    Some(Hit::pool(&pool.name, format!("spec.match[{place}]"), message))
}

impl Entry<'_> {
    /// Whether `other` stands before it in the same Pool, and says the same.
    fn is_again(&self, other: &Entry<'_>) -> bool {
        self.pool.name == other.pool.name && other.place < self.place && self.text == other.text
    }

    /// Whether each request of `other` is one of this rule, too, and is not shared with it.
    fn covers(&self, other: &Entry<'_>) -> bool {
        let (own, its) = (self.rule, other.rule);
        let methods = own.methods.is_empty()
            || (!its.methods.is_empty() && its.methods.iter().all(|method| own.methods.contains(method)));
        let listeners = self.pool.listeners.is_empty()
            || (!other.pool.listeners.is_empty()
                && other.pool.listeners.iter().all(|listener| self.pool.listeners.contains(listener)));
        self.text != other.text
            && (self.path == other.path || takes_every_path(&self.path))
            && methods
            && listeners
            && own.headers.iter().all(|test| is_implied(test, &its.headers))
            && own.query.iter().all(|test| is_implied(test, &its.query))
    }

    fn describe(&self) -> String {
        format!("match[{}] of Pool {}", self.place, self.pool.name)
    }
}

/// Whether who passes these tests passes this one, too.
fn is_implied(test: &ValueMatch, by: &[ValueMatch]) -> bool {
    by.iter().any(|other| other == test || (test.test == ValueTest::Present && other.name == test.name))
}

fn takes_every_path(path: &PathMatch) -> bool {
    matches!(path, PathMatch::Regex { pattern, .. } if EVERYTHING.contains(&pattern.as_str()))
}

/// Place among the rules of one host; the least goes first (M6). Ties within a Pool are decided by nothing that a user
/// would know.
fn rank<'a>(
    entry: &Entry<'_>,
    holder: Option<&'a ResourceName>,
) -> (u8, i32, Reverse<usize>, Reverse<usize>, Option<&'a ResourceName>) {
    let rule = entry.rule;
    let conditions = usize::from(!rule.methods.is_empty()) + rule.headers.len() + rule.query.len();
    let (kind, order, length) = match &entry.path {
        PathMatch::Exact(_) => (0, 0, 0),
        PathMatch::Regex { pattern, order } => (1, *order, pattern.as_str().len()),
        PathMatch::Prefix(prefix) => (2, 0, prefix.len()),
    };
    (kind, order, Reverse(length), Reverse(conditions), holder)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{backend, hits, pool};
    use super::*;

    fn found(pools: &[(&str, &str)]) -> Vec<String> {
        let manifests = pools.iter().flat_map(|(name, rules)| [pool(name, rules), backend(name, "")]);
        let manifests: Vec<String> = manifests.collect();
        hits(LINT, &manifests.iter().map(String::as_str).collect::<Vec<_>>())
    }

    const PREFIX: &str = "match: [{path: {type: Prefix, value: /a}}]";
    const ALL: &str = "match: [{path: {type: Regex, value: '^/'}}]";

    #[test]
    fn a_rule_behind_one_that_matches_everything_is_found() {
        let expected =
            "Pool default/b: spec.match[0]: never matches: match[0] of Pool default/a takes all of its requests";
        assert_eq!(found(&[("a", ALL), ("b", PREFIX)]), [expected]);
        let later = "match: [{path: {type: Regex, value: '^/x', order: 1}}]";
        assert_eq!(found(&[("a", ALL), ("b", later)]).len(), 1);
    }

    #[test]
    fn a_rule_that_is_there_twice_is_found() {
        let twice = "match: [{path: {type: Exact, value: /a}, methods: [GET, POST]}, {path: {type: Exact, value: /a}, methods: [POST, GET]}]";
        let expected =
            "Pool default/a: spec.match[1]: never matches: match[0] of Pool default/a takes all of its requests";
        assert_eq!(found(&[("a", twice)]), [expected]);
    }

    #[test]
    fn of_rules_with_as_many_conditions_the_pool_that_comes_first_by_name_shadows() {
        let two = "match: [{methods: [GET, POST], headers: [{name: x, type: Present}]}]";
        let one = "match: [{methods: [GET], headers: [{name: x, type: Exact, value: y}]}]";
        assert_eq!(found(&[("a", two), ("b", one)]).len(), 1);
        assert_eq!(found(&[("a", one), ("b", two)]), [""; 0], "the narrow one goes first");
    }

    #[test]
    fn what_may_match_is_not_found() {
        let hosted = "match: [{path: {type: Regex, value: '^/'}, hosts: [a.b]}]";
        let elsewhere = "match: [{path: {type: Regex, value: '^/'}}], listeners: [other]";
        let exact = "match: [{path: {type: Exact, value: /a}}]";
        let narrow = "match: [{path: {type: Prefix, value: /a}, methods: [GET]}]";
        let earlier = "match: [{path: {type: Regex, value: '^/x', order: -1}}]";
        for (a, b) in [
            (PREFIX, PREFIX),
            (ALL, ALL),
            (hosted, PREFIX),
            (elsewhere, PREFIX),
            (ALL, exact),
            (PREFIX, narrow),
            (narrow, PREFIX),
            (ALL, earlier),
            (PREFIX, "match: [{path: {type: Prefix, value: /a/b}}]"),
        ] {
            assert_eq!(found(&[("a", a), ("b", b)]), [""; 0], "{a} {b}");
        }
    }

    #[test]
    fn a_rule_that_matches_at_one_of_its_hosts_is_not_found() {
        let some = "match: [{hosts: [a.b], path: {type: Regex, value: '.*'}}]";
        let both = "match: [{hosts: [a.b, c.d], path: {type: Prefix, value: /a}}]";
        assert_eq!(found(&[("a", some), ("b", both)]), [""; 0]);
        let all = "match: [{hosts: [a.b, c.d], path: {type: Regex, value: '.*'}}]";
        assert_eq!(found(&[("a", all), ("b", both)]).len(), 1);
    }
}
