//! Which rules lead to which pools.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use weir_proto::model::ResourceName;

use crate::table::{Chain, Table};

/// A rule that leads to a pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct RouteState {
    /// Host and conditions, `*` for every host.
    rule: String,
    /// The pools that hold it, in the order in which they back each other up.
    chain: Vec<String>,
}

/// The rules of some pools.
#[derive(Debug, Default)]
pub(super) struct Routes(HashMap<ResourceName, Vec<RouteState>>);

impl Routes {
    /// Those of the pools of these names; one look at each rule of the table, however many they are.
    pub(super) fn of<'a>(table: &Table, names: impl IntoIterator<Item = &'a ResourceName>) -> Self {
        let wanted: HashSet<usize> = names.into_iter().filter_map(|name| table.pools.number(name)).collect();
        let mut routes = Self::default();
        for rules in &table.listeners {
            let chains = rules.chains().filter(|chain| chain.pools().any(|number| wanted.contains(&number)));
            chains.for_each(|chain| routes.add(chain, table, &wanted));
        }
        routes
    }

    /// Those that lead to this pool.
    pub(super) fn to(&self, pool: &ResourceName) -> Vec<RouteState> {
        self.0.get(pool).cloned().unwrap_or_default()
    }

    /// More than one listener may have the chain; it is noted once.
    fn add(&mut self, chain: &Chain, table: &Table, wanted: &HashSet<usize>) {
        let name = |number| table.pools.at(number).map(|pool| &pool.config.name);
        let pools = chain.pools().filter_map(name).map(ToString::to_string).collect();
        let route = RouteState { rule: chain.rule().to_string(), chain: pools };
        for pool in chain.pools().filter(|number| wanted.contains(number)).filter_map(name) {
            let known = self.0.entry(pool.clone()).or_default();
            if !known.contains(&route) {
                known.push(route.clone());
            }
        }
    }
}
