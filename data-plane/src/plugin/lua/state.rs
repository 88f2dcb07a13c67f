//! One worker's interpreter of one plugin.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use mlua::chunk::ChunkMode;
use mlua::{Function, Lua, Table, Value};
use serde_json::Value as Json;
use tokio::time::Instant;

use super::current::{Call, Current};
use super::deadline::Deadline;
use super::json::{self, Converted};
use super::script::{self, Script};
use super::{error, globals, request, sandbox, session};
use crate::plugin::counts::Counts;
use crate::plugin::expiring::Expiring;
use crate::plugin::stats::Hook;
use crate::plugin::{Cause, Failure, Hooks, Session};
use crate::worker::Worker;

/// What a state is made of.
#[derive(Debug)]
pub(super) struct Setting<'a> {
    /// `namespace/name`.
    pub(super) plugin: &'a str,
    /// The compiled script.
    pub(super) bytecode: &'a [u8],
    /// Most bytes that it may take.
    pub(super) memory_limit: u64,
    /// Where `count` counts.
    pub(super) counts: &'a Arc<Counts>,
    /// Whose state it is.
    pub(super) worker: usize,
    /// What `store` remembers.
    pub(super) store: &'a Rc<RefCell<Expiring>>,
}

/// An interpreter in which the script has run.
#[derive(Debug)]
pub(super) struct State {
    lua: Lua,
    plugin: String,
    hooks: [Option<Function>; Hook::ALL.len()],
    request: Table,
    session: Table,
    current: Rc<Current>,
    deadline: Rc<Deadline>,
    params: Converted<Json>,
}

impl State {
    /// A state that has run the script, which has time until `ends`.
    ///
    /// # Errors
    /// If the script fails, or returns no table of hooks.
    pub(super) fn new(setting: &Setting<'_>, ends: Instant) -> Result<Self, Failure> {
        let deadline = Rc::new(Deadline::new(ends));
        let in_place = |error: mlua::Error| error::failure(setting.plugin, &error);
        let lua = sandbox::open(setting.memory_limit, &deadline).map_err(in_place)?;
        let current = Rc::new(Current::default());
        let [request, session] = furnish(&lua, setting, &current).map_err(in_place)?;
        let chunk = lua.load(setting.bytecode).set_name(format!("={}", setting.plugin)).set_mode(ChunkMode::Binary);
        let returned = chunk.eval::<Value>();
        let returned = timely(&deadline, setting.plugin).and(returned.map_err(in_place))?;
        let hooks = script::hooks(setting.plugin, &returned)?;
        let plugin = setting.plugin.to_owned();
        Ok(Self { lua, plugin, hooks, request, session, current, deadline, params: Converted::default() })
    }

    /// A worker's state of a script.
    ///
    /// # Errors
    /// As for [`State::new`].
    pub(super) fn of_worker(script: &Script, worker: &Worker, ends: Instant) -> Result<Self, Failure> {
        let store = worker.locals.get(script.store_key(), || Ok(Rc::<RefCell<Expiring>>::default()))?;
        Self::new(&script.setting(worker.id, &store), ends)
    }

    /// The hooks that it has.
    pub(super) fn hooks(&self) -> Hooks {
        let has = |hook: Hook| self.hooks[hook as usize].is_some();
        Hooks { pre: has(Hook::Pre), balance: has(Hook::Balance), post: has(Hook::Post), done: has(Hook::Done) }
    }

    /// Calls a hook with a parameter. If it ends well, what it changed goes to the session.
    ///
    /// # Errors
    /// If the script fails, or takes too much time or memory.
    pub(super) fn call(
        &self,
        call: Call,
        param: &Arc<Json>,
        session: &mut Session<'_>,
        ends: Instant,
    ) -> Result<Value, Failure> {
        let Some(function) = &self.hooks[call.hook as usize] else { return Ok(Value::Nil) };
        self.deadline.set(ends);
        self.current.enter(call);
        let returned = self.protect(|lua| {
            let param = self.params.get(param, |param| json::value(lua, param))?;
            function.call::<Value>((&self.request, &self.session, param))
        });
        let changes = self.current.leave();
        let returned = timely(&self.deadline, &self.plugin).and(returned)?;
        session.change_all(changes);
        Ok(returned)
    }

    /// The interpreter, for who wants to know whether it still is.
    #[cfg(test)]
    pub(super) fn interpreter(&self) -> mlua::WeakLua {
        self.lua.weak()
    }

    /// Runs something in the interpreter.
    ///
    /// # Errors
    /// What goes wrong there, as a failure of this plugin.
    pub(super) fn protect<T>(&self, run: impl FnOnce(&Lua) -> mlua::Result<T>) -> Result<T, Failure> {
        run(&self.lua).map_err(|error| error::failure(&self.plugin, &error))
    }
}

/// The tables `request` and `session`, and the globals; then nothing can be changed any more.
fn furnish(lua: &Lua, setting: &Setting<'_>, current: &Rc<Current>) -> mlua::Result<[Table; 2]> {
    let Setting { plugin, counts, worker, store, .. } = setting;
    globals::install(lua, plugin, ((*counts).clone(), *worker), store)?;
    let tables = [request::table(lua, current)?, session::table(lua, current)?];
    sandbox::close(lua)?;
    Ok(tables)
}

/// A script that ran out of time has failed, whatever it made of the error.
fn timely(deadline: &Deadline, plugin: &str) -> Result<(), Failure> {
    match deadline.has_passed() {
        true => Err(Failure::new(Cause::Timeout, format!("{plugin}: it took too long"))),
        false => Ok(()),
    }
}
