//! What proxies should have, and what to say about each resource: index and translation put together, with
//! the last good version of whatever is refused. Pure: no async, no locks.

mod backends;
mod certificates;
mod order;
mod plugins;
mod target;
#[cfg(test)]
mod tests;
mod uses;

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::Arc;

use backends::InForceBackend;
use certificates::Certificates;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use plugins::Version;
use target::Targets;
use uses::Uses;
use weir_proto::model::{Invalid, Key, Kind, ResourceName};
use weir_proto::pb::resource::Body;

use crate::api::backend::ServiceRef;
use crate::api::pool::PoolProtocol;
use crate::api::{PluginSpec, PoolSpec};
use crate::contents::{Contents, Wanted};
use crate::finding::Finding;
use crate::index::Index;
use crate::keep::Keep;
use crate::services::Services;
use crate::snapshot::Patch;
use crate::source::{Changes, Event, Object, Spec};
use crate::status::{InForce, RefProblem, Verdict};
use crate::translate;

/// All resources with what has become of them.
#[derive(Debug, Default)]
pub struct Desired {
    index: Index,
    /// The Pools in force, with what they inherit merged in: what others inherit from them. One that inherits
    /// nothing is that of the index.
    pools: BTreeMap<ResourceName, Arc<PoolSpec>>,
    /// The Backends in force.
    backends: BTreeMap<ResourceName, InForceBackend>,
    /// The Plugins in force. One that is deleted is so as long as it is used.
    plugins: BTreeMap<ResourceName, Arc<PluginSpec>>,
    /// Refused resources without a version in force: the last good one, if there is one, is with the proxies.
    refused: BTreeSet<Key>,
    /// Refused Backends whose last good version went with its Pool.
    orphans: BTreeSet<ResourceName>,
    /// Resources that cannot be judged before something they name was told.
    waiting: BTreeSet<Key>,
    /// None where there is no cluster.
    services: Option<Services>,
    /// Of the Backends in force that name a Service.
    targets: Targets,
    /// Secrets and ConfigMaps.
    contents: Contents,
    uses: Uses,
    /// That Pools bring, by host.
    certificates: Certificates,
    has_begun: bool,
    /// What all changes before the beginning come to.
    beginning: Outcome,
}

/// What a change comes to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// For the proxies.
    pub patch: Patch,
    /// Each resource that was looked at again; `None` = it is gone.
    pub verdicts: Vec<(Key, Option<Verdict>)>,
}

impl Outcome {
    /// What both come to, one after the other.
    fn then(mut self, later: Self) -> Self {
        let Patch { upserts, removed, keep } = later.patch;
        let back: BTreeSet<&Key> = upserts.iter().map(|(key, _)| key).collect();
        self.patch.removed.retain(|key| !back.contains(key));
        self.patch.upserts.extend(upserts);
        self.patch.removed.extend(removed);
        self.patch.keep = keep;
        self.verdicts.extend(later.verdicts);
        self
    }
}

/// A Pool that is good in itself.
#[derive(Debug)]
struct GoodPool {
    /// With what it inherits.
    merged: Arc<PoolSpec>,
    body: Body,
    claim: Option<translate::Claim>,
}

/// Why a resource is not taken.
#[derive(Debug)]
enum Refusal {
    Invalid(Invalid),
    Reference(RefProblem, Invalid),
    /// Something that it names was not told yet.
    Awaiting,
}

impl Refusal {
    /// The same seen from one level above.
    fn under(self, parent: &str) -> Self {
        match self {
            Self::Invalid(invalid) => Self::Invalid(invalid.under(parent)),
            Self::Reference(problem, invalid) => Self::Reference(problem, invalid.under(parent)),
            Self::Awaiting => Self::Awaiting,
        }
    }
}

impl From<Invalid> for Refusal {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

impl Desired {
    /// For resources of a cluster, which has Services too.
    #[must_use]
    pub fn in_cluster() -> Self {
        Self { services: Some(Services::default()), contents: Contents::on_demand(), ..Self::default() }
    }

    /// Takes in changes and judges all that they concern; `None` until every kind has had its first list, and all
    /// that the first resources name was told.
    pub fn apply(&mut self, changes: Changes) -> Option<Outcome> {
        for event in changes {
            self.take(event);
        }
        if !self.unlisted().is_empty() {
            return None;
        }
        self.touch_users();
        let dirty = self.index.take_dirty()?;
        let outcome = self.settle(dirty);
        let outcome = mem::take(&mut self.beginning).then(outcome);
        let outcome = self.settle_rivals(outcome);
        if !self.has_begun && self.contents.awaited().next().is_some() {
            self.beginning = outcome;
            return None;
        }
        self.has_begun = true;
        Some(outcome)
    }

