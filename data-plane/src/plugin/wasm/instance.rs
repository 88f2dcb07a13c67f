//! One instance of a component, and calls of its hooks.

use std::fmt;
use std::sync::Arc;

use wasmtime::Store;
use wasmtime::component::{ComponentExportIndex, ComponentNamedList, InstancePre, Lift, Lower, Resource, TypedFunc};

use super::contract::types;
use super::failure::failure;
use super::host::{Host, Request, Session as SessionHandle};
use super::module::Entries;
use super::stage::Settings;
use crate::plugin::session::Kept;
use crate::plugin::stats;
use crate::plugin::{Changes, Failure};
use crate::pool::Candidate;

/// Most bytes that one call of the host may take out of an instance, strings and lists: their lengths are the
/// instance's word, and entries of a list may all be the same long string.
pub(super) const CROSSING: usize = 1 << 20;

type Borrowed = (Resource<Request>, Resource<SessionHandle>);
type Hook<R> = Option<TypedFunc<Borrowed, (R,)>>;
type DoneHook = Option<TypedFunc<(Resource<Request>, Resource<SessionHandle>, types::Outcome), ()>>;

/// An instance. One that has failed in any way is not to be used again.
pub(super) struct Instance {
    store: Store<Host>,
    pre: Hook<Option<types::Halt>>,
    balance: Hook<Option<Vec<u32>>>,
    post: Hook<Option<types::Halt>>,
    done: DoneHook,
}

/// What a hook has said and changed.
#[derive(Debug)]
pub(super) struct Said<R> {
    pub(super) answer: R,
    pub(super) changes: Changes,
}

impl Instance {
    /// Made for `only` one hook, it has no other: to look one up costs a seventh of what a call of it does.
    pub(super) fn new(
        pre: &InstancePre<Host>,
        entries: &Entries,
        only: Option<stats::Hook>,
        settings: &Arc<Settings>,
    ) -> Result<Self, Failure> {
        let mut store = Store::new(pre.engine(), Host::new(settings.clone()));
        store.limiter(|host| &mut host.memory);
        store.set_hostcall_fuel(CROSSING);
        store.set_epoch_deadline(settings.epochs);
        let instance = pre.instantiate(&mut store).map_err(failure)?;
        Ok(Self {
            pre: hook(&instance, &mut store, entries.of(stats::Hook::Pre, only))?,
            balance: hook(&instance, &mut store, entries.of(stats::Hook::Balance, only))?,
            post: hook(&instance, &mut store, entries.of(stats::Hook::Post, only))?,
            done: hook(&instance, &mut store, entries.of(stats::Hook::Done, only))?,
            store,
        })
    }

    pub(super) fn pre(&mut self, scene: Kept) -> Result<Said<Option<types::Halt>>, Failure> {
        let Self { store, pre, .. } = self;
        ask(store, pre.as_ref(), scene, Vec::new())
    }

    pub(super) fn balance(
        &mut self,
        scene: Kept,
        candidates: Vec<Candidate>,
    ) -> Result<Said<Option<Vec<u32>>>, Failure> {
        let Self { store, balance, .. } = self;
        ask(store, balance.as_ref(), scene, candidates)
    }

    pub(super) fn post(&mut self, scene: Kept) -> Result<Said<Option<types::Halt>>, Failure> {
        let Self { store, post, .. } = self;
        ask(store, post.as_ref(), scene, Vec::new())
    }

    pub(super) fn done(&mut self, scene: Kept, outcome: types::Outcome) -> Result<(), Failure> {
        let Self { store, done, .. } = self;
        let Some(done) = done else { return Ok(()) };
        let (request, session) = handles();
        call(store, done, (request, session, outcome), scene, Vec::new()).map(drop)
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance").field("host", self.store.data()).finish_non_exhaustive()
    }
}

/// The function behind a hook, if there is one.
fn hook<P, R>(
    instance: &wasmtime::component::Instance,
    store: &mut Store<Host>,
    entry: Option<&ComponentExportIndex>,
) -> Result<Option<TypedFunc<P, R>>, Failure>
where
    P: ComponentNamedList + Lower,
    R: ComponentNamedList + Lift,
{
    entry.map(|entry| instance.get_typed_func(&mut *store, entry)).transpose().map_err(failure)
}

/// There is one request and one session in a call: the numbers of their handles mean nothing.
fn handles() -> Borrowed {
    (Resource::new_borrow(0), Resource::new_borrow(0))
}

fn ask<R>(
    store: &mut Store<Host>,
    hook: Option<&TypedFunc<Borrowed, (Option<R>,)>>,
    scene: Kept,
    candidates: Vec<Candidate>,
) -> Result<Said<Option<R>>, Failure>
where
    (Option<R>,): ComponentNamedList + Lift + 'static,
{
    let Some(hook) = hook else { return Ok(Said { answer: None, changes: Changes::new() }) };
    let Said { answer: (answer,), changes } = call(store, hook, handles(), scene, candidates)?;
    Ok(Said { answer, changes })
}

fn call<P, R>(
    store: &mut Store<Host>,
    hook: &TypedFunc<P, R>,
    params: P,
    scene: Kept,
    candidates: Vec<Candidate>,
) -> Result<Said<R>, Failure>
where
    P: ComponentNamedList + Lower,
    R: ComponentNamedList + Lift + 'static,
{
    let epochs = store.data().settings.epochs;
    store.set_epoch_deadline(epochs);
    store.data_mut().begin(scene, candidates);
    let result = hook.call(&mut *store, params);
    let changes = store.data_mut().end();
    result.map(|answer| Said { answer, changes }).map_err(failure)
}
