//! In front of a stage: passes each call on, and notes what came of it.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use parking_lot::Mutex;
use rand::rngs::SmallRng;
use tokio::time::Instant;
use weir_proto::model::ResourceName;
use weir_proto::model::plugin::param::Metrics;

use super::lines::{Heard, Lines};
use crate::plugin::stats::Hook;
use crate::plugin::{
    Candidates, Change, Changes, Failure, Flow, Halt, Hooks, Outcome, Resumed, Session, Stage, Step, Waiting,
};
use crate::pool::{Candidate, EndpointId};
use crate::worker::Worker;

/// One call of a hook.
#[derive(Debug, Clone)]
pub struct Call {
    /// `namespace/name` of the plugin.
    pub plugin: Arc<str>,
    /// The pool that the request was in.
    pub pool: ResourceName,
    /// Which hook.
    pub hook: Hook,
    /// How long it took; until now, if it has not come to an end.
    pub took: Duration,
    /// What came of it.
    pub answer: Answer,
    /// What it changed.
    pub changes: Vec<Change>,
    /// What it wrote to the log.
    pub lines: Vec<String>,
    /// What was supposed in place of asking it.
    pub supposed: Vec<String>,
    /// Whether its answer is one by chance.
    pub chance: bool,
}

/// What a hook answers.
#[derive(Debug, Clone)]
pub enum Answer {
    /// The request goes on.
    GoesOn,
    /// The request ends.
    Halts(Box<Halt>),
    /// Some candidates are left.
    Keeps {
        /// Their names.
        kept: Vec<String>,
        /// How many there were.
        of: usize,
        /// Those that are none any more.
        dropped: Vec<EndpointId>,
    },
    /// It fails.
    Fails(Failure),
    /// It panicked, or was waiting when its time was over.
    Stopped,
}

impl Call {
    /// Whether the plugin has failed.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        matches!(self.answer, Answer::Fails(_) | Answer::Stopped)
    }

    /// The answer that it gave in place of a backend.
    #[must_use]
    pub fn halt(&self) -> Option<&Halt> {
        match &self.answer {
            Answer::Halts(halt) => Some(halt),
            _ => None,
        }
    }
}

/// What all witnesses have seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notes {
    calls: Arc<Mutex<Vec<Call>>>,
    lines: Lines,
}

impl Notes {
    /// Who collects lines.
    #[must_use]
    pub(crate) fn lines(&self) -> Lines {
        self.lines.clone()
    }

    /// What came since the last time.
    #[must_use]
    pub(crate) fn take(&self) -> Vec<Call> {
        std::mem::take(&mut *self.calls.lock())
    }

    fn begin(&self, plugin: &Arc<str>, hook: Hook, session: &Session<'_>) -> Note {
        let call = Call {
            plugin: plugin.clone(),
            pool: session.pool().config.name.clone(),
            hook,
            took: Duration::ZERO,
            answer: Answer::Stopped,
            changes: Vec::new(),
            lines: Vec::new(),
            supposed: Vec::new(),
            chance: false,
        };
        let worker = session.worker().clone();
        let chance = worker.rng.borrow().clone();
        let mut calls = self.calls.lock();
        calls.push(call);
        Note { notes: self.clone(), place: calls.len() - 1, began: Instant::now(), worker, chance }
    }
}

/// A call that has begun. What it comes to is noted when it is dropped: also when it never comes to its end.
#[derive(Debug)]
struct Note {
    notes: Notes,
    place: usize,
    began: Instant,
    worker: Rc<Worker>,
    /// The worker's, before the call.
    chance: SmallRng,
}

impl Note {
    fn end(self, answer: Answer, changes: &[Change]) {
        if let Some(call) = self.notes.calls.lock().get_mut(self.place) {
            call.changes = if matches!(answer, Answer::Fails(_)) { Vec::new() } else { changes.to_vec() };
            call.answer = answer;
        }
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        if let Some(call) = self.notes.calls.lock().get_mut(self.place) {
            call.took = self.began.elapsed();
            let Heard { lines, supposed } = self.notes.lines.take();
            (call.lines, call.supposed) = (lines, supposed);
            call.chance = *self.worker.rng.borrow() != self.chance;
        }
    }
}

/// A stage with a witness.
#[derive(Debug)]
pub(crate) struct Witness {
    stage: Arc<dyn Stage>,
    plugin: Arc<str>,
    notes: Notes,
}

impl Witness {
    /// In front of the stage of this plugin.
    pub(crate) fn new(stage: Arc<dyn Stage>, plugin: &Arc<str>, notes: &Notes) -> Self {
        Self { stage, plugin: plugin.clone(), notes: notes.clone() }
    }

    fn step(&self, hook: Hook, session: &mut Session<'_>, run: impl FnOnce(&mut Session<'_>) -> Step) -> Step {
        let note = self.notes.begin(&self.plugin, hook, session);
        match run(session) {
            Ok(Flow::Wait(waiting)) => Ok(Flow::Wait(watched(waiting, note, session.changes().into()))),
            Ok(flow) => {
                note.end(answer(halt(&flow)), session.changes());
                Ok(flow)
            }
            Err(failure) => {
                note.end(Answer::Fails(failure.clone()), &[]);
                Err(failure)
            }
        }
    }
}

/// The same wait; its end is noted.
fn watched(waiting: Waiting, note: Note, mut changes: Changes) -> Waiting {
    Waiting(Box::pin(async move {
        let result = waiting.0.await;
        match &result {
            Ok(Resumed { changes: more, halt }) => {
                changes.extend(more.iter().cloned());
                note.end(answer(halt.as_deref()), &changes);
            }
            Err(failure) => note.end(Answer::Fails(failure.clone()), &[]),
        }
        result
    }))
}

