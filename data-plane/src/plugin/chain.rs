//! The plugins of one pool, in order, and what follows from their answers.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use weir_proto::model::FailurePolicy;

use super::change;
use super::session::Scene;
use super::stats::{Hook, PluginStats};
use super::tally::Tally;
use super::{
    Candidates, Cause, Changes, Effects, Failure, Flow, Halt, Hooks, Outcome, Resumed, Session, Stage, Visit, Waiting,
};
use crate::http::attempt::Template;
use crate::trace::Recorder;

/// One plugin of a pool.
#[derive(Debug, Clone)]
pub struct Link {
    /// What runs. Uses of one plugin with an equal parameter share it, whichever pools they are in.
    pub stage: Arc<dyn Stage>,
    /// Its hooks.
    pub hooks: Hooks,
    /// What becomes of a request whose call fails.
    pub policy: FailurePolicy,
    /// Time that one call may take.
    pub timeout: Duration,
    /// What is counted.
    pub stats: Arc<PluginStats>,
    /// What it counts of the pool's requests, if it is a metric.
    pub tally: Option<Arc<Tally>>,
}

/// The plugins of one pool, compiled.
#[derive(Debug)]
pub struct Chain {
    links: Box<[Link]>,
    /// The hooks that any of them has.
    hooks: Hooks,
    /// Plugins that are not there: the pool does not serve without them.
    missing: Vec<String>,
}

impl Chain {
    /// These plugins, in this order; `missing` are those that are not there.
    #[must_use]
    pub fn new(links: Vec<Link>, missing: Vec<String>) -> Self {
        let any = |has: fn(Hooks) -> bool| links.iter().any(|link| has(link.hooks));
        let hooks = Hooks {
            pre: any(|hooks| hooks.pre),
            balance: any(|hooks| hooks.balance),
            post: any(|hooks| hooks.post),
            done: any(|hooks| hooks.done),
        };
        Self { links: links.into(), hooks, missing }
    }

    /// The plugins.
    #[must_use]
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// The hooks that any of them has.
    #[must_use]
    pub fn hooks(&self) -> Hooks {
        self.hooks
    }

    /// Names of the plugins that are not there.
    #[must_use]
    pub fn missing(&self) -> &[String] {
        &self.missing
    }

    /// The request enters the pool: all hooks, or those before the first that waits.
    ///
    /// # Errors
    /// The answer that ends the request.
    pub fn pre(&self, scene: Scene<'_>, visit: &mut Visit) -> Result<Option<Pending>, Box<Halt>> {
        self.pre_from(0, scene, visit)
    }

    /// The hook that waits, and the rest.
    ///
    /// # Errors
    /// As for [`Chain::pre`].
    pub async fn resume_pre(&self, pending: Pending, scene: Scene<'_>, visit: &mut Visit) -> Result<(), Box<Halt>> {
        let mut next = Some(pending);
        while let Some(pending) = next {
            let (at, link) = (pending.at, &self.links[pending.at]);
            let trace = visit.effects.request.trace.clone();
            note_pre(link, link.resume(Hook::Pre, &scene, pending, trace.as_deref()).await?, visit);
            next = self.pre_from(at + 1, scene, visit)?;
        }
        Ok(())
    }

    fn pre_from(&self, from: usize, scene: Scene<'_>, visit: &mut Visit) -> Result<Option<Pending>, Box<Halt>> {
        for (at, link) in self.links.iter().enumerate().skip(from).filter(|(_, link)| link.hooks.pre) {
            if visit.has_run(link) {
                continue;
            }
            let mut session = link.session(scene, &visit.effects.request);
            let step = link.call(Hook::Pre, &mut session, |session| link.stage.pre(session));
            match link.settle(Hook::Pre, &scene, step, session.into_changes())? {
                Settled::Done(changes) => note_pre(link, changes, visit),
                Settled::Waits(waiting, changes) => return Ok(Some(Pending { at, waiting, changes })),
            }
        }
        Ok(None)
    }

    /// Leaves those candidates that may be chosen (P3).
    ///
    /// # Errors
    /// If a plugin fails that the request must not go on without.
    pub fn balance(
        &self,
        scene: Scene<'_>,
        effects: &Effects,
        candidates: &mut Candidates<'_>,
    ) -> Result<(), Box<Halt>> {
        for link in self.links.iter().filter(|link| link.hooks.balance) {
            let mut session = link.session(scene, &effects.request);
            if let Err(failure) =
                link.call(Hook::Balance, &mut session, |session| link.stage.balance(session, candidates))
            {
                link.fail(Hook::Balance, &scene, &failure)?;
            }
            if candidates.len() < 2 {
                break;
            }
        }
        Ok(())
    }

    /// A backend is chosen, or none could be: all hooks, or those before the first that waits.
    ///
    /// # Errors
    /// The answer that ends the request.
    pub fn post(&self, scene: Scene<'_>, effects: &mut Effects) -> Result<Option<Pending>, Box<Halt>> {
        self.post_from(0, scene, effects)
    }

    /// The hook that waits, and the rest.
    ///
    /// # Errors
    /// As for [`Chain::post`].
    pub async fn resume_post(
        &self,
        pending: Pending,
        scene: Scene<'_>,
        effects: &mut Effects,
    ) -> Result<(), Box<Halt>> {
        let mut next = Some(pending);
        while let Some(pending) = next {
            let at = pending.at;
            let trace = effects.request.trace.clone();
            effects.apply(self.links[at].resume(Hook::Post, &scene, pending, trace.as_deref()).await?);
            next = self.post_from(at + 1, scene, effects)?;
        }
        Ok(())
    }

