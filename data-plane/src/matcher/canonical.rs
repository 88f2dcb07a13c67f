//! Rules in the one form in which equal ones look the same (M7), and their order (M6).

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use weir_proto::model::{HostPattern, PathMatch, Pattern, Pool, ResourceName, Rule, ValueMatch, ValueTest};

use super::Change;
use crate::http::path::normalise;

/// A rule without its hosts. Lists are sorted and hold nothing twice; no path is the prefix `/`.
#[derive(Debug)]
pub(super) struct CanonicalRule {
    pub(super) path: PathMatch,
    pub(super) methods: Vec<String>,
    pub(super) headers: Vec<ValueMatch>,
    pub(super) query: Vec<ValueMatch>,
    /// Says all of the above; equal rules have equal text.
    pub(super) text: Arc<str>,
}

/// The pools that hold one rule (M7).
#[derive(Debug, Clone)]
pub struct RuleChain {
    /// The rule, with one host, in canonical text: no two rules of a matcher have the same, and a rule keeps
    /// its own whatever becomes of the others.
    pub key: Arc<str>,
    /// Who holds it.
    pub pools: BTreeSet<ResourceName>,
    pub(super) rule: Arc<CanonicalRule>,
}

/// Who begins to hold a rule of a host, and who ends to; what ends goes first.
#[derive(Debug)]
pub(super) struct Edit {
    pub(super) rule: Arc<CanonicalRule>,
    pub(super) holders: Vec<(ResourceName, bool)>,
}

/// By the texts of the rules.
pub(super) type Edits = BTreeMap<Arc<str>, Edit>;

/// What changes of pools come to at each host.
pub(super) fn edits_by_host<'a>(changes: impl IntoIterator<Item = Change<'a>>) -> BTreeMap<Option<HostPattern>, Edits> {
    let mut hosts: BTreeMap<_, Edits> = BTreeMap::new();
    for Change { before, after } in changes {
        for (pool, holds) in before.map(|pool| (pool, false)).into_iter().chain(after.map(|pool| (pool, true))) {
            for (host, rule) in rules_of(pool) {
                let edits = hosts.entry(host).or_default().entry(Arc::clone(&rule.text));
                edits.or_insert_with(|| Edit { rule, holders: Vec::new() }).holders.push((pool.name.clone(), holds));
            }
        }
    }
    hosts
}

/// One per rule and host.
fn rules_of(pool: &Pool) -> Vec<(Option<HostPattern>, Arc<CanonicalRule>)> {
    let everything = [Rule::default()];
    let rules = if pool.rules.is_empty() { &everything[..] } else { &pool.rules };
    let mut out = Vec::with_capacity(rules.len());
    for rule in rules {
        let canonical = Arc::new(CanonicalRule::new(rule));
        let any = rule.hosts.is_empty().then_some(None);
        let hosts = any.into_iter().chain(rule.hosts.iter().cloned().map(Some));
        out.extend(hosts.map(|host| (host, Arc::clone(&canonical))));
    }
    out
}

/// Place among the rules of one host; the least goes first (M6).
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank<'a> {
    path: PathRank,
    conditions: Reverse<usize>,
    holder: Option<&'a ResourceName>,
    text: &'a str,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum PathRank {
    Exact,
    Regex { order: i32, length: Reverse<usize> },
    Prefix { length: Reverse<usize> },
}

impl RuleChain {
    pub(super) fn new(host: Option<&HostPattern>, rule: Arc<CanonicalRule>) -> Self {
        let host = host.map_or_else(|| "*".to_owned(), ToString::to_string);
        Self { key: format!("{host} {}", rule.text).into(), pools: BTreeSet::new(), rule }
    }

    /// With other holders.
    pub(super) fn edited(&self, holders: Vec<(ResourceName, bool)>) -> Self {
        let mut next = self.clone();
        for (pool, holds) in holders {
            if holds {
                next.pools.insert(pool);
            } else {
                next.pools.remove(&pool);
            }
        }
        next
    }

