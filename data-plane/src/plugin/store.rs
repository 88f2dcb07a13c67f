//! The Plugins that this proxy holds, and the stages made of them. Owned by the control thread.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};

use serde_json::Value;
use weir_proto::model::{
    BuiltIn, Code, FailurePolicy, Files, Invalid, Param, Plugin, PluginRef, PluginUse, Pool, ResourceName,
};

use super::chain::Link;
use super::stats::PluginStats;
use super::tally::Tally;
use super::{Chain, Stage, builtin, lua, wasm};

/// Plugins, and what is made of them.
#[derive(Debug)]
pub struct Store {
    plugins: BTreeMap<ResourceName, Held>,
    /// Stages in use, by plugin and parameter: equal uses share one.
    stages: HashMap<(PluginRef, String), Vec<Made>>,
    /// By name; survive every change of what is there, and go with the Plugin or its last use.
    stats: BTreeMap<Arc<str>, Weak<PluginStats>>,
    modules: wasm::Modules,
    workers: usize,
}

/// A Plugin, and which pools use it.
#[derive(Debug)]
struct Held {
    plugin: Arc<Plugin>,
    program: Program,
    stats: Arc<PluginStats>,
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

    /// Names of all Plugins.
    pub fn names(&self) -> impl Iterator<Item = &ResourceName> {
        self.plugins.keys()
    }

    /// Takes a Plugin in place of the one of its name.
    ///
    /// # Errors
    /// If its code cannot be used; the one before stays.
    pub fn put(&mut self, plugin: Plugin) -> Result<(), Invalid> {
        let name = plugin.name.clone();
        let stats = self.stats(name.to_string().into());
        let program = Program::new(&plugin, &stats, &self.modules)?;
        self.plugins.insert(name, Held { plugin: Arc::new(plugin), program, stats });
        Ok(())
    }

    /// Gives a Plugin up.
    pub fn remove(&mut self, name: &ResourceName) {
        self.plugins.remove(name);
    }

    /// The plugins of a pool, compiled; `None` if it uses none. What those of `before` have counted goes on.
    ///
    /// # Errors
    /// If a parameter is refused; names the field.
    pub fn chain(&mut self, pool: &Pool, before: Option<&Chain>) -> Result<Option<Arc<Chain>>, Invalid> {
        if pool.plugins.is_empty() {
            return Ok(None);
        }
        let (mut links, mut missing) = (Vec::new(), Vec::new());
        for (place, plugin_use) in pool.plugins.iter().enumerate() {
            let field = format!("spec.plugins[{place}]");
            let link = self.link(pool, plugin_use).map_err(|e| e.under(&field))?;
            match (link, &plugin_use.plugin) {
                (Some(link), _) => {
                    let link = self.counting(link, before);
                    check_metric(&link, &links).map_err(|e| e.under(&field))?;
                    links.push(link);
                }
                (None, PluginRef::Named(name)) => missing.push(name.to_string()),
                (None, PluginRef::InPlace(built_in)) => missing.push(built_in.to_string()),
            }
        }
        Ok(Some(Arc::new(Chain::new(links, missing))))
    }

    /// `None` = there is no such Plugin.
    fn link(&mut self, pool: &Pool, plugin_use: &PluginUse) -> Result<Option<Link>, Invalid> {
        let (plugin, program, stats) = match &plugin_use.plugin {
            PluginRef::InPlace(built_in) => {
                let stats = self.stats(format!("{}:{built_in}", pool.name).into());
                (None, Program::BuiltIn(*built_in), stats)
            }
            PluginRef::Named(name) => match self.plugins.get(name) {
                Some(Held { plugin, program, stats }) => (Some(plugin.clone()), program.clone(), stats.clone()),
                None => return Ok(None),
            },
        };
        let stage = self.stage(plugin.as_ref(), &program, plugin_use)?;
        Ok(Some(Link {
            hooks: stage.hooks(),
            timeout: stage.wait_limit().or(plugin.as_ref().map(|plugin| plugin.timeout)).unwrap_or(Plugin::TIMEOUT),
            stage,
            tally: None,
            policy: plugin.as_ref().map_or(FailurePolicy::default(), |plugin| plugin.failure_policy),
            stats,
        }))
    }