    fn post_from(&self, from: usize, scene: Scene<'_>, effects: &mut Effects) -> Result<Option<Pending>, Box<Halt>> {
        for (at, link) in self.links.iter().enumerate().skip(from).filter(|(_, link)| link.hooks.post) {
            let mut session = link.session(scene, &effects.request);
            let step = link.call(Hook::Post, &mut session, |session| link.stage.post(session));
            match link.settle(Hook::Post, &scene, step, session.into_changes())? {
                Settled::Done(changes) => effects.apply(changes),
                Settled::Waits(waiting, changes) => return Ok(Some(Pending { at, waiting, changes })),
            }
        }
        Ok(None)
    }

    /// The response has ended.
    pub fn done(&self, scene: Scene<'_>, effects: &Effects, outcome: &Outcome) {
        for link in self.links.iter().filter(|link| link.hooks.done) {
            let mut session = link.session(scene, &effects.request);
            if let Err(failure) = link.call(Hook::Done, &mut session, |session| link.stage.done(session, outcome)) {
                link.note(Hook::Done, &scene, &failure);
            }
        }
    }
}

/// A hook that waits. The hooks before it have run: most chains never wait, and cost no future.
#[derive(Debug)]
pub struct Pending {
    /// Its place in the chain.
    at: usize,
    waiting: Waiting,
    /// What it has changed so far.
    changes: Changes,
}

/// What a call comes to, if not to an answer.
enum Settled {
    Done(Changes),
    Waits(Waiting, Changes),
}

fn note_pre(link: &Link, changes: Changes, visit: &mut Visit) {
    let (own, headers) = (link.stage.own_headers(), &visit.effects.request.headers);
    visit.note(link, change::after_taking_out(own, headers, changes));
}

impl Link {
    fn session<'a>(&'a self, scene: Scene<'a>, request: &'a Rc<Template>) -> Session<'a> {
        Session::of_call(scene, request, self.tally.as_deref(), Instant::now())
    }

    /// Calls a hook, and counts how long it takes. A panic is a failure like any other.
    fn call<'s, T>(
        &self,
        hook: Hook,
        session: &mut Session<'s>,
        run: impl FnOnce(&mut Session<'s>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let (scene, began, trace) = (session.scene(), session.began(), session.request().trace.as_deref());
        let panicked = |_| Err(Failure::new(Cause::Panic, "it panicked"));
        let result = catch_unwind(AssertUnwindSafe(|| run(session))).unwrap_or_else(panicked);
        self.observe(hook, &scene, began, trace);
        result
    }

    fn observe(&self, hook: Hook, scene: &Scene<'_>, began: Instant, trace: Option<&Recorder>) {
        if let Some(trace) = trace {
            trace.plugin_ran(&self.stats, hook, began);
        }
        self.stats.shards.of(scene.connection.worker.id).durations[hook as usize].observe(began.elapsed());
    }

    /// What is to be changed after a hook, or the answer that it gave.
    fn settle(
        &self,
        hook: Hook,
        scene: &Scene<'_>,
        step: Result<Flow, Failure>,
        changes: Changes,
    ) -> Result<Settled, Box<Halt>> {
        match step {
            Ok(Flow::GoOn) => Ok(Settled::Done(changes)),
            Ok(Flow::Halt(halt)) => Err(halt.by(&self.stats.name)),
            Ok(Flow::Wait(waiting)) => Ok(Settled::Waits(waiting, changes)),
            Err(failure) => self.fail(hook, scene, &failure).map(|()| Settled::Done(Changes::new())),
        }
    }

    /// Waits for a hook; gives what is to be changed after it.
    async fn resume(
        &self,
        hook: Hook,
        scene: &Scene<'_>,
        pending: Pending,
        trace: Option<&Recorder>,
    ) -> Result<Changes, Box<Halt>> {
        let Pending { at: _, waiting, mut changes } = pending;
        let began = Instant::now();
        let resumed = timeout(self.timeout, waiting.0).await;
        self.observe(hook, scene, began, trace);
        match resumed.unwrap_or_else(|_| Err(Failure::new(Cause::Timeout, format!("no answer in {:?}", self.timeout))))
        {
            Ok(Resumed { halt: Some(halt), .. }) => Err(halt.by(&self.stats.name)),
            Ok(Resumed { halt: None, changes: more }) => {
                changes.extend(more);
                Ok(changes)
            }
            Err(failure) => self.fail(hook, scene, &failure).map(|()| Changes::new()),
        }
    }

    /// Counts and logs a failure; an answer if the request must not go on (P7).
    fn fail(&self, hook: Hook, scene: &Scene<'_>, failure: &Failure) -> Result<(), Box<Halt>> {
        self.note(hook, scene, failure);
        match self.policy {
            FailurePolicy::Open => Ok(()),
            FailurePolicy::Closed => Err(Box::<Halt>::default().by(&self.stats.name)),
        }
    }

    fn note(&self, hook: Hook, scene: &Scene<'_>, failure: &Failure) {
        let Failure { cause, text } = failure;
        self.stats.shards.of(scene.connection.worker.id).failures[*cause as usize].increment();
        let (plugin, pool, hook, cause) = (&self.stats.name, &scene.pool.config.name, hook.as_str(), cause.as_str());
        tracing::warn!(%plugin, %pool, hook, cause, error = text, "a plugin failed");
    }
}
