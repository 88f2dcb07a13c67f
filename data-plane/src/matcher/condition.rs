//! The conditions of a rule besides host and path.

use std::sync::Arc;

use http::{HeaderMap, HeaderName};
use regex::Regex;
use weir_proto::model::{ValueMatch, ValueTest};

use super::Head;
use super::canonical::{CanonicalRule, RuleChain};
use crate::http::query::{self, Encoded};

/// A rule whose host and path hold: its number among its host's rules, and what else it asks.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) number: usize,
    /// For its rank; no request looks there.
    pub(super) chain: Arc<RuleChain>,
    /// `None` if it asks nothing else, which is most rules: no memory is touched then.
    conditions: Option<Arc<Conditions>>,
}

impl Candidate {
    pub(super) fn new(number: usize, chain: &Arc<RuleChain>) -> Self {
        Self { number, chain: Arc::clone(chain), conditions: Conditions::compile(&chain.rule).map(Arc::new) }
    }

    pub(super) fn holds(&self, head: &Head<'_>) -> bool {
        #[cfg(test)]
        super::tests::count_judged();
        self.conditions.as_ref().is_none_or(|conditions| conditions.hold(head))
    }
}

/// Number of the first of these, which are in order, that holds.
pub(super) fn first(candidates: &[Candidate], head: &Head<'_>) -> Option<usize> {
    candidates.iter().find(|candidate| candidate.holds(head)).map(|candidate| candidate.number)
}

#[derive(Debug)]
struct Conditions {
    methods: Box<[Box<str>]>,
    headers: Box<[HeaderCondition]>,
    query: Box<[QueryCondition]>,
}

/// What one of a header's values must be.
#[derive(Debug)]
pub(crate) struct HeaderCondition {
    /// `None` if the name is illegal: no request has such a header.
    name: Option<HeaderName>,
    test: Test,
}

/// What one of a query parameter's values must be.
#[derive(Debug)]
pub(crate) struct QueryCondition {
    name: Box<str>,
    test: Test,
}

/// What a value must be.
#[derive(Debug)]
pub(crate) enum Test {
    Exact(Box<[u8]>),
    Regex(Regex),
    Present,
}

impl Conditions {
    fn compile(rule: &CanonicalRule) -> Option<Self> {
        let CanonicalRule { path: _, methods, headers, query, text: _ } = rule;
        let any = !(methods.is_empty() && headers.is_empty() && query.is_empty());
        any.then(|| Self {
            methods: methods.iter().map(|method| method.as_str().into()).collect(),
            headers: headers.iter().map(HeaderCondition::compile).collect(),
            query: query.iter().map(QueryCondition::compile).collect(),
        })
    }

    fn hold(&self, head: &Head<'_>) -> bool {
        let method = self.methods.is_empty() || self.methods.iter().any(|method| **method == *head.method.as_str());
        method
            && self.headers.iter().all(|header| header.holds(head.headers))
            && self.query.iter().all(|parameter| parameter.holds(head.query.unwrap_or_default()))
    }
}

impl HeaderCondition {
    pub(crate) fn compile(value: &ValueMatch) -> Self {
        Self { name: HeaderName::try_from(&value.name).ok(), test: Test::compile(&value.test) }
    }

    pub(crate) fn holds(&self, headers: &HeaderMap) -> bool {
        let values = self.name.as_ref().map(|name| headers.get_all(name));
        values.into_iter().flatten().any(|value| self.test.holds(value.as_bytes()))
    }
}

impl QueryCondition {
    pub(crate) fn compile(value: &ValueMatch) -> Self {
        Self { name: value.name.as_str().into(), test: Test::compile(&value.test) }
    }

    pub(crate) fn holds(&self, query: &str) -> bool {
        query::values(query, &self.name).any(|value| self.test.holds_for_parameter(value))
    }
}

impl Test {
    pub(crate) fn compile(test: &ValueTest) -> Self {
        match test {
            ValueTest::Exact(value) => Self::Exact(value.as_bytes().into()),
            ValueTest::Regex(pattern) => Self::Regex(pattern.regex().clone()),
            ValueTest::Present => Self::Present,
        }
    }

    pub(crate) fn holds(&self, value: &[u8]) -> bool {
        match self {
            Self::Exact(exact) => value == &**exact,
            Self::Regex(regex) => is_match(regex, value),
            Self::Present => true,
        }
    }

    fn holds_for_parameter(&self, value: Encoded<'_>) -> bool {
        match self {
            Self::Exact(exact) => value.is(exact),
            Self::Regex(regex) => is_match(regex, &value.decode()),
            Self::Present => true,
        }
    }
}

/// Patterns are about text: what is no UTF-8 matches none.
fn is_match(regex: &Regex, value: &[u8]) -> bool {
    std::str::from_utf8(value).is_ok_and(|text| regex.is_match(text))
}
