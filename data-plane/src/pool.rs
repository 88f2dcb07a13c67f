//! A pool on a proxy: its configuration, which is swapped, and its run-time state, which survives.

pub mod admission;
pub mod budget;
pub mod endpoint;
pub mod member;
pub mod members;
pub mod queue;
pub mod runtime;
#[cfg(test)]
mod simulation;
pub mod status;
mod sync;
pub mod take;
pub mod tier;
pub mod totals;
pub mod view;

use std::sync::Arc;

use weir_proto::model;

pub use endpoint::{Endpoint, EndpointId, InFlight};
pub use member::{Member, Origin, Target};
pub use queue::Queue;
pub use runtime::PoolRuntime;
pub use tier::Tier;
pub use view::{Candidate, View};

use crate::plugin::Chain;
use crate::pool::policy::Policy;

pub mod policy;

/// One version of a pool. Immutable; a change makes another one with the same `runtime`.
#[derive(Debug)]
pub struct Pool {
    /// What the user wants.
    pub config: Arc<model::Pool>,
    /// What the request path reads, prepared.
    pub policy: Policy,
    /// Endpoints, counters, health, position of the method.
    pub runtime: Arc<PoolRuntime>,
    /// Its plugins, if it has any.
    pub plugins: Option<Arc<Chain>>,
}

impl Pool {
    /// A version of the pool whose state is `runtime`.
    #[must_use]
    pub fn new(config: Arc<model::Pool>, runtime: Arc<PoolRuntime>) -> Self {
        Self { policy: Policy::new(&config), config, runtime, plugins: None }
    }

    /// The same with these plugins.
    #[must_use]
    pub fn with_plugins(self, plugins: Option<Arc<Chain>>) -> Self {
        Self { plugins, ..self }
    }
}
