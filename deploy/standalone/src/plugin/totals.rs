//! Sums over all runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use weir_data_plane::plugin::rehearsal::{Call, Run};
use weir_data_plane::plugin::stats::Hook;

/// Of one hook of one plugin.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Calls {
    pub(super) number: u32,
    pub(super) failed: u32,
    pub(super) halted: u32,
    pub(super) all: Duration,
    pub(super) slowest: Duration,
}

/// Of all.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) runs: u32,
    /// In the order of their first calls.
    pub(super) calls: Vec<(Arc<str>, Hook, Calls)>,
    /// How often each server was chosen.
    pub(super) servers: BTreeMap<String, u32>,
}

impl Calls {
    fn add(&mut self, call: &Call) {
        self.number += 1;
        self.failed += u32::from(call.has_failed());
        self.halted += u32::from(call.halt().is_some());
        self.all += call.took;
        self.slowest = self.slowest.max(call.took);
    }

    pub(super) fn mean(&self) -> Duration {
        self.all.checked_div(self.number).unwrap_or_default()
    }
}

impl Totals {
    pub(super) fn add(&mut self, run: &Run) {
        self.runs += 1;
        run.calls.iter().for_each(|call| self.of(call).add(call));
        if let Some(server) = run.server.as_ref() {
            *self.servers.entry(server.clone()).or_default() += 1;
        }
    }

    fn of(&mut self, call: &Call) -> &mut Calls {
        let known = self.calls.iter().position(|(plugin, hook, _)| (plugin, *hook) == (&call.plugin, call.hook));
        let place = known.unwrap_or_else(|| {
            self.calls.push((call.plugin.clone(), call.hook, Calls::default()));
            self.calls.len() - 1
        });
        &mut self.calls[place].2
    }

    pub(super) fn has_failed(&self) -> bool {
        self.calls.iter().any(|(_, _, calls)| calls.failed > 0)
    }
}
