//! The plugins of a pool.

use serde::Serialize;

use crate::plugin::chain::Link;
use crate::plugin::stats::Hook;
use crate::plugin::{Chain, Hooks};

/// One plugin of a pool. What it counts is counted over all pools that use it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PluginState {
    name: String,
    hooks: Vec<&'static str>,
    calls: u64,
    failures: u64,
}

/// The plugins of a chain, in their order.
pub(super) fn plugins(chain: Option<&Chain>) -> Vec<PluginState> {
    chain.into_iter().flat_map(Chain::links).map(PluginState::read).collect()
}

impl PluginState {
    fn read(link: &Link) -> Self {
        let Link { hooks, stats, .. } = link;
        Self {
            name: stats.name.to_string(),
            hooks: Hook::ALL.into_iter().filter(|hook| has(*hooks, *hook)).map(Hook::as_str).collect(),
            calls: stats.shards.sum(|shard| shard.durations.iter().map(|calls| calls.count()).sum()),
            failures: stats.shards.sum(|shard| shard.failures.iter().map(|count| count.get()).sum()),
        }
    }
}

fn has(hooks: Hooks, hook: Hook) -> bool {
    match hook {
        Hook::Pre => hooks.pre,
        Hook::Balance => hooks.balance,
        Hook::Post => hooks.post,
        Hook::Done => hooks.done,
    }
}
