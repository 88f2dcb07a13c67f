//! What a rule lacks to hold for a request: for people, who ask why another one holds. No request comes here.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use weir_proto::model::{PathMatch, ValueMatch};

use super::canonical::{CanonicalRule, path_text, test_text};
use super::condition::{HeaderCondition, QueryCondition};
use super::{Head, Matcher, Place, RuleChain};
use crate::http::query;

/// A rule, and what of it does not hold.
#[derive(Debug, Clone)]
pub struct Near {
    /// The rule.
    pub chain: Arc<RuleChain>,
    /// Where it is.
    pub place: Place,
    /// Nothing = it holds.
    pub misses: Vec<Miss>,
}

/// A condition that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Miss {
    /// `host`, `path`, `method`, `header` or `query`.
    pub condition: &'static str,
    /// Of the header or parameter.
    pub name: Option<String>,
    /// What the rule asks for.
    pub expected: String,
    /// What the request has.
    pub found: Option<String>,
}

/// How far a rule is from holding; the least is the nearest.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Distance {
    host: bool,
    path: bool,
    others: usize,
    /// Bytes that its path has in common with that of the request.
    alike: Reverse<usize>,
}

impl Matcher {
    /// The rule that [`Matcher::find`] gives, and those that come nearest to holding. Looks at all rules.
    #[must_use]
    pub fn nearest(&self, head: &Head<'_>, most: usize) -> Vec<Near> {
        let of_host: BTreeSet<usize> = self.hosts.levels(head.host).copied().collect();
        let groups = self.groups.iter().enumerate().filter_map(|(number, group)| Some((number, group.as_ref()?)));
        let mut rules: Vec<(Distance, Place, &Arc<RuleChain>)> = groups
            .flat_map(|(group, rules)| rules.chains.iter().map(move |(rule, chain)| (Place { group, rule }, chain)))
            .map(|(place, chain)| (distance(&chain.rule, head, of_host.contains(&place.group)), place, chain))
            .collect();
        let found = self.find(head);
        let is_other = |place: &Place| Some(*place) != found;
        rules.sort_by(|(a, here, one), (b, there, other)| {
            let found_first = is_other(here).cmp(&is_other(there));
            found_first.then_with(|| a.cmp(b)).then_with(|| one.rank().cmp(&other.rank()))
        });
        rules.truncate(most);
        let near = |(distance, place, chain): (Distance, Place, &Arc<RuleChain>)| Near {
            chain: chain.clone(),
            place,
            misses: misses(chain, head, !distance.host),
        };
        rules.into_iter().map(near).collect()
    }
}

fn distance(rule: &CanonicalRule, head: &Head<'_>, host_holds: bool) -> Distance {
    let CanonicalRule { path, methods, headers, query, text: _ } = rule;
    let headers = headers.iter().filter(|value| !header_holds(value, head));
    let query = query.iter().filter(|value| !parameter_holds(value, head));
    Distance {
        host: !host_holds,
        path: !path_holds(path, head.path),
        others: usize::from(!method_holds(methods, head)) + headers.count() + query.count(),
        alike: Reverse(alike(path, head.path)),
    }
}

fn misses(chain: &RuleChain, head: &Head<'_>, host_holds: bool) -> Vec<Miss> {
    let CanonicalRule { path, methods, headers, query, text: _ } = &*chain.rule;
    let host = chain.key.split_once(' ').map_or("*", |(host, _)| host);
    let unnamed =
        |condition, expected, found: &str| Miss { condition, name: None, expected, found: Some(found.to_owned()) };
    let host = (!host_holds).then(|| unnamed("host", host.to_owned(), head.host));
    let path = (!path_holds(path, head.path)).then(|| unnamed("path", path_text(path), head.path));
    let method = (!method_holds(methods, head)).then(|| unnamed("method", methods.join(", "), head.method.as_str()));
    let headers = headers.iter().filter(|value| !header_holds(value, head)).map(|value| missing_header(value, head));
    let query = query.iter().filter(|value| !parameter_holds(value, head)).map(|value| missing_parameter(value, head));
    [host, path, method].into_iter().flatten().chain(headers).chain(query).collect()
}

fn path_holds(rule: &PathMatch, path: &str) -> bool {
    match rule {
        PathMatch::Exact(exact) => exact == path,
        PathMatch::Prefix(prefix) => path.strip_prefix(&**prefix).is_some_and(|r| r.is_empty() || r.starts_with('/')),
        PathMatch::Regex { pattern, order: _ } => pattern.regex().is_match(path),
    }
}

fn alike(rule: &PathMatch, path: &str) -> usize {
    match rule {
        PathMatch::Exact(text) | PathMatch::Prefix(text) => {
            text.bytes().zip(path.bytes()).take_while(|(a, b)| a == b).count()
        }
        PathMatch::Regex { .. } => 0,
    }
}

fn method_holds(methods: &[String], head: &Head<'_>) -> bool {
    methods.is_empty() || methods.iter().any(|method| method == head.method.as_str())
}

fn header_holds(value: &ValueMatch, head: &Head<'_>) -> bool {
    HeaderCondition::compile(value).holds(head.headers)
}

fn parameter_holds(value: &ValueMatch, head: &Head<'_>) -> bool {
    QueryCondition::compile(value).holds(head.query.unwrap_or_default())
}

fn missing_header(value: &ValueMatch, head: &Head<'_>) -> Miss {
    let values = head.headers.get_all(&value.name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    named("header", value, values.map(std::borrow::Cow::into_owned))
}

fn missing_parameter(value: &ValueMatch, head: &Head<'_>) -> Miss {
    let values = query::values(head.query.unwrap_or_default(), &value.name);
    named("query", value, values.map(|value| String::from_utf8_lossy(&value.decode()).into_owned()))
}

fn named(condition: &'static str, value: &ValueMatch, found: impl Iterator<Item = String>) -> Miss {
    let found: Vec<String> = found.collect();
    let found = (!found.is_empty()).then(|| found.join(", "));
    Miss { condition, name: Some(value.name.clone()), expected: test_text(&value.test), found }
}
