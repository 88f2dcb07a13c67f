//! The next table from the previous one: pools that did not change keep their `Arc`, chains their
//! position, and the matcher whatever it compiled before.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_proto::model::ResourceName;

use super::{Chain, Routes, Table};
use crate::matcher::Matcher;
use crate::pool::Pool;

/// Builds the table of `pools` for these listeners.
#[must_use]
pub fn build(pools: &BTreeMap<ResourceName, Arc<Pool>>, listeners: &[String], previous: &Table) -> Table {
    let pools: Vec<Arc<Pool>> = pools.values().cloned().collect();
    let mut table = Table { pools, listeners: Vec::with_capacity(listeners.len()) };
    for (index, name) in listeners.iter().enumerate() {
        let routes = routes(&table, name, previous, previous.listeners.get(index));
        table.listeners.push(routes);
    }
    table
}

fn routes(table: &Table, listener: &str, previous: &Table, before: Option<&Routes>) -> Routes {
    let serves =
        |pool: &&Arc<Pool>| pool.config.listeners.is_empty() || pool.config.listeners.iter().any(|l| l == listener);
    let pools = table.pools.iter().filter(serves).map(|pool| &*pool.config);
    let matcher = Matcher::compile(pools, before.map(|routes| &routes.matcher));
    let cursors = previous.cursors();
    let chain = |rule: &crate::matcher::RuleChain| {
        let cursor = cursors.get(&*rule.key).map_or_else(Arc::default, |cursor| Arc::clone(cursor));
        let members = rule.pools.iter().filter_map(|name| table.position(name)).collect();
        Chain::new(rule.key.clone(), cursor, members, &table.pools)
    };
    Routes { chains: matcher.chains().iter().map(chain).collect(), matcher }
}
