//! Resources that lead nowhere, or that nothing leads to.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use weir_proto::model::{Key, Kind};

use crate::status::{Health, PoolHealth, RefProblem, Status};

/// Names, as `namespace/name`, in their order.
#[derive(Debug, Default, Serialize)]
pub(super) struct Orphans {
    /// Pools without a Backend.
    pools: Vec<String>,
    /// Backends whose Pool does not exist.
    backends: Vec<String>,
    /// Plugins that no Pool uses.
    plugins: Vec<String>,
}

/// Those of all resources.
pub(super) fn of(statuses: &BTreeMap<Key, Arc<Status>>) -> Orphans {
    let mut orphans = Orphans::default();
    for (key, _) in statuses.iter().filter(|(_, status)| is_orphan(status)) {
        let names = match key.kind {
            Kind::Pool => &mut orphans.pools,
            Kind::Backend => &mut orphans.backends,
            Kind::Plugin => &mut orphans.plugins,
            Kind::Endpoints => continue,
        };
        names.push(key.name.to_string());
    }
    orphans
}

fn is_orphan(status: &Status) -> bool {
    let problem = status.verdict.reference.as_ref().map(|(problem, _)| *problem);
    match &status.health {
        Health::Pool(PoolHealth { total, .. }) => *total == 0,
        Health::Backend(_) => problem == Some(RefProblem::PoolNotFound),
        Health::Plugin => status.verdict.used_by.as_ref().is_none_or(|used| used.count == 0),
    }
}
