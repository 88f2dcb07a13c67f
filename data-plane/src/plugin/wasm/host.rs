//! What an instance is given during a call.

use std::sync::Arc;

use crate::plugin::change::push;
use crate::plugin::says::say;
use crate::plugin::session::Kept;
use crate::plugin::{Cause, Change, Changes, Failure};
use crate::pool::Candidate;

use super::memory::Memory;
use super::stage::Settings;

/// The handle of the request. There is one in a call, so it names nothing.
#[derive(Debug)]
#[expect(unreachable_pub, reason = "what is generated from the contract exports it again")]
pub struct Request(());

/// The handle of the session, likewise.
#[derive(Debug)]
#[expect(unreachable_pub, reason = "what is generated from the contract exports it again")]
pub struct Session(());

/// Most bytes that one call may add to headers and to the log, each.
const MOST_BYTES: usize = 64 << 10;

/// Belongs to an instance.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) settings: Arc<Settings>,
    pub(super) memory: Memory,
    call: Option<Call>,
}

/// One call of a hook.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) scene: Kept,
    pub(super) candidates: Vec<Candidate>,
    changes: Changes,
    /// Bytes of changes.
    changed: usize,
    /// Bytes of lines in the log.
    logged: usize,
}

impl Host {
    pub(super) fn new(settings: Arc<Settings>) -> Self {
        Self { memory: Memory::new(settings.memory_limit), settings, call: None }
    }

    /// A hook is about to be called.
    pub(super) fn begin(&mut self, scene: Kept, candidates: Vec<Candidate>) {
        self.call = Some(Call { scene, candidates, changes: Changes::new(), changed: 0, logged: 0 });
    }

    /// The hook has come to its end; gives what it changed.
    pub(super) fn end(&mut self) -> Changes {
        self.call.take().map_or_else(Changes::new, |call| call.changes)
    }

    /// The call that runs. A component that asks while it is made has none.
    pub(super) fn call(&mut self) -> wasmtime::Result<&mut Call> {
        let none = || Failure::new(Cause::Error, "it asked for a request outside of a hook");
        self.call.as_mut().ok_or_else(|| none().into())
    }

    /// Writes a line to the log, as long as the call has not written too much.
    pub(super) fn log(&mut self, text: &str) {
        let Some(call) = &mut self.call else { return };
        call.logged = call.logged.saturating_add(text.len());
        if call.logged <= MOST_BYTES {
            say(&self.settings.name, text.trim_end());
        }
    }
}

impl Call {
    /// Takes a change that adds so many bytes to a header.
    pub(super) fn change(&mut self, change: Change, bytes: usize) -> wasmtime::Result<()> {
        self.changed = self.changed.saturating_add(bytes);
        if self.changed > MOST_BYTES {
            return Err(Failure::bad_answer(format!("it changes more than {MOST_BYTES} bytes of headers")).into());
        }
        push(&mut self.changes, change);
        Ok(())
    }
}
