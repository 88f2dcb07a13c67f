//! Plugins, and what Pools make of them.
//!
//! LIFECYCLE of a Plugin: in force -> deleted, but in force as long as a Pool uses it -> gone. Its Pools are
//! refused meanwhile, and their last good versions need it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_proto::model::{Files, Invalid, Key, Kind, ResourceName};
use weir_proto::pb;
use weir_proto::pb::resource::Body;

use super::uses::Needs;
use super::{Desired, Outcome, Refusal, certificates};
use crate::api::pool::PluginUse;
use crate::api::{PluginSpec, PoolSpec};
use crate::contents::{ContentKey, ContentKind, Told};
use crate::status::{InForce, RefProblem};
use crate::translate::{self, Want};

/// Which version of a Pool is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// The one that its user gave last: its Plugins must exist.
    Newest,
    /// The last good one: a Plugin that was deleted since is good enough, and a Pool that was is not missed.
    LastGood,
}

impl Desired {
    /// Marks all that uses what has changed.
    pub(super) fn touch_users(&mut self) {
        for content in self.contents.take_changed() {
            let users: Vec<Key> = self.uses.of_content(&content).cloned().collect();
            users.iter().for_each(|user| self.index.touch(user));
        }
        let pools: Vec<ResourceName> = self.index.dirty(Kind::Pool).cloned().collect();
        for pool in pools {
            let users: Vec<Key> = self.uses.of_pool(&pool).cloned().collect();
            users.iter().for_each(|user| self.index.touch(user));
        }
        let plugins: Vec<ResourceName> = self.index.dirty(Kind::Plugin).cloned().collect();
        for plugin in plugins {
            let pools: Vec<ResourceName> = self.uses.of_plugin(&plugin).cloned().collect();
            pools.into_iter().for_each(|pool| self.index.touch(&Key::pool(pool)));
        }
    }

    /// Asks for what is used now, and looks again at Plugins that others use now.
    pub(super) fn settle_uses(&mut self, outcome: &mut Outcome) {
        let changed = self.uses.take_changed();
        changed.plugins.iter().for_each(|plugin| self.settle_plugin(plugin, outcome));
        for content in changed.contents {
            let is_used = self.uses.of_content(&content).len() > 0;
            self.contents.want(content, is_used);
        }
    }

    pub(super) fn settle_plugin(&mut self, name: &ResourceName, outcome: &mut Outcome) {
        let key = Key::plugin(name.clone());
        let newest = self.index.plugin(name).cloned();
        let refusal = match &newest {
            None if self.uses.of_plugin(name).len() > 0 => None,
            None => {
                self.plugins.remove(name);
                outcome.patch.removed.push(key.clone());
                None
            }
            Some(spec) => match self.judge_plugin(&key, spec) {
                Ok(body) => {
                    self.plugins.insert(name.clone(), spec.clone());
                    outcome.patch.upserts.push((key.clone(), body));
                    None
                }
                Err(refusal) => {
                    self.renew_plugin(&key, outcome);
                    Some(refusal)
                }
            },
        };
        let in_force = self.plugins.get(name);
        let needs = [newest.as_ref(), in_force].into_iter().flatten().map(|spec| plugin_needs(name, spec));
        self.uses.set(&key, needs.fold(Needs::default(), Needs::and));
        let in_force = in_force.map(|_| InForce::Plugin);
        self.pronounce(&key, refusal, in_force, outcome);
    }

    fn judge_plugin(&self, key: &Key, spec: &PluginSpec) -> Result<Body, Refusal> {
        let files = self.files(&key.name, &translate::plugin_wants(spec))?;
        self.check_pools(&key.name, &translate::plugin_pools(spec), "spec.param.pool")?;
        Ok(translate::plugin(key, spec, &files)?)
    }

    /// The last good version of a refused Plugin follows what it names.
    fn renew_plugin(&self, key: &Key, outcome: &mut Outcome) {
        let body = self.plugins.get(&key.name).and_then(|spec| self.judge_plugin(key, spec).ok());
        outcome.patch.upserts.extend(body.map(|body| (key.clone(), body)));
    }

    /// The last good version of a refused Pool follows its Plugins and what they name: a password that is not
    /// valid any more must not stay valid for a mistake somewhere else.
    pub(super) fn renew_pool(&self, key: &Key, outcome: &mut Outcome) {
        let names_others = |spec: &&Arc<PoolSpec>| spec.plugins.is_some() || spec.tls.is_some();
        let Some(spec) = self.pools.get(&key.name).filter(names_others) else { return };
        let body = self.pool_body(key, spec, Version::LastGood).ok();
        let body = body.filter(|body| certificates::check_claim(translate::claim(key, body).as_ref()).is_ok());
        outcome.patch.upserts.extend(body.map(|body| (key.clone(), body)));
    }

    /// Notes what the newest version of a Pool uses, and the one in force.
    pub(super) fn track_pool(&mut self, name: &ResourceName, newest: Option<&Arc<PoolSpec>>) {
        let specs = newest.into_iter().chain(self.pools.get(name));
        let needs = specs.map(|spec| self.pool_needs(name, spec)).fold(Needs::default(), Needs::and);
        self.uses.set(&Key::pool(name.clone()), needs);
    }

    fn pool_needs(&self, pool: &ResourceName, spec: &PoolSpec) -> Needs {
        let mut needs = Needs::of(pool, &translate::tls_wants(spec));
        for plugin_use in spec.plugins.iter().flatten() {
            let name = plugin_use.name.as_ref().and_then(|name| pool.sibling(name).ok());
            let plugin = name.as_ref().and_then(|name| self.plugins.get(name));
            let wants = translate::use_wants(plugin.map(Arc::as_ref), plugin_use);
            needs.contents.extend(Needs::of(pool, &wants).contents);
            let pools = translate::use_pools(plugin.map(Arc::as_ref), plugin_use);
            needs.pools.extend(pools.iter().filter_map(|name| pool.sibling(name).ok()));
            needs.plugins.extend(name);
        }
        needs
    }

