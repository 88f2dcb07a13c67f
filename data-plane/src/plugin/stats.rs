//! What is counted of each plugin.

use std::sync::Arc;

use super::counts::Counts;
use super::failure::Cause;
use crate::stats::histogram::{Histogram, OfCalls};
use crate::stats::{Counter, Sharded};

/// The hooks, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Hook {
    /// When a request enters the pool.
    Pre,
    /// With the candidates of each choice.
    Balance,
    /// After each choice.
    Post,
    /// After the response.
    Done,
}

impl Hook {
    /// Every hook, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Pre, Self::Balance, Self::Post, Self::Done];

    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pre => "pre",
            Self::Balance => "balance",
            Self::Post => "post",
            Self::Done => "done",
        }
    }
}

/// Time and failures of one plugin, whichever pools use it. Survives its changes.
#[derive(Debug)]
pub struct PluginStats {
    /// `namespace/name`; of one in place that of its pool and its type: `shop/web:RateLimit`.
    pub name: Arc<str>,
    /// Of each worker.
    pub shards: Sharded<PluginShard>,
    /// What it counts itself.
    pub counts: Arc<Counts>,
}

/// What one worker counts.
#[derive(Debug, Default)]
pub struct PluginShard {
    /// Durations of calls, by hook.
    pub durations: [Histogram<OfCalls>; Hook::ALL.len()],
    /// Failures, by cause.
    pub failures: [Counter; Cause::ALL.len()],
}

impl PluginStats {
    /// Nothing is counted yet.
    #[must_use]
    pub fn new(name: Arc<str>, workers: usize) -> Self {
        Self { name, shards: Sharded::new(workers), counts: Arc::new(Counts::new(workers)) }
    }
}
