//! Backends, and what becomes of them with their Pools, Services, Secrets and ConfigMaps.

use std::collections::BTreeSet;
use std::sync::Arc;

use weir_proto::model::{Invalid, Key, Kind, ResourceName};
use weir_proto::pb::resource::Body;

use super::target::{self, Target};
use super::uses::Needs;
use super::{Desired, Outcome, Refusal, certificates};
use crate::api::BackendSpec;
use crate::index::reference;
use crate::source::{Object, Spec};
use crate::status::{InForce, RefProblem};
use crate::translate;

/// The last good version of a Backend.
#[derive(Debug)]
pub(super) struct InForceBackend {
    pub(super) pool: ResourceName,
    spec: Arc<BackendSpec>,
}

/// A Backend that is good.
struct GoodBackend {
    in_force: InForceBackend,
    target: Option<Target>,
    body: Body,
}

impl Desired {
    pub(super) fn settle_backend(&mut self, key: &Key, outcome: &mut Outcome) {
        let newest = self.index.object(key).and_then(spec).cloned();
        let result = self.index.object(key).map(|object| self.judge_backend(object));
        let refusal = match result {
            None => {
                self.backends.remove(&key.name);
                self.orphans.remove(&key.name);
                None
            }
            Some(Ok(GoodBackend { in_force, target, body })) => {
                self.backends.insert(key.name.clone(), in_force);
                self.targets.set(&key.name, target);
                self.orphans.remove(&key.name);
                outcome.patch.upserts.push((key.clone(), body));
                None
            }
            Some(Err(refusal)) => {
                self.keep_backend(key, outcome);
                Some(refusal)
            }
        };
        self.track_backend(&key.name, newest.as_deref());
        let in_force = self.backends.get(&key.name).map(|good| InForce::Backend { pool: good.pool.clone() });
        if in_force.is_none() {
            self.targets.set(&key.name, None);
            outcome.patch.removed.push(key.clone());
        }
        self.pronounce(key, refusal, in_force, outcome);
    }

    /// The last good version of a refused Backend stays and follows what it names, unless its own Pool is gone.
    fn keep_backend(&mut self, key: &Key, outcome: &mut Outcome) {
        let Some(InForceBackend { pool, spec }) = self.backends.get(&key.name) else { return };
        if !self.pools.contains_key(pool) {
            self.backends.remove(&key.name);
            self.orphans.insert(key.name.clone());
        } else if spec.tls.is_some() {
            let body = self.backend_body(key, spec).ok();
            outcome.patch.upserts.extend(body.map(|body| (key.clone(), body)));
        }
    }

    fn judge_backend(&self, object: &Object) -> Result<GoodBackend, Refusal> {
        let spec = spec(object).ok_or_else(|| Invalid::new("kind", "is no Backend"))?;
        let body = self.backend_body(&object.key, spec)?;
        let pool = Key::pool(reference(object).ok_or_else(|| Invalid::new("spec.pool", "is no name"))?);
        let Some(of_pool) = self.pools.get(&pool.name) else {
            return Err(self.absent(&pool, "spec.pool", RefProblem::PoolNotFound, RefProblem::PoolRefused));
        };
        translate::check_backend(spec, of_pool)?;
        let service = spec.service.as_ref();
        let target = service.map(|wanted| target::resolve(self.services.as_ref(), &object.key.name, wanted));
        let in_force = InForceBackend { pool: pool.name, spec: spec.clone() };
        Ok(GoodBackend { in_force, target: target.transpose()?, body })
    }

    fn backend_body(&self, key: &Key, spec: &BackendSpec) -> Result<Body, Refusal> {
        let files = self.files(&key.name, &translate::backend_wants(spec))?;
        let body = translate::backend(key, spec, &files)?;
        if let Body::Backend(backend) = &body
            && let Some((certificate, field)) = translate::client_certificate(backend)
        {
            certificates::check_expiry(Some(&certificate), field)?;
        }
        Ok(body)
    }

    /// Notes what the newest version of a Backend uses, and the one in force.
    fn track_backend(&mut self, name: &ResourceName, newest: Option<&BackendSpec>) {
        let in_force = self.backends.get(name).map(|good| &*good.spec);
        let needs = newest.into_iter().chain(in_force).map(|spec| Needs::of(name, &translate::backend_wants(spec)));
        let needs = needs.fold(Needs::default(), Needs::and);
        self.uses.set(&Key::backend(name.clone()), needs);
    }

    /// Backends whose standing may change with that of these Pools: those that name one, and those whose last
    /// good version does.
    pub(super) fn members(&self, pools: &BTreeSet<ResourceName>) -> Vec<Key> {
        if pools.is_empty() {
            return Vec::new();
        }
        let naming = pools.iter().flat_map(|pool| self.index.users(pool)).filter(|key| key.kind == Kind::Backend);
        let holding = self.backends.iter().filter(|(_, good)| pools.contains(&good.pool));
        naming.cloned().chain(holding.map(|(name, _)| Key::backend(name.clone()))).collect()
    }
}

fn spec(object: &Object) -> Option<&Arc<BackendSpec>> {
    match &object.spec {
        Spec::Backend(spec) => Some(spec),
        Spec::Pool(_) | Spec::Plugin(_) => None,
    }
}
