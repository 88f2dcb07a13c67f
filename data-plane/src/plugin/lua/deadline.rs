//! The end of a call's time.

use std::cell::Cell;

use mlua::VmState;
use tokio::time::Instant;

/// Steps between two looks at the clock: calls, returns and turns of loops.
const STEPS: u32 = 8;

/// Ends scripts that take too long.
#[derive(Debug)]
pub(super) struct Deadline {
    ends: Cell<Instant>,
    steps: Cell<u32>,
    passed: Cell<bool>,
}

impl Deadline {
    /// The call that begins may run until then.
    pub(super) fn new(ends: Instant) -> Self {
        Self { ends: Cell::new(ends), steps: Cell::new(0), passed: Cell::new(false) }
    }

    /// Another call begins.
    pub(super) fn set(&self, ends: Instant) {
        self.ends.set(ends);
        self.passed.set(false);
    }

    /// Whether a script ran into it, even if it caught the error.
    pub(super) fn has_passed(&self) -> bool {
        self.passed.get()
    }

    /// Called by the interpreter all the time. Once the time is over every step fails, so that no `pcall` helps.
    pub(super) fn check(&self) -> mlua::Result<VmState> {
        let steps = self.steps.get().wrapping_add(1);
        self.steps.set(steps);
        if !self.passed.get() && (!steps.is_multiple_of(STEPS) || Instant::now() < self.ends.get()) {
            return Ok(VmState::Continue);
        }
        self.passed.set(true);
        Err(mlua::Error::runtime("it took too long"))
    }
}
