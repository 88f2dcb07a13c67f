//! Plugins of a dry run: what stands in for each of them, with a witness before it.

use std::sync::Arc;

use super::answer::{PluginCall, Said};
use crate::plugin::chain::Link;
use crate::plugin::rehearsal::{Answer, Call, Notes, Witness};
use crate::plugin::stats::{Hook, PluginStats};
use crate::plugin::{Chain, Halt, Stage};
use crate::pool::Pool;

/// Watches the plugins of one dry run.
#[derive(Debug)]
pub(super) struct Watch {
    notes: Notes,
    /// Stages that pools share are shared here, too: their `pre` runs once (P8).
    standing_in: Vec<StandIn>,
    /// The calls so far.
    pub(super) calls: Vec<Call>,
}

#[derive(Debug)]
struct StandIn {
    original: Arc<dyn Stage>,
    dry: Arc<dyn Stage>,
    watched: Arc<dyn Stage>,
}

impl Watch {
    pub(super) fn new(notes: Notes) -> Self {
        Self { notes, standing_in: Vec::new(), calls: Vec::new() }
    }

    /// The pool with plugins that leave no trace, and are watched.
    pub(super) fn watched(&mut self, pool: &Pool) -> Arc<Pool> {
        self.pool(pool, |stand_in| &stand_in.watched)
    }

    /// The same with nobody watching.
    pub(super) fn dry(&mut self, pool: &Pool) -> Arc<Pool> {
        self.pool(pool, |stand_in| &stand_in.dry)
    }

    fn pool(&mut self, pool: &Pool, which: fn(&StandIn) -> &Arc<dyn Stage>) -> Arc<Pool> {
        let plugins = pool.plugins.as_ref().map(|plugins| {
            let links = plugins.links().iter().map(|link| self.link(link, which)).collect();
            Arc::new(Chain::new(links, plugins.missing().to_vec()))
        });
        Arc::new(Pool::new(pool.config.clone(), pool.runtime.clone()).with_plugins(plugins))
    }

    /// Counts where nobody looks.
    fn link(&mut self, link: &Link, which: fn(&StandIn) -> &Arc<dyn Stage>) -> Link {
        let name = &link.stats.name;
        let stats = Arc::new(PluginStats::new(name.clone(), 1));
        let stage = which(self.stand_in(&link.stage, name)).clone();
        Link { stage, stats, tally: None, ..link.clone() }
    }

    fn stand_in(&mut self, original: &Arc<dyn Stage>, name: &Arc<str>) -> &StandIn {
        let is_it = |stand_in: &StandIn| std::ptr::addr_eq(Arc::as_ptr(&stand_in.original), Arc::as_ptr(original));
        let known = self.standing_in.iter().position(is_it);
        let place = known.unwrap_or_else(|| {
            let dry = original.dry().unwrap_or_else(|| original.clone());
            let watched: Arc<dyn Stage> = Arc::new(Witness::new(dry.clone(), name, &self.notes));
            self.standing_in.push(StandIn { original: original.clone(), dry, watched });
            self.standing_in.len() - 1
        });
        &self.standing_in[place]
    }

    /// Takes note of the calls since the last time; gives their place among all.
    pub(super) fn look(&mut self) -> &[Call] {
        let before = self.calls.len();
        self.calls.extend(self.notes.take());
        &self.calls[before..]
    }
}

/// The call as it is told.
pub(super) fn told(call: &Call) -> PluginCall {
    PluginCall {
        pool: call.pool.to_string(),
        plugin: name(call),
        hook: call.hook.as_str().to_owned(),
        answer: said(&call.answer),
        changes: call.changes.iter().map(ToString::to_string).collect(),
        log: call.lines.clone(),
    }
}

/// Pools that use the same built-in one in place share it: each calls it by its own name.
pub(super) fn name(call: &Call) -> String {
    match call.plugin.split_once(':') {
        Some((_, built_in)) => format!("{}:{built_in}", call.pool),
        None => call.plugin.to_string(),
    }
}

/// Whether the call is one of the choice of a backend.
pub(super) fn is_of_choice(call: &Call) -> bool {
    call.hook == Hook::Balance
}

fn said(answer: &Answer) -> Said {
    match answer {
        Answer::GoesOn => Said::Continued,
        Answer::Halts(halt) => Said::Halted { status: halt.status.as_u16(), headers: headers(halt) },
        Answer::Keeps { kept, of, dropped: _ } => Said::Kept { kept: kept.clone(), of: *of },
        Answer::Fails(failure) => {
            Said::Failed { reason: failure.cause.as_str().to_owned(), text: failure.text.clone() }
        }
        Answer::Stopped => {
            Said::Failed { reason: "stopped".to_owned(), text: "it panicked, or its time was over".to_owned() }
        }
    }
}

fn headers(halt: &Halt) -> Vec<(String, String)> {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    halt.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}