    /// The same with what it counts, which is that of the same stage in the pool's chain `before`, if it was there.
    fn counting(&self, link: Link, before: Option<&Chain>) -> Link {
        let Some(metric) = link.stage.metric() else { return link };
        let same = before.iter().flat_map(|chain| chain.links()).find(|old| Arc::ptr_eq(&old.stage, &link.stage));
        let tally = same.and_then(|old| old.tally.clone());
        let tally = tally.unwrap_or_else(|| Arc::new(Tally::new(metric.clone(), self.workers)));
        Link { tally: Some(tally), ..link }
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
        let known = self.stats.get(&name).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let stats = Arc::new(PluginStats::new(name.clone(), self.workers));
            self.stats.insert(name, Arc::downgrade(&stats));
            stats
        })
    }

    /// Forgets what no pool uses any more.
    pub fn sweep(&mut self) {
        self.stats.retain(|_, stats| stats.strong_count() > 0);
        self.stages.retain(|_, made| made.iter().any(|made| made.stage.strong_count() > 0));
    }
}

/// One pool has one metric of a name: two of them could have the same series.
fn check_metric(link: &Link, before: &[Link]) -> Result<(), Invalid> {
    let name = |link: &Link| link.tally.as_ref().map(|tally| tally.metric().name.clone());
    match name(link) {
        Some(metric) if before.iter().any(|other| name(other).as_ref() == Some(&metric)) => {
            Err(Invalid::new("param.name", format!("another plugin of this Pool has the metric {metric:?} already")))
        }
        _ => Ok(()),
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plugin::stats::Hook;
    use crate::plugin::testing::Fixture;
    use crate::plugin::{Effects, Outcome};

    fn store() -> Store {
        Store::new(1, wasm::Modules::new(None))
    }

    fn plugin(name: &str, built_in: BuiltIn) -> Plugin {
        let (code, timeout) = (Code::BuiltIn(built_in), Plugin::TIMEOUT);
        Plugin { name: name.parse().unwrap(), code, failure_policy: FailurePolicy::Closed, timeout }
    }

    fn in_place(built_in: BuiltIn, param: &Value) -> PluginUse {
        PluginUse { plugin: PluginRef::InPlace(built_in), param: param.clone(), files: Files::default() }
    }

    fn pool(plugins: Vec<PluginUse>) -> Pool {
        Pool { plugins, ..Pool::new("shop/web".parse().unwrap()) }
    }

    fn counter(name: &str) -> PluginUse {
        in_place(BuiltIn::Metrics, &json!({"name": name, "help": "A."}))
    }

    #[test]
    fn t1_what_is_counted_of_a_plugin_goes_with_it_or_with_its_last_use() {
        let mut store = store();
        store.put(plugin("shop/p", BuiltIn::Random)).unwrap();
        let named = PluginUse {
            plugin: PluginRef::Named("shop/p".parse().unwrap()),
            ..in_place(BuiltIn::Random, &Value::Null)
        };
        let chain = store.chain(&pool(vec![named, in_place(BuiltIn::Random, &Value::Null)]), None).unwrap().unwrap();
        chain.links()[0].stats.shards.of(0).durations[Hook::Pre as usize].observe(std::time::Duration::ZERO);
        store.sweep();
        assert_eq!(store.stats.len(), 2);
        drop(chain);
        store.sweep();
        assert_eq!(store.stats.keys().map(|name| &**name).collect::<Vec<_>>(), ["shop/p"], "held, though unused");
        store.remove(&"shop/p".parse().unwrap());
        store.sweep();
        assert!(store.stats.is_empty());
    }

    #[tokio::test]
    async fn c5_what_a_metric_has_counted_survives_changes_of_its_pool_and_of_no_other() {
        let mut store = store();
        let before = store.chain(&pool(vec![counter("a_total")]), None).unwrap().unwrap();
        let fixture = Fixture::new(&[1], |_| ());
        let outcome = Outcome { status: 200, duration: Plugin::TIMEOUT, upstream: None, bytes: 0 };
        before.done(fixture.scene(), &Effects::new(fixture.request.clone()), &outcome);
        let counted = |chain: &Chain, place: usize| chain.links()[place].tally.as_ref().unwrap().series().len();
        let after = store.chain(&pool(vec![counter("b_total"), counter("a_total")]), Some(&before)).unwrap().unwrap();
        assert_eq!((counted(&after, 0), counted(&after, 1)), (0, 1));
        let elsewhere = store.chain(&pool(vec![counter("a_total")]), None).unwrap().unwrap();
        assert_eq!(counted(&elsewhere, 0), 0);
    }

    #[test]
    fn t1_two_metrics_of_one_name_are_refused_in_a_pool() {
        let refused = store().chain(&pool(vec![counter("a_total"), counter("b_total"), counter("a_total")]), None);
        let expected = "spec.plugins[2].param.name: another plugin of this Pool has the metric \"a_total\" already";
        assert_eq!(refused.unwrap_err().to_string(), expected);
    }
}