    fn settle(&mut self, dirty: BTreeSet<Key>) -> Outcome {
        let changed = self.services.as_mut().map(Services::take_changed).unwrap_or_default();
        let (plugins, others): (BTreeSet<Key>, BTreeSet<Key>) =
            dirty.into_iter().partition(|key| key.kind == Kind::Plugin);
        let (pools, mut backends): (BTreeSet<Key>, BTreeSet<Key>) =
            others.into_iter().partition(|key| key.kind == Kind::Pool);
        let mut outcome = Outcome::default();
        for plugin in plugins {
            self.settle_plugin(&plugin.name, &mut outcome);
        }
        let turned = self.settle_pools(pools, &mut outcome);
        self.settle_uses(&mut outcome);
        backends.extend(self.members(&turned));
        backends.extend(changed.services.iter().flat_map(|s| self.index.clients(s)).cloned().map(Key::backend));
        for key in backends {
            self.settle_backend(&key, &mut outcome);
        }
        // Backends name none but Secrets and ConfigMaps.
        self.settle_uses(&mut outcome);
        for backend in self.targets.take_stale(&changed.endpoints) {
            self.settle_endpoints(&backend, &mut outcome);
        }
        outcome.patch.keep = Keep::Only(self.refused.clone()).or(self.index.hidden().clone());
        outcome
    }

    /// What is not there yet for a beginning: first lists of kinds, Secrets and ConfigMaps.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let lists = self.unlisted().into_iter().map(ToOwned::to_owned);
        lists.chain(self.contents.awaited().map(ToString::to_string)).collect()
    }

    /// The Secrets and ConfigMaps that resources name, if they are others since the last look.
    pub fn take_wanted(&mut self) -> Option<Wanted> {
        self.contents.take_wanted()
    }

