//! A script as it came: compiled, with its hooks known.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use mlua::chunk::Compiler;
use mlua::{Error, Value};
use tokio::time::Instant;
use weir_proto::model::{Invalid, Lua, Plugin};

use super::error;
use super::state::{Setting, State};
use crate::plugin::counts::Counts;
use crate::plugin::expiring::Expiring;
use crate::plugin::local::LocalKey;
use crate::plugin::stats::Hook;
use crate::plugin::{Failure, Hooks};

/// Time for a script's first run, when its Plugin arrives. Nobody waits for it but the control plane.
const FIRST_RUN: Duration = Duration::from_secs(1);

/// One version of a script, shared by all workers.
#[derive(Debug)]
pub struct Script {
    /// `namespace/name`.
    name: String,
    bytecode: Arc<[u8]>,
    memory_limit: u64,
    timeout: Duration,
    hooks: Hooks,
    counts: Arc<Counts>,
    state: LocalKey,
    store: LocalKey,
}

impl Script {
    /// Compiles a script and runs it once, to learn its hooks.
    ///
    /// # Errors
    /// If it is no Lua, fails, or does not return a table of hooks. Names the line.
    pub fn new(plugin: &Plugin, lua: &Lua, counts: Arc<Counts>) -> Result<Self, Invalid> {
        let Lua { source, memory_limit } = lua;
        let name = plugin.name.to_string();
        let bytecode = compile(&name, source).map_err(|text| Invalid::new("spec.lua.source", text))?;
        let mut script = Self {
            name,
            bytecode: bytecode.into(),
            memory_limit: *memory_limit,
            timeout: plugin.timeout,
            hooks: Hooks::default(),
            counts,
            state: LocalKey::default(),
            store: LocalKey::default(),
        };
        let state = State::new(&script.setting(0, &Rc::default()), Instant::now() + FIRST_RUN);
        script.hooks = state.map_err(|failure| Invalid::new("spec.lua.source", failure.text))?.hooks();
        Ok(script)
    }

    /// The same, which counts where nobody looks, in states of its own.
    pub(super) fn uncounted(&self) -> Self {
        let Self { name, bytecode, memory_limit, timeout, hooks, .. } = self;
        Self {
            name: name.clone(),
            bytecode: bytecode.clone(),
            memory_limit: *memory_limit,
            timeout: *timeout,
            hooks: *hooks,
            counts: Arc::new(Counts::new(1)),
            state: LocalKey::default(),
            store: LocalKey::default(),
        }
    }

    /// The hooks that it has.
    #[must_use]
    pub fn hooks(&self) -> Hooks {
        self.hooks
    }

    /// What it counts itself.
    #[cfg(test)]
    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Time that one call may take.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Names its states.
    pub(super) fn state_key(&self) -> &LocalKey {
        &self.state
    }

    /// Names what workers remember for it.
    pub(super) fn store_key(&self) -> &LocalKey {
        &self.store
    }

    /// What a state on this worker is made of.
    pub(super) fn setting<'a>(&'a self, worker: usize, store: &'a Rc<RefCell<Expiring>>) -> Setting<'a> {
        let Self { name, bytecode, memory_limit, counts, .. } = self;
        Setting { plugin: name, bytecode, memory_limit: *memory_limit, counts, worker, store }
    }

    /// A failure of what a hook returned, where no line of the script runs any more.
    pub(super) fn at_hook(&self, hook: Hook, Failure { cause, text }: Failure) -> Failure {
        Failure::new(cause, format!("{}: {} {text}", self.name, hook.as_str()))
    }
}

/// The script's bytecode; what is wrong begins with its name and line.
fn compile(name: &str, source: &str) -> Result<Vec<u8>, String> {
    // Lines are needed for errors, names of locals are not.
    let compiled = Compiler::new().set_optimization_level(2).set_debug_level(1).compile(source);
    compiled.map_err(|error| match error {
        // It begins with the line.
        Error::SyntaxError { message, .. } => format!("{name}:{message}"),
        other => error::failure(name, &other).text,
    })
}

/// The hooks of the table that a script returns.
///
/// # Errors
/// If it is none; names the line of a hook that there is not.
pub(super) fn hooks(plugin: &str, returned: &Value) -> Result<[Option<mlua::Function>; Hook::ALL.len()], Failure> {
    let bad = |text: String| Failure::bad_answer(format!("{plugin}: {text}"));
    let Value::Table(table) = returned else {
        return Err(bad(format!("returns a {} in place of a table of hooks", returned.type_name())));
    };
    let mut hooks = [const { None }; Hook::ALL.len()];
    for entry in table.pairs::<Value, Value>() {
        let (name, value) = entry.map_err(|error| bad(error.to_string()))?;
        let name = name.to_string().unwrap_or_default();
        let hook = Hook::ALL.iter().find(|hook| hook.as_str() == name);
        match (hook, value) {
            (Some(hook), Value::Function(function)) => hooks[*hook as usize] = Some(function),
            (Some(hook), other) => {
                return Err(bad(format!("{} is a {}, no function", hook.as_str(), other.type_name())));
            }
            (None, value) => return Err(unknown_hook(plugin, &name, &value)),
        }
    }
    if hooks.iter().all(Option::is_none) {
        return Err(bad("returns none of the hooks pre, balance, post and done".to_owned()));
    }
    Ok(hooks)
}

fn unknown_hook(plugin: &str, name: &str, value: &Value) -> Failure {
    let line = value.as_function().and_then(|function| function.info().line_defined);
    let place = line.map_or(String::new(), |line| format!("{line}:"));
    Failure::bad_answer(format!("{plugin}:{place} there is no hook {name:?}: there are pre, balance, post and done"))
}
