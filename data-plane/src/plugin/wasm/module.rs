//! A component, compiled and linked: ready to be instantiated.

use std::fmt;
use std::sync::Arc;

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, ComponentExportIndex, HasSelf, InstancePre, Linker};

use super::contract::{Exports, types};
use super::engine::Engine;
use super::host::Host;
use super::instance::Instance;
use super::stage::Settings;
use super::wasi;
use crate::plugin::stats::Hook;
use crate::plugin::{Failure, Hooks};

/// A component.
pub(super) struct Module {
    pre: InstancePre<Host>,
    entries: Entries,
}

/// Where its hooks are.
pub(super) struct Entries {
    pub(super) pre: Option<ComponentExportIndex>,
    pub(super) balance: Option<ComponentExportIndex>,
    pub(super) post: Option<ComponentExportIndex>,
    pub(super) done: Option<ComponentExportIndex>,
}

impl Entries {
    /// Where a hook is, if the component has it, and if it is not another one that is wanted `only`.
    pub(super) fn of(&self, hook: Hook, only: Option<Hook>) -> Option<&ComponentExportIndex> {
        let Self { pre, balance, post, done } = self;
        let entry = match hook {
            Hook::Pre => pre,
            Hook::Balance => balance,
            Hook::Post => post,
            Hook::Done => done,
        };
        entry.as_ref().filter(|_| only.is_none_or(|only| only == hook))
    }
}

impl Module {
    /// Takes seconds, if the component is large and its code is not in the cache.
    ///
    /// # Errors
    /// If these bytes are no component of the contract.
    pub(super) fn compile(engine: &Engine, bytes: &[u8]) -> Result<Self, String> {
        let component = Component::from_binary(engine.wasmtime(), bytes)
            .map_err(|e| format!("is no component that can be compiled: {e:#}"))?;
        let exports = Exports::of(&component, engine)?;
        let linker = linker(&component, engine)?;
        let pre = linker.instantiate_pre(&component).map_err(|e| format!("does not fit the contract: {e:#}"))?;
        let entry = |interface: Option<String>| interface.map(|interface| run_of(&component, &interface)).transpose();
        let Exports { pre: enter, balance, post, done } = exports;
        let entries = Entries { pre: entry(enter)?, balance: entry(balance)?, post: entry(post)?, done: entry(done)? };
        Ok(Self { pre, entries })
    }

    /// The hooks that it exports.
    pub(super) fn hooks(&self) -> Hooks {
        let Entries { pre, balance, post, done } = &self.entries;
        Hooks { pre: pre.is_some(), balance: balance.is_some(), post: post.is_some(), done: done.is_some() }
    }

    /// A fresh instance, for all hooks or `only` one.
    ///
    /// # Errors
    /// If its own start fails, or exceeds its budgets.
    pub(super) fn instantiate(&self, only: Option<Hook>, settings: &Arc<Settings>) -> Result<Instance, Failure> {
        Instance::new(&self.pre, &self.entries, only, settings)
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module").field("hooks", &self.hooks()).finish_non_exhaustive()
    }
}

fn run_of(component: &Component, interface: &str) -> Result<ComponentExportIndex, String> {
    let instance = component.get_export_index(None, interface);
    let run = instance.and_then(|instance| component.get_export_index(Some(&instance), "run"));
    run.ok_or_else(|| format!("exports {interface} without its function `run`"))
}

/// The contract, and of WASI what the component asks for.
fn linker(component: &Component, engine: &Engine) -> Result<Linker<Host>, String> {
    let mut linker = Linker::new(engine.wasmtime());
    types::add_to_linker::<Host, HasSelf<Host>>(&mut linker, |host| host).map_err(|e| format!("{e:#}"))?;
    for (name, ty) in component.component_type().imports(engine.wasmtime()) {
        let ComponentItem::ComponentInstance(wanted) = ty.ty else { continue };
        if name.starts_with("wasi:") {
            let mut instance = linker.instance(name).map_err(|e| format!("{e:#}"))?;
            wasi::define(&mut instance, name, &wanted, engine).map_err(|e| format!("{e:#}"))?;
        }
    }
    Ok(linker)
}