    /// What each use of a plugin in a Pool comes to.
    pub(super) fn judge_uses(
        &self,
        pool: &ResourceName,
        spec: &PoolSpec,
        version: Version,
    ) -> Result<Vec<pb::PluginUse>, Refusal> {
        let judge = |(i, plugin_use)| {
            self.judge_use(pool, plugin_use, version).map_err(|e: Refusal| e.under(&format!("spec.plugins[{i}]")))
        };
        let uses = spec.plugins.iter().flatten().enumerate().map(judge).collect::<Result<_, Refusal>>()?;
        self.check_metrics(pool, spec, version)?;
        Ok(uses)
    }

    /// One Pool has one metric of a name: two of them could have the same series.
    fn check_metrics(&self, pool: &ResourceName, spec: &PoolSpec, version: Version) -> Result<(), Refusal> {
        let mut known = BTreeSet::new();
        for (i, own) in spec.plugins.iter().flatten().enumerate() {
            let plugin = own.name.as_ref().and_then(|name| self.plugin_of(pool, name, version).ok());
            let Some(metric) = translate::metric(plugin, own) else { continue };
            if !known.insert(metric.clone()) {
                let why = format!("another plugin of this Pool has the metric {metric:?} already");
                return Err(Invalid::new(format!("spec.plugins[{i}].param.name"), why).into());
            }
        }
        Ok(())
    }

    fn judge_use(&self, pool: &ResourceName, own: &PluginUse, version: Version) -> Result<pb::PluginUse, Refusal> {
        let plugin = own.name.as_ref().map(|name| self.plugin_of(pool, name, version)).transpose()?;
        let files = self.files(pool, &translate::use_wants(plugin, own))?;
        if version == Version::Newest {
            self.check_pools(pool, &translate::use_pools(plugin, own), "param.pool")?;
        }
        Ok(translate::plugin_use(plugin, own, files)?)
    }

    fn plugin_of(&self, pool: &ResourceName, name: &str, version: Version) -> Result<&PluginSpec, Refusal> {
        let name = pool.sibling(name).map_err(|e| Invalid::new("name", e))?;
        let key = Key::plugin(name);
        let is_there = version == Version::LastGood || self.index.knows(&key);
        let plugin = self.plugins.get(&key.name).filter(|_| is_there).map(Arc::as_ref);
        plugin.ok_or_else(|| self.absent(&key, "name", RefProblem::PluginNotFound, RefProblem::PluginRefused))
    }

    /// Pools that are named must exist. Whether they are in force is not asked: two may name each other.
    fn check_pools(&self, from: &ResourceName, named: &[String], field: &str) -> Result<(), Refusal> {
        for name in named {
            let key = Key::pool(from.sibling(name).map_err(|e| Invalid::new(field, e))?);
            if !self.index.knows(&key) {
                let invalid = Invalid::new(field, format!("there is no {key}"));
                return Err(Refusal::Reference(RefProblem::PoolNotFound, invalid));
            }
        }
        Ok(())
    }

    /// The contents of all that is named, from a resource of this name.
    pub(super) fn files(&self, from: &ResourceName, wants: &[Want]) -> Result<Files, Refusal> {
        let mut files = BTreeMap::new();
        for want in wants {
            let key = content_key(from, want)?;
            let content = match self.contents.get(&key) {
                None => return Err(Refusal::Awaiting),
                Some(Told::There(content)) => content.entries(),
                Some(Told::Missing) => return Err(want.refuse(format!("there is no {key}"))),
                Some(Told::Unreadable(why)) => return Err(want.refuse(format!("{key} cannot be read: {why}"))),
            };
            if let Some(wanted) = want.key.as_ref().filter(|wanted| !content.contains_key(*wanted)) {
                return Err(want.refuse(format!("{key} has no key {wanted:?}")));
            }
            let path = |entry: &str| format!("{}/{}/{entry}", want.kind.prefix(), want.name);
            files.extend(content.iter().map(|(entry, bytes)| (path(entry), bytes.clone())));
        }
        Ok(Files(files))
    }
}

fn plugin_needs(name: &ResourceName, spec: &PluginSpec) -> Needs {
    let pools = translate::plugin_pools(spec).iter().filter_map(|pool| name.sibling(pool).ok()).collect();
    Needs { pools, ..Needs::of(name, &translate::plugin_wants(spec)) }
}

impl Needs {
    /// The Secrets and ConfigMaps that a resource of this name wants.
    pub(super) fn of(name: &ResourceName, wants: &[Want]) -> Self {
        let contents = wants.iter().filter_map(|want| content_key(name, want).ok()).collect();
        Self { contents, ..Self::default() }
    }
}

fn content_key(from: &ResourceName, want: &Want) -> Result<ContentKey, Invalid> {
    let name = from.sibling(&want.name).map_err(|e| Invalid::new(&want.field, e))?;
    Ok(ContentKey { kind: want.kind, name })
}

impl Want {
    fn refuse(&self, why: String) -> Refusal {
        let problem = match self.kind {
            ContentKind::Secret => RefProblem::SecretNotFound,
            ContentKind::ConfigMap => RefProblem::ConfigMapNotFound,
        };
        Refusal::Reference(problem, Invalid::new(&self.field, why))
    }
}
