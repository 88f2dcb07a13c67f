//! The Plugins that this proxy holds, and the stages made of them. Owned by the control thread.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};

use serde_json::Value;
use weir_proto::model::{
    BuiltIn, Code, FailurePolicy, Files, Invalid, Param, Plugin, PluginRef, PluginUse, Pool, ResourceName,
};

use super::chain::Link;
use super::stats::PluginStats;
use super::{Chain, Stage, builtin, lua, wasm};

/// Plugins, and what is made of them.
#[derive(Debug)]
pub struct Store {
    plugins: BTreeMap<ResourceName, Held>,
    /// Stages in use, by plugin and parameter: equal uses share one.
    stages: HashMap<(PluginRef, String), Vec<Made>>,
    /// By name; survive every change.
    stats: BTreeMap<Arc<str>, Arc<PluginStats>>,
    modules: wasm::Modules,
    workers: usize,
}

/// A Plugin, and which pools use it.
#[derive(Debug)]
struct Held {
    plugin: Arc<Plugin>,
    program: Program,
}

/// The part of a plugin that does not depend on its parameter.
#[derive(Debug, Clone)]
enum Program {
    BuiltIn(BuiltIn),
    Lua(Arc<lua::Script>),
    Wasm(wasm::Program),
}

/// A stage, and what it was made of.
#[derive(Debug)]
struct Made {
    /// The Plugin's version in force then; `None` = in place.
    plugin: Option<Arc<Plugin>>,
    files: Files,
    stage: Weak<dyn Stage>,
}

impl Store {
    /// Holds nothing; for so many workers. Components are in `modules` before they are put.
    #[must_use]
    pub fn new(workers: usize, modules: wasm::Modules) -> Self {
        Self { plugins: BTreeMap::new(), stages: HashMap::new(), stats: BTreeMap::new(), modules, workers }
    }

    /// A Plugin of this name.
    #[must_use]
    pub fn get(&self, name: &ResourceName) -> Option<&Arc<Plugin>> {
        self.plugins.get(name).map(|held| &held.plugin)
    }

    /// Takes a Plugin in place of the one of its name.
    ///
    /// # Errors
    /// If its code cannot be used; the one before stays.
    pub fn put(&mut self, plugin: Plugin) -> Result<(), Invalid> {
        let name = plugin.name.clone();
        let program = Program::new(&plugin, &self.stats(name.to_string().into()), &self.modules)?;
        self.plugins.insert(name, Held { plugin: Arc::new(plugin), program });
        Ok(())
    }

    /// Gives a Plugin up.
    pub fn remove(&mut self, name: &ResourceName) {
        self.plugins.remove(name);
    }

    /// The plugins of a pool, compiled; `None` if it uses none.
    ///
    /// # Errors
    /// If a parameter is refused; names the field.
    pub fn chain(&mut self, pool: &Pool) -> Result<Option<Arc<Chain>>, Invalid> {
        if pool.plugins.is_empty() {
            return Ok(None);
        }
        let (mut links, mut missing) = (Vec::new(), Vec::new());
        for (place, plugin_use) in pool.plugins.iter().enumerate() {
            let link = self.link(pool, plugin_use).map_err(|e| e.under(format!("spec.plugins[{place}]")))?;
            match (link, &plugin_use.plugin) {
                (Some(link), _) => links.push(link),
                (None, PluginRef::Named(name)) => missing.push(name.to_string()),
                (None, PluginRef::InPlace(built_in)) => missing.push(built_in.to_string()),
            }
        }
        Ok(Some(Arc::new(Chain::new(links, missing))))
    }

    /// `None` = there is no such Plugin.
    fn link(&mut self, pool: &Pool, plugin_use: &PluginUse) -> Result<Option<Link>, Invalid> {
        let (plugin, program) = match &plugin_use.plugin {
            PluginRef::InPlace(built_in) => (None, Program::BuiltIn(*built_in)),
            PluginRef::Named(name) => match self.plugins.get(name) {
                Some(Held { plugin, program }) => (Some(plugin.clone()), program.clone()),
                None => return Ok(None),
            },
        };
        let stage = self.stage(plugin.as_ref(), &program, plugin_use)?;
        let name: Arc<str> = match &plugin_use.plugin {
            PluginRef::Named(name) => name.to_string().into(),
            PluginRef::InPlace(built_in) => format!("{}:{built_in}", pool.name).into(),
        };
        let stats = self.stats(name);
        Ok(Some(Link {
            hooks: stage.hooks(),
            timeout: stage.wait_limit().or(plugin.as_ref().map(|plugin| plugin.timeout)).unwrap_or(Plugin::TIMEOUT),
            stage,
            policy: plugin.as_ref().map_or(FailurePolicy::default(), |plugin| plugin.failure_policy),
            stats,
        }))
    }

    /// The stage of this plugin with this parameter: one that is in use, or a new one.
    fn stage(
        &mut self,
        plugin: Option<&Arc<Plugin>>,
        program: &Program,
        plugin_use: &PluginUse,
    ) -> Result<Arc<dyn Stage>, Invalid> {
        let PluginUse { plugin: source, param, files } = plugin_use;
        let made = self.stages.entry((source.clone(), param.to_string())).or_default();
        made.retain(|made| made.stage.strong_count() > 0);
        let is_same = |made: &&Made| made.plugin.as_deref() == plugin.map(Arc::as_ref) && made.files == *files;
        if let Some(stage) = made.iter().find(is_same).and_then(|made| made.stage.upgrade()) {
            return Ok(stage);
        }
        let stage = program.stage(param, files)?;
        made.push(Made { plugin: plugin.cloned(), files: files.clone(), stage: Arc::downgrade(&stage) });
        Ok(stage)
    }

    fn stats(&mut self, name: Arc<str>) -> Arc<PluginStats> {
        let new = || Arc::new(PluginStats::new(name.clone(), self.workers));
        self.stats.entry(name.clone()).or_insert_with(new).clone()
    }

    /// Forgets stages that no pool uses any more.
    pub fn sweep(&mut self) {
        self.stages.retain(|_, made| made.iter().any(|made| made.stage.strong_count() > 0));
    }
}

impl Program {
    fn new(plugin: &Plugin, stats: &PluginStats, modules: &wasm::Modules) -> Result<Self, Invalid> {
        match &plugin.code {
            Code::BuiltIn(built_in) => Ok(Self::BuiltIn(*built_in)),
            Code::Lua(code) => lua::Script::new(plugin, code, stats.counts.clone()).map(|s| Self::Lua(Arc::new(s))),
            Code::Wasm(wasm) => wasm::Program::new(plugin, wasm, modules).map(Self::Wasm),
        }
    }

    fn stage(&self, param: &Value, files: &Files) -> Result<Arc<dyn Stage>, Invalid> {
        match self {
            Self::BuiltIn(built_in) => {
                let param = Param::parse(*built_in, param, files).map_err(|e| e.under("param"))?;
                Ok(builtin::stage(param))
            }
            Self::Lua(script) => Ok(Arc::new(lua::Lua::new(script.clone(), param.clone()))),
            Self::Wasm(program) => Ok(program.stage(param)),
        }
    }
}
