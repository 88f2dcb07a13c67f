//! Plugins of type `Lua`: a script that returns a table of hooks, in a sandbox.
//!
//! A script is compiled when its Plugin arrives. Each worker makes a state of it at the first call, which all its
//! requests share; one that ran out of time or memory is given up, and the next request gets a new one (P7).

mod answer;
mod argument;
mod cookie;
mod current;
mod deadline;
mod error;
mod globals;
mod json;
mod library;
mod request;
mod sandbox;
mod script;
mod servers;
mod session;
mod state;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde_json::Value;
use tokio::time::Instant;

use super::local::LocalKey;
use super::stats::Hook;
use super::{Candidates, Cause, Failure, Hooks, Outcome, Session, Stage, Step};
use current::Call;
use servers::Servers;
use state::State;

pub use script::Script;

/// A script with a parameter.
#[derive(Debug)]
pub struct Lua {
    script: Arc<Script>,
    param: Arc<Value>,
}

impl Lua {
    /// This script with this parameter.
    #[must_use]
    pub fn new(script: Arc<Script>, param: Value) -> Self {
        Self { script, param: Arc::new(param) }
    }

    /// Runs a hook in this worker's state. One that did not come to a good end is not used again if it may be in
    /// disorder; what `store` remembers stays.
    fn run<T>(
        &self,
        session: &mut Session<'_>,
        call: impl FnOnce(&State, &mut Session<'_>, Instant) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let ends = session.began() + self.script.timeout();
        let worker = session.worker();
        let key: &LocalKey = self.script.state_key();
        let state = worker.locals.get(key, || State::of_worker(&self.script, worker, ends))?;
        let result = call(&state, session, ends);
        if let Err(Failure { cause: Cause::Timeout | Cause::Memory, .. }) = &result {
            worker.locals.forget(key);
        }
        result
    }

    fn step(&self, hook: Hook, session: &mut Session<'_>) -> Step {
        self.run(session, |state, session, ends| {
            let answer = state.call(Call::new(hook, session), &self.param, session, ends)?;
            answer::flow(&answer).map_err(|failure| self.script.at_hook(hook, failure))
        })
    }
}

impl Stage for Lua {
    fn hooks(&self) -> Hooks {
        self.script.hooks()
    }

    /// The script with nothing to remember: what it has in its state and in `store` is each worker's own.
    fn dry(&self) -> Option<Arc<dyn Stage>> {
        Some(Arc::new(Self { script: Arc::new(self.script.uncounted()), param: self.param.clone() }))
    }

    fn pre(&self, session: &mut Session<'_>) -> Step {
        self.step(Hook::Pre, session)
    }

    fn balance(&self, session: &mut Session<'_>, candidates: &mut Candidates<'_>) -> Result<(), Failure> {
        self.run(session, |state, session, ends| {
            let servers = state.protect(|lua| Servers::new(lua, candidates))?;
            let call = Call::new(Hook::Balance, session).with_servers(servers.list());
            let answer = state.call(call, &self.param, session, ends)?;
            servers.keep(&answer, candidates).map_err(|failure| self.script.at_hook(Hook::Balance, failure))
        })
    }

    fn post(&self, session: &mut Session<'_>) -> Step {
        self.step(Hook::Post, session)
    }

    fn done(&self, session: &mut Session<'_>, outcome: &Outcome) -> Result<(), Failure> {
        self.run(session, |state, session, ends| {
            let call = Call::new(Hook::Done, session).with_outcome(*outcome);
            state.call(call, &self.param, session, ends).map(drop)
        })
    }
}
