//! One plugin with one parameter, ready to run.

use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use weir_proto::model::plugin::param::Metrics;

use super::{Candidates, Changes, Failure, Halt, Outcome, Session};

/// The hooks that a plugin has; others are never entered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hooks {
    /// When a request enters the pool.
    pub pre: bool,
    /// With the candidates of each choice.
    pub balance: bool,
    /// After each choice.
    pub post: bool,
    /// After the response.
    pub done: bool,
}

/// What follows from a hook.
#[derive(Debug)]
pub enum Flow {
    /// The next plugin.
    GoOn,
    /// The request ends with this answer.
    Halt(Box<Halt>),
    /// The plugin waits for something, such as another server.
    Wait(Waiting),
}

impl From<Halt> for Flow {
    fn from(halt: Halt) -> Self {
        Self::Halt(Box::new(halt))
    }
}

/// What a hook comes to.
pub type Step = Result<Flow, Failure>;

/// A hook that waits. It runs on the worker's thread, and is dropped at the plugin's deadline or when the client leaves.
pub struct Waiting(pub Pin<Box<dyn Future<Output = Result<Resumed, Failure>>>>);

impl Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Waiting")
    }
}

/// What a hook that has waited comes to.
#[derive(Debug, Default)]
pub struct Resumed {
    /// What it changes.
    pub changes: Changes,
    /// The request ends with this answer.
    pub halt: Option<Box<Halt>>,
}

/// One plugin with one parameter, compiled. All workers share it; what a worker needs of its own is in its
/// [`super::local::Locals`].
pub trait Stage: Debug + Send + Sync {
    /// The hooks it has.
    fn hooks(&self) -> Hooks;

    /// Time that its waits may take, if its parameter says; otherwise the plugin's time-out goes for them, too.
    fn wait_limit(&self) -> Option<Duration> {
        None
    }

    /// Headers that a request has from this plugin alone: what a client sends under these names is taken out after
    /// `pre`, before what the plugin changes, and also if it fails and the request goes on.
    fn own_headers(&self) -> &[HeaderName] {
        &[]
    }

    /// A metric of its own, of which each pool has its series.
    fn metric(&self) -> Option<&Arc<Metrics>> {
        None
    }

    /// What stands in for the plugin where a request is only thought of, so that nothing may be kept, counted, told or
    /// asked, and nobody waits; `None` = the plugin itself, as it does none of that. What is then supposed in place of
    /// being known is told by [`super::says::suppose`].
    fn dry(&self) -> Option<Arc<dyn Stage>> {
        None
    }

    /// A request enters the pool.
    ///
    /// # Errors
    /// If the plugin fails; the failure policy says what becomes of the request.
    fn pre(&self, session: &mut Session<'_>) -> Step {
        let _ = session;
        Ok(Flow::GoOn)
    }

    /// Leaves those candidates that may be chosen. One that does not apply leaves all.
    ///
    /// # Errors
    /// As for [`Stage::pre`].
    fn balance(&self, session: &mut Session<'_>, candidates: &mut Candidates<'_>) -> Result<(), Failure> {
        let _ = (session, candidates);
        Ok(())
    }

    /// A backend is chosen, or none could be.
    ///
    /// # Errors
    /// As for [`Stage::pre`].
    fn post(&self, session: &mut Session<'_>) -> Step {
        let _ = session;
        Ok(Flow::GoOn)
    }

    /// The response has ended. What the plugin changes has no effect any more.
    ///
    /// # Errors
    /// Counted and logged.
    fn done(&self, session: &mut Session<'_>, outcome: &Outcome) -> Result<(), Failure> {
        let _ = (session, outcome);
        Ok(())
    }
}