    pub(super) fn rank(&self) -> Rank<'_> {
        let rule = &*self.rule;
        Rank {
            path: match &rule.path {
                PathMatch::Exact(_) => PathRank::Exact,
                PathMatch::Regex { pattern, order } => {
                    PathRank::Regex { order: *order, length: Reverse(pattern.as_str().len()) }
                }
                PathMatch::Prefix(prefix) => PathRank::Prefix { length: Reverse(prefix.len()) },
            },
            conditions: Reverse(usize::from(!rule.methods.is_empty()) + rule.headers.len() + rule.query.len()),
            holder: self.pools.first(),
            text: &rule.text,
        }
    }
}

impl CanonicalRule {
    pub(super) fn new(rule: &Rule) -> Self {
        let Rule { hosts: _, path, methods, headers, query } = rule;
        let mut methods = methods.clone();
        methods.sort_unstable();
        methods.dedup();
        let mut canonical = Self {
            path: canonical_path(path.as_ref()),
            methods,
            headers: canonical_values(headers),
            query: canonical_values(query),
            text: "".into(),
        };
        canonical.text = canonical.describe().into();
        canonical
    }

    fn describe(&self) -> String {
        let mut text = path_text(&self.path);
        if !self.methods.is_empty() {
            // Writing to a string cannot fail.
            let _ = write!(text, " methods {}", self.methods.join(","));
        }
        for (kind, values) in [("header", &self.headers), ("query", &self.query)] {
            for value in values {
                let _ = write!(text, " {kind} {}", value_text(value));
            }
        }
        text
    }
}

/// The prefix in a rule's canonical text; `None` if its path is no prefix, or one that needs quoting.
#[must_use]
pub fn prefix_of(key: &str) -> Option<&str> {
    let (_, rule) = key.split_once(' ')?;
    let quoted = rule.strip_prefix("Prefix \"")?;
    let (prefix, _) = quoted.split_once('"')?;
    (!prefix.contains('\\')).then_some(prefix)
}

/// Rules are written as people write paths; requests come in normal form.
fn canonical_path(path: Option<&PathMatch>) -> PathMatch {
    // A path without normal form stays as it is: no request has it.
    let normal = |path: &str| normalise(path).map_or_else(|_| path.to_owned(), Cow::into_owned);
    match path {
        None => PathMatch::Prefix(String::new()),
        Some(PathMatch::Exact(path)) => PathMatch::Exact(normal(path)),
        Some(PathMatch::Prefix(prefix)) => PathMatch::Prefix(normal(prefix).trim_end_matches('/').to_owned()),
        Some(regex @ PathMatch::Regex { .. }) => regex.clone(),
    }
}

fn canonical_values(values: &[ValueMatch]) -> Vec<ValueMatch> {
    let sorted: BTreeMap<String, &ValueMatch> = values.iter().map(|value| (value_text(value), value)).collect();
    sorted.into_values().cloned().collect()
}

/// Texts of users are quoted and escaped, so that no value can pass for another condition.
fn value_text(value: &ValueMatch) -> String {
    let ValueMatch { name, test } = value;
    format!("{name:?} {}", test_text(test))
}

pub(super) fn test_text(test: &ValueTest) -> String {
    match test {
        ValueTest::Exact(value) => format!("Exact {value:?}"),
        ValueTest::Regex(pattern) => format!("Regex {}", pattern_text(pattern)),
        ValueTest::Present => "Present".to_owned(),
    }
}

pub(super) fn path_text(path: &PathMatch) -> String {
    match path {
        PathMatch::Exact(path) => format!("Exact {path:?}"),
        PathMatch::Prefix(prefix) if prefix.is_empty() => "Prefix \"/\"".to_owned(),
        PathMatch::Prefix(prefix) => format!("Prefix {prefix:?}"),
        PathMatch::Regex { pattern, order } => format!("Regex {} order {order}", pattern_text(pattern)),
    }
}

fn pattern_text(pattern: &Pattern) -> String {
    let case = if pattern.case_insensitive() { " caseInsensitive" } else { "" };
    format!("{:?}{case}", pattern.as_str())
}