fn halt(flow: &Flow) -> Option<&Halt> {
    match flow {
        Flow::Halt(halt) => Some(halt),
        Flow::GoOn | Flow::Wait(_) => None,
    }
}

fn answer(halt: Option<&Halt>) -> Answer {
    halt.map_or(Answer::GoesOn, |halt| Answer::Halts(Box::new(halt.clone())))
}

/// What is left of these, with the one that a plugin insists on.
fn keeps(before: &[&Candidate], left: &Candidates<'_>) -> Answer {
    let of = before.len();
    let kept: Vec<&Candidate> = left.iter().chain(left.wanted()).collect();
    let is_dropped = |id: &EndpointId| kept.iter().all(|candidate| candidate.endpoint.id != *id);
    let dropped = before.iter().map(|candidate| candidate.endpoint.id).filter(is_dropped).collect();
    let kept = kept.iter().map(|candidate| candidate.endpoint.backend.name().to_owned()).collect();
    Answer::Keeps { kept, of, dropped }
}

impl Stage for Witness {
    fn hooks(&self) -> Hooks {
        self.stage.hooks()
    }

    fn wait_limit(&self) -> Option<Duration> {
        self.stage.wait_limit()
    }

    fn own_headers(&self) -> &[HeaderName] {
        self.stage.own_headers()
    }

    fn metric(&self) -> Option<&Arc<Metrics>> {
        self.stage.metric()
    }

    fn pre(&self, session: &mut Session<'_>) -> Step {
        self.step(Hook::Pre, session, |session| self.stage.pre(session))
    }

    fn balance(&self, session: &mut Session<'_>, candidates: &mut Candidates<'_>) -> Result<(), Failure> {
        let note = self.notes.begin(&self.plugin, Hook::Balance, session);
        let before: Vec<&Candidate> = candidates.iter().collect();
        let result = self.stage.balance(session, candidates);
        let answer = result.clone().map_or_else(Answer::Fails, |()| keeps(&before, candidates));
        note.end(answer, &[]);
        result
    }

    fn post(&self, session: &mut Session<'_>) -> Step {
        self.step(Hook::Post, session, |session| self.stage.post(session))
    }

    fn done(&self, session: &mut Session<'_>, outcome: &Outcome) -> Result<(), Failure> {
        let note = self.notes.begin(&self.plugin, Hook::Done, session);
        let result = self.stage.done(session, outcome);
        note.end(result.clone().map_or_else(Answer::Fails, |()| Answer::GoesOn), &[]);
        result
    }
}

#[cfg(test)]
mod tests {

    use bytes::Bytes;
    use http::StatusCode;
    use weir_proto::model::FailurePolicy;

    use super::*;
    use crate::plugin::chain::Link;
    use crate::plugin::stats::PluginStats;
    use crate::plugin::testing::Fixture;
    use crate::plugin::{Cause, Chain, Visit};

    /// Does what the path of the request says.
    #[derive(Debug)]
    struct Told;

    impl Stage for Told {
        fn hooks(&self) -> Hooks {
            Hooks { pre: true, ..Hooks::default() }
        }

        fn pre(&self, session: &mut Session<'_>) -> Step {
            crate::plugin::says::say("a/b", session.path());
            match session.path() {
                "/halt" => Ok(Halt::new(StatusCode::FORBIDDEN, Bytes::new()).into()),
                "/fail" => Err(Failure::bad_answer("no")),
                "/panic" => panic!("at once"),
                "/wait" => Ok(Flow::Wait(Waiting(Box::pin(async { Ok(Resumed::default()) })))),
                "/for-ever" => Ok(Flow::Wait(Waiting(Box::pin(std::future::pending())))),
                _ => Ok(Flow::GoOn),
            }
        }
    }

    /// What is noted of one request.
    async fn noted(path: &'static str) -> Call {
        let (notes, stats) = (Notes::default(), Arc::new(PluginStats::new("a/b".into(), 1)));
        let told = Link {
            stage: Arc::new(Told),
            hooks: Told.hooks(),
            policy: FailurePolicy::Closed,
            timeout: Duration::from_millis(50),
            stats,
            tally: None,
        };
        let link = Link { stage: Arc::new(Witness::new(told.stage, &told.stats.name, &notes)), ..told };
        let fixture = Fixture::new(&[1], |_| ()).with_request(path, &[("host", "a")]);
        let _lines = tracing::subscriber::set_default(notes.lines());
        let mut visit = Visit::new((*fixture.request).clone());
        let chain = Chain::new(vec![link], Vec::new());
        if let Ok(Some(pending)) = chain.pre(fixture.scene(), &mut visit) {
            let _ = chain.resume_pre(pending, fixture.scene(), &mut visit).await;
        }
        notes.take().pop().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn every_end_of_a_call_is_noted_with_what_it_said() {
        for (path, expected) in [
            ("/on", "GoesOn"),
            ("/halt", "Halts"),
            ("/fail", "Fails"),
            ("/panic", "Stopped"),
            ("/wait", "GoesOn"),
            ("/for-ever", "Stopped"),
        ] {
            let call = noted(path).await;
            assert!(format!("{:?}", call.answer).starts_with(expected), "{path}: {call:?}");
            assert_eq!((call.lines.clone(), call.hook), (vec![path.to_owned()], Hook::Pre));
            assert_eq!(call.has_failed(), ["/fail", "/panic", "/for-ever"].contains(&path));
        }
        assert_eq!(noted("/for-ever").await.took, Duration::from_millis(50));
        let failed = noted("/fail").await.answer;
        assert!(matches!(failed, Answer::Fails(Failure { cause: Cause::BadAnswer, .. })));
    }
}