    /// Kinds whose first list has not come yet.
    fn unlisted(&self) -> Vec<&'static str> {
        let given = self.index.missing().into_iter().map(Kind::as_str);
        given.chain(self.services.iter().flat_map(Services::missing)).collect()
    }

    fn take(&mut self, event: Event) {
        match (event, &mut self.services) {
            (Event::Service(event), Some(services)) => services.apply(event),
            (Event::Content(key, told), _) => self.contents.tell(key, told),
            (event, _) => drop(self.index.apply(event)),
        }
    }

    /// Judges Pools, bases first; gives back those that came into force, went out of it, or turned to another protocol.
    fn settle_pools(&mut self, dirty: BTreeSet<Key>, outcome: &mut Outcome) -> BTreeSet<ResourceName> {
        let names: BTreeSet<ResourceName> = dirty.into_iter().map(|key| key.name).collect();
        let was: BTreeMap<ResourceName, Option<PoolProtocol>> =
            names.iter().map(|name| (name.clone(), self.protocol(name))).collect();
        let order = order::bases_first(&self.index, &names);
        for name in &order.straight {
            let newest = self.index.pool(name).map(|spec| self.merged(name, spec));
            let tracked = newest.as_ref().and_then(|merged| merged.as_ref().ok()).cloned();
            let result = newest.map(|merged| self.judge_pool(name, merged?));
            self.note_claim(name, result.as_ref());
            self.settle_pool(name, result, outcome);
            self.track_pool(name, tracked.as_ref());
        }
        for (name, circle) in order.circular {
            let refusal = Refusal::Reference(RefProblem::InheritCircle, Invalid::new("spec.inherit", circle));
            self.settle_pool(&name, Some(Err(refusal)), outcome);
            self.track_pool(&name, None);
        }
        was.into_iter().filter(|(name, was)| self.protocol(name) != *was).map(|(name, _)| name).collect()
    }

    /// The protocol of a Pool that is in force.
    fn protocol(&self, pool: &ResourceName) -> Option<PoolProtocol> {
        self.pools.get(pool).map(|spec| spec.protocol.unwrap_or_default())
    }

    /// The specification of a Pool with what it inherits.
    fn merged(&self, name: &ResourceName, spec: &Arc<PoolSpec>) -> Result<Arc<PoolSpec>, Refusal> {
        Ok(match &spec.inherit {
            Some(base) => Arc::new(translate::merged(spec, self.base(name, base)?)),
            None => spec.clone(),
        })
    }

    /// A merged specification with its message.
    fn judge_pool(&self, name: &ResourceName, merged: Arc<PoolSpec>) -> Result<GoodPool, Refusal> {
        let key = Key::pool(name.clone());
        let body = self.pool_body(&key, &merged, Version::Newest)?;
        let claim = translate::claim(&key, &body);
        certificates::check_claim(claim.as_ref())?;
        Ok(GoodPool { merged, body, claim })
    }

    fn pool_body(&self, key: &Key, spec: &PoolSpec, version: Version) -> Result<Body, Refusal> {
        let uses = self.judge_uses(&key.name, spec, version)?;
        let files = self.files(&key.name, &translate::tls_wants(spec))?;
        Ok(translate::pool(key, spec, uses, translate::tls(spec, &files))?)
    }

    fn base(&self, name: &ResourceName, base: &str) -> Result<&PoolSpec, Refusal> {
        let base = Key::pool(name.sibling(base).map_err(|e| Invalid::new("spec.inherit", e))?);
        let problem = || self.absent(&base, "spec.inherit", RefProblem::BaseNotFound, RefProblem::BaseRefused);
        self.pools.get(&base.name).map(Arc::as_ref).ok_or_else(problem)
    }

    /// Why a resource that is named is not in force.
    fn absent(&self, named: &Key, field: &str, not_found: RefProblem, refused: RefProblem) -> Refusal {
        if self.waiting.contains(named) {
            return Refusal::Awaiting;
        }
        if self.index.knows(named) {
            return Refusal::Reference(refused, Invalid::new(field, format!("{named} is refused itself")));
        }
        Refusal::Reference(not_found, Invalid::new(field, format!("there is no {named}")))
    }

    fn settle_pool(&mut self, name: &ResourceName, result: Option<Result<GoodPool, Refusal>>, outcome: &mut Outcome) {
        let key = Key::pool(name.clone());
        let refusal = match result {
            None => {
                self.pools.remove(name);
                outcome.patch.removed.push(key.clone());
                None
            }
            Some(Ok(GoodPool { merged, body, claim: _ })) => {
                self.pools.insert(name.clone(), merged);
                outcome.patch.upserts.push((key.clone(), body));
                self.certificates.conflict(name)
            }
            Some(Err(refusal)) => {
                self.renew_pool(&key, outcome);
                Some(refusal)
            }
        };
        let in_force = self.pools.get(name).map(|spec| translate::in_force(spec));
        self.pronounce(&key, refusal, in_force, outcome);
    }

    fn settle_endpoints(&self, backend: &ResourceName, outcome: &mut Outcome) {
        let key = Key::endpoints(backend.clone());
        let (Some(target), Some(services)) = (self.targets.get(backend), &self.services) else {
            return outcome.patch.removed.push(key);
        };
        match translate::endpoints(&key, &target.port, services.slices(&target.service)) {
            Ok(body) => outcome.patch.upserts.push((key, body)),
            Err(error) => tracing::warn!("{key} stay as they were, Service {} has too many: {error}", target.service),
        }
    }

    /// Remembers whether proxies may hold a good version of a resource that this process has never seen.
    fn note(&mut self, key: &Key, in_force: bool) {
        let is_orphan = key.kind == Kind::Backend && self.orphans.contains(&key.name);
        if !in_force && !is_orphan && self.index.knows(key) {
            self.refused.insert(key.clone());
        } else {
            self.refused.remove(key);
        }
    }

    /// Says what a resource is judged to be, unless that has to wait.
    fn pronounce(&mut self, key: &Key, refusal: Option<Refusal>, in_force: Option<InForce>, outcome: &mut Outcome) {
        self.note(key, in_force.is_some());
        let (invalid, reference) = match refusal {
            None => (None, None),
            Some(Refusal::Invalid(invalid)) => (Some(invalid), None),
            Some(Refusal::Reference(problem, invalid)) => (None, Some((problem, invalid))),
            Some(Refusal::Awaiting) => {
                self.waiting.insert(key.clone());
                return;
            }
        };
        self.waiting.remove(key);
        let verdict = self.verdict(key, invalid, reference, in_force);
        outcome.verdicts.push((key.clone(), verdict));
    }

    /// What to say about a resource; `None` if it is gone. What breaks the schema outweighs the rest.
    fn verdict(
        &self,
        key: &Key,
        invalid: Option<Invalid>,
        reference: Option<(RefProblem, Invalid)>,
        in_force: Option<InForce>,
    ) -> Option<Verdict> {
        let object = self.index.object(key);
        let finding = |invalid| finding(key, object, invalid);
        let generation = object.and_then(|o| o.generation);
        let (address, used_by) = (object.and_then(address), self.uses.used_by(key));
        if let Some(broken) = self.index.broken(key) {
            let (generation, invalid) = (broken.generation, broken.findings.clone());
            return Some(Verdict { in_force, address, used_by, generation, invalid, reference: None });
        }
        let invalid = invalid.map(finding).into_iter().collect();
        let reference = reference.map(|(problem, invalid)| (problem, finding(invalid)));
        object.map(|_| Verdict { in_force, address, used_by, generation, invalid, reference })
    }
}

/// Where the endpoints of a Backend come from.
fn address(object: &Object) -> Option<String> {
    let Spec::Backend(spec) = &object.spec else { return None };
    let service = |ServiceRef { name, port }: &ServiceRef| match port {
        IntOrString::Int(number) => format!("service/{name}:{number}"),
        IntOrString::String(port) => format!("service/{name}:{port}"),
    };
    spec.service.as_ref().map(service).or_else(|| spec.address.clone())
}

fn finding(key: &Key, object: Option<&Object>, invalid: Invalid) -> Finding {
    let Invalid { field, reason } = invalid;
    let origin = object.and_then(|o| o.origin.as_ref()).map(Arc::clone);
    Finding { place: origin.map(|origin| origin.place(&field)), key: Some(key.clone()), field, message: reason }
}

/// The problems that a batch of changes tells of, besides those of resources.
pub(crate) fn problems(changes: &Changes) -> Vec<(String, Vec<Finding>)> {
    let problem = |event: &Event| match event {
        Event::Problems(place, findings) => Some((place.clone(), findings.clone())),
        _ => None,
    };
    changes.iter().filter_map(problem).collect()
}
