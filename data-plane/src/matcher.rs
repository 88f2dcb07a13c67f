//! Which chain of pools takes a request (M1 to M4, M6, M7).
//!
//! Everything that can be decided is decided when configuration arrives: rules are grouped by host and put
//! in order (M6), equal ones are joined (M7), paths become a trie and regexes sets. A request then looks up
//! its host, walks its path once, and judges only conditions of rules whose host and path hold already, so
//! its cost hardly depends on how many rules there are (M9).
//!
//! A change of pools costs as little: the next matcher shares with the last one every host that the change does
//! not concern, and of the others whatever does not lead to a changed rule.

mod canonical;
pub(crate) mod condition;
mod group;
pub mod host;
pub mod near;
mod path;
mod prefix;
mod regexes;
mod rules;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use http::{HeaderMap, Method};
use weir_proto::model::{HostPattern, Pool};

pub use self::canonical::{RuleChain, prefix_of};
pub use self::near::{Miss, Near};

use self::canonical::Edits;
use self::group::Group;
use self::host::HostMap;

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

/// Where a matcher has a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Number of its host, which the host keeps from matcher to matcher.
    pub group: usize,
    /// Number of the rule among those of its host, which the rule keeps as well.
    pub rule: usize,
}

/// The numbers of rules that a change concerns, by those of their hosts.
pub type Concerned = BTreeMap<usize, BTreeSet<usize>>;

/// A pool that is another one than before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change<'a> {
    /// What the last matcher knows of it; `None` = nothing.
    pub before: Option<&'a Pool>,
    /// What the next one shall know of it; `None` = nothing.
    pub after: Option<&'a Pool>,
}

/// The compiled rules of one listener.
#[derive(Debug, Clone, Default)]
pub struct Matcher {
    hosts: Arc<HostMap<usize>>,
    /// By the numbers of `hosts`; `None` where a host has gone and no other has come.
    groups: Vec<Option<Arc<Group>>>,
}

impl Matcher {
    /// Compiles the rules of these pools, whose order does not matter.
    pub fn compile<'a>(pools: impl IntoIterator<Item = &'a Pool>) -> Self {
        let all = pools.into_iter().map(|pool| Change { before: None, after: Some(pool) });
        Self::default().changed(all).0
    }

    /// The matcher after these changes, and the rules that they concern. Everything else is shared: all other
    /// hosts, and of a host that is concerned whatever does not lead to these rules.
    #[must_use]
    pub fn changed<'a>(&self, changes: impl IntoIterator<Item = Change<'a>>) -> (Self, Concerned) {
        let (mut next, mut concerned) = (self.clone(), Concerned::new());
        for (host, edits) in canonical::edits_by_host(changes) {
            if let Some((number, rules)) = next.edit(host.as_ref(), edits) {
                // The number may be that of a host that went a moment ago.
                concerned.entry(number).or_default().extend(rules);
            }
        }
        (next, concerned)
    }

    fn edit(&mut self, host: Option<&HostPattern>, edits: Edits) -> Option<(usize, BTreeSet<usize>)> {
        let mut group = self.group_of(host).cloned().unwrap_or_default();
        let concerned = group.edit(host, edits);
        let group = (!group.chains.is_empty()).then(|| Arc::new(group));
        let number = match self.hosts.get(host) {
            Some(number) => *number,
            None if group.is_none() => return None,
            None => self.free_number(),
        };
        match &group {
            Some(_) if self.hosts.get(host).is_none() => Arc::make_mut(&mut self.hosts).insert(host, number),
            Some(_) => {}
            None => Arc::make_mut(&mut self.hosts).remove(host),
        }
        self.groups[number] = group;
        Some((number, concerned))
    }

    fn free_number(&mut self) -> usize {
        let free = self.groups.iter().position(Option::is_none);
        free.unwrap_or_else(|| {
            self.groups.push(None);
            self.groups.len() - 1
        })
    }

    fn group_of(&self, host: Option<&HostPattern>) -> Option<&Group> {
        self.hosts.get(host).and_then(|number| self.groups[*number].as_deref())
    }

    /// The best rule that holds for the request.
    #[must_use]
    pub fn find(&self, head: &Head<'_>) -> Option<Place> {
        self.hosts.levels(head.host).find_map(|&group| {
            let rule = self.groups[group].as_ref()?.rules.find(head)?;
            Some(Place { group, rule })
        })
    }

    /// How many numbers of hosts there are.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.groups.len()
    }

    /// The rule at this place, with the pools that hold it.
    #[must_use]
    pub fn chain(&self, place: Place) -> Option<&Arc<RuleChain>> {
        self.groups.get(place.group)?.as_ref()?.chains.get(place.rule)
    }
}
