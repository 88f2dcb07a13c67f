//! Series of the plugins in use.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::sheet::{Metric, Sheet};
use crate::plugin::Cause;
use crate::plugin::stats::{Hook, PluginStats};
use crate::pool::Pool;
use crate::stats::Histogram;

/// Writes down each plugin that these pools use, once.
pub(super) fn collect<'a>(pools: impl Iterator<Item = &'a Arc<Pool>>, sheet: &mut Sheet) {
    let links = pools.filter_map(|pool| pool.plugins.as_ref()).flat_map(|chain| chain.links());
    let plugins: BTreeMap<&str, &PluginStats> = links.map(|link| (&*link.stats.name, &*link.stats)).collect();
    plugins.values().for_each(|stats| plugin(stats, sheet));
}

fn plugin(stats: &PluginStats, sheet: &mut Sheet) {
    let PluginStats { name, shards, counts } = stats;
    for hook in Hook::ALL {
        let durations = Histogram::summarise(shards.iter().map(|shard| &shard.durations[hook as usize]));
        sheet.histogram_if_any(Metric::PluginDuration, &[hook.as_str(), name], &durations);
    }
    for cause in Cause::ALL {
        let count = shards.sum(|shard| shard.failures[cause as usize].get());
        sheet.count_if_any(Metric::PluginFailures, &[name, cause.as_str()], count);
    }
    for (series, count) in counts.sums() {
        let labels = series.labels.iter().map(|(label, value)| (label.as_str(), value.as_str()));
        sheet.count_with(Metric::PluginCount, &[&series.name, name], labels, count);
    }
    sheet.count_if_any(Metric::PluginCountDropped, &[name], counts.dropped());
}
