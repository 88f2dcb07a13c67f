//! From a matched rule to an answer: along the chain of pools, and within each pool from endpoint to
//! endpoint, until one answers or nothing is left (F1-F4).

use std::sync::Arc;

use http::{HeaderValue, Response, StatusCode};
use tokio::time::Instant;

use super::attempt::{Answer, Attempt, Failed, Template};
use super::body::Source;
use super::choose::Chooser;
use super::exchange::Exchange;
use super::failure::Failure;
use super::response::ReplyBody;
use super::upgrade::Asked;
use super::{answer, grpc, reply};
use crate::balance::Tried;
use crate::matcher::Place;
use crate::plugin::session::Scene;
use crate::plugin::{self, Effects, Finish, Halt, Pending, Visit};
use crate::pool::policy::any_matches;
use crate::pool::{Candidate, InFlight, Pool};
use crate::reason::Reason;
use crate::table::Chain;

pub(crate) mod direct;
pub(crate) mod secure;
pub(crate) mod wait;

/// A request looking for an answer.
#[derive(Debug)]
pub struct Forward {
    exchange: Box<Exchange>,
    visit: Visit,
    /// Of the matched rule; `None` of a copy, which goes by none.
    rule: Option<Arc<Chain>>,
    /// What the client says if it asks for another protocol.
    upgrade: Option<Asked>,
    tried: Tried,
    last: Last,
    /// The first disabled pool that was passed over.
    disabled: Option<usize>,
    /// Whether the live table was looked at.
    looked_again: bool,
}

/// How the last try ended.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one per request; a box would cost an allocation")]
enum Last {
    /// There was none.
    None,
    /// Without a response head.
    Failed(Failure),
    /// With a response head, in the pool of this number. If its status asks for another try, the client
    /// gets it only if no try does better.
    Answered(Answer, usize, Option<Box<Plugged>>),
    /// A plugin of the pool of this number answered.
    Halted(Box<Halt>, usize),
    /// The pool of this number turned it away.
    TurnedAway(TurnedAway, usize),
    /// The pool of this number sends its client elsewhere.
    Redirected(HeaderValue, usize),
}

/// Why a pool gave a request to nobody, though it has somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TurnedAway {
    /// Too many wait already.
    QueueFull,
    /// It waited too long.
    QueueTimeout(StatusCode),
    /// Whom it asks for is not there; the reason says how.
    Directed(Reason),
    /// It did not come by the connection that the pool asks for.
    Misdirected,
}

impl TurnedAway {
    /// The answer, if nobody else has a better one.
    pub(crate) fn answer(self) -> (StatusCode, Reason, &'static str) {
        const UNAVAILABLE: StatusCode = StatusCode::SERVICE_UNAVAILABLE;
        match self {
            Self::QueueFull => (UNAVAILABLE, Reason::QueueFull, "every backend is busy, and too many requests wait\n"),
            Self::QueueTimeout(status) => (status, Reason::QueueTimeout, "no backend had room in time\n"),
            Self::Directed(reason) => {
                (UNAVAILABLE, reason, "the backend that this request asks for is not available\n")
            }
            Self::Misdirected => (
                StatusCode::MISDIRECTED_REQUEST,
                Reason::Misdirected,
                "this needs a connection over TLS that was made for this host, with a certificate\n",
            ),
        }
    }
}

/// An endpoint that was chosen, with a slot of it.
#[derive(Debug)]
struct Chosen {
    in_flight: InFlight,
    /// Present if plugins look at the try.
    plugged: Option<Box<Plugged>>,
}

/// What plugins have to do with a try.
#[derive(Debug)]
struct Plugged {
    /// What they made of the request for this try.
    effects: Effects,
    /// Where it goes, if they are to know.
    server: Option<Candidate>,
}

/// Whether the search goes on in the next pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Search {
    GoesOn,
    Ends,
}

impl Forward {
    /// A request that has not been tried.
    #[must_use]
    pub fn new(exchange: Box<Exchange>, template: Template, upgrade: Option<Asked>) -> Self {
        Self {
            exchange,
            visit: Visit::new(template),
            rule: None,
            upgrade,
            tried: Tried::default(),
            last: Last::None,
            disabled: None,
            looked_again: false,
        }
    }

    /// Tries the pools of the chain at this place in their order, until one answers or nothing is left.
    pub async fn search(&mut self, mut place: Place) {
        loop {
            self.exchange.place = Some(place);
            self.search_chain(place).await;
            match self.moved(place) {
                Some(elsewhere) => place = elsewhere,
                None => return,
            }
        }
    }

    /// Tries the pool that the request is in, and no other.
    pub async fn search_here(&mut self) {
        let (Some(number), Some(pool)) = (self.exchange.pool_number(), self.exchange.pool().cloned()) else { return };
        self.visit.enter();
        self.try_pool(&pool, number).await;
    }

    async fn search_chain(&mut self, place: Place) {
        let table = self.exchange.table.clone();
        let routes = table.listeners.get(self.exchange.connection.listener);
        let chain = routes.and_then(|routes| routes.chain(place));
        self.rule = chain.cloned();
        if let (Some(trace), Some(chain)) = (&self.exchange.trace, chain) {
            trace.set_rule(chain.rule());
        }
        for number in chain.iter().flat_map(|chain| chain.order()) {
            let Some(pool) = table.pools.at(number) else { continue };
            if !pool.config.enabled {
                self.disabled.get_or_insert(number);
                continue;
            }
            self.exchange.enter_pool(number);
            self.keep_effects_of_answer();
            self.visit.enter();
            if pool.config.tls.as_ref().is_some_and(|tls| self.secure(tls, number) == Search::Ends)
                || self.try_pool(pool, number).await == Search::Ends
            {
                return;
            }
        }
    }

    /// If nobody was there to try, the same rule's chain in the live table, once: backends may have moved
    /// meanwhile, to a pool that was passed already or that the request's table does not have (S5).
    fn moved(&mut self, place: Place) -> Option<Place> {
        if !matches!(self.last, Last::None) || std::mem::replace(&mut self.looked_again, true) {
            return None;
        }
        let listener = self.exchange.connection.listener;
        let live = self.exchange.connection.worker.table();
        let routes = live.listeners.get(listener)?;
        let elsewhere = routes.place(self.exchange.table.listeners.get(listener)?.chain(place)?.rule(), place)?;
        routes.chain(elsewhere)?.has_candidates(&live.pools).then(|| {
            self.exchange.change_table(live.clone());
            self.disabled = None;
            elsewhere
        })
    }

    /// What plugins of the next pool make of the request is not for an answer of this one.
    fn keep_effects_of_answer(&mut self) {
        if let Last::Answered(_, _, plugged @ None) = &mut self.last {
            *plugged = Some(Box::new(Plugged { effects: self.visit.take_effects(), server: None }));
        }
    }

    async fn try_pool(&mut self, pool: &Arc<Pool>, number: usize) -> Search {
        if !self.keep_body(pool) {
            self.last = Last::Failed(Failure::TooLarge);
            return Search::Ends;
        }
        match self.search_pool(pool, number).await {
            Ok(search) => search,
            Err(halt) => {
                self.last = Last::Halted(halt, number);
                Search::Ends
            }
        }
    }

    async fn search_pool(&mut self, pool: &Arc<Pool>, number: usize) -> Result<Search, Box<Halt>> {
        if let Some(plugins) = &pool.plugins
            && let Some(pending) = self.run_pre(plugins, pool)?
        {
            Box::pin(self.resume_pre(plugins, pool, pending)).await?; // rare, and the future of every request would grow
        }
        if pool.config.direct.is_some() && self.is_directed(pool) {
            let choice = self.choose_directed(pool, number);
            Box::pin(self.try_chosen(pool, number, choice)).await?; // rare, too
            return Ok(Search::Ends);
        }
        for _ in 0..=pool.config.retry.attempts {
            let choice = match self.choose(pool)? {
                Some(chosen) => Ok(chosen),
                None if self.may_wait(pool) => Box::pin(self.wait(pool, number)).await?, // as rare
                None => Err(Search::GoesOn),
            };
            if choice.is_ok() && !self.may_try(pool) {
                return Ok(Search::Ends);
            }
            let found = choice.is_ok();
            let search = self.try_chosen(pool, number, choice).await?;
            if search == Search::Ends || !found {
                return Ok(search);
            }
        }
        Ok(Search::GoesOn)
    }

    /// Tries what was chosen, if that is anything; otherwise the search is where the choice says.
    async fn try_chosen(
        &mut self,
        pool: &Arc<Pool>,
        number: usize,
        choice: Result<Chosen, Search>,
    ) -> Result<Search, Box<Halt>> {
        let (mut chosen, otherwise) = match choice {
            Ok(chosen) => (Some(chosen), Search::Ends),
            Err(search) => (None, search),
        };
        if let Some(plugins) = pool.plugins.as_ref().filter(|plugins| plugins.hooks().post)
            && let Some(pending) = self.run_post(plugins, pool, &mut chosen)?
        {
            Box::pin(self.resume_post(plugins, pool, &mut chosen, pending)).await?; // rare, too
        }
        match chosen {
            Some(chosen) => Ok(self.try_endpoint(pool, number, chosen).await),
            None => Ok(otherwise),
        }
    }

    /// The `pre` hooks of a pool.
    fn run_pre(&mut self, plugins: &plugin::Chain, pool: &Arc<Pool>) -> Result<Option<Pending>, Box<Halt>> {
        check_complete(plugins)?;
        let Self { exchange, visit, rule, .. } = self;
        if rule.as_ref().is_none_or(|rule| !rule.is_single()) {
            visit.keep_original();
        }
        if !plugins.hooks().pre {
            return Ok(None);
        }
        plugins.pre(Scene { connection: &exchange.connection, pool, rule: text(rule), server: None }, visit)
    }

    async fn resume_pre(
        &mut self,
        plugins: &plugin::Chain,
        pool: &Arc<Pool>,
        pending: Pending,
    ) -> Result<(), Box<Halt>> {
        let Self { exchange, visit, rule, .. } = self;
        let scene = Scene { connection: &exchange.connection, pool, rule: text(rule), server: None };
        plugins.resume_pre(pending, scene, visit).await
    }

    fn run_post(
        &self,
        plugins: &plugin::Chain,
        pool: &Arc<Pool>,
        chosen: &mut Option<Chosen>,
    ) -> Result<Option<Pending>, Box<Halt>> {
        match of_try(chosen) {
            Some(Plugged { effects, server }) => plugins.post(self.scene(pool, server.as_ref()), effects),
            None => plugins.post(self.scene(pool, None), &mut self.visit.effects.clone()),
        }
    }

    async fn resume_post(
        &self,
        plugins: &plugin::Chain,
        pool: &Arc<Pool>,
        chosen: &mut Option<Chosen>,
        pending: Pending,
    ) -> Result<(), Box<Halt>> {
        match of_try(chosen) {
            Some(Plugged { effects, server }) => {
                plugins.resume_post(pending, self.scene(pool, server.as_ref()), effects).await
            }
            None => plugins.resume_post(pending, self.scene(pool, None), &mut self.visit.effects.clone()).await,
        }
    }

    fn scene<'a>(&'a self, pool: &'a Arc<Pool>, server: Option<&'a Candidate>) -> Scene<'a> {
        Scene { connection: &self.exchange.connection, pool, rule: text(&self.rule), server }
    }

    async fn try_endpoint(&mut self, pool: &Arc<Pool>, number: usize, chosen: Chosen) -> Search {
        let Chosen { in_flight, plugged } = chosen;
        self.exchange.begin_flight();
        self.exchange.attempts += 1;
        self.tried.add(in_flight.endpoint().id);
        let template = plugged.as_ref().map_or(&self.visit.effects, |plugged| &plugged.effects).request.clone();
        // The clock is read once for the request and its first try.
        let began = if self.exchange.attempts == 1 { self.exchange.began } else { Instant::now() };
        let trace = template.trace.as_ref();
        let attempts = self.exchange.attempts;
        let attempt = Attempt {
            connection: self.exchange.connection.clone(),
            pool: pool.clone(),
            traceparent: trace.map(|trace| trace.attempt_begins(attempts, pool, in_flight.endpoint())),
            in_flight,
            template,
            began,
        };
        match attempt.run().await {
            Ok(answer) => {
                let search = self.judge(pool, &answer);
                if search == Search::GoesOn {
                    self.exchange.note_try(answer.in_flight.endpoint(), Reason::BadResponse);
                }
                self.last = Last::Answered(answer, number, plugged);
                search
            }
            Err(failed) => self.fail(pool, failed),
        }
    }

    /// Sets how much of the body may come and is kept, before anything of it is read in this pool. False if it is known
    /// to have more.
    fn keep_body(&self, pool: &Pool) -> bool {
        let Template { method, body, .. } = &*self.visit.effects.request;
        let Some(body) = body else { return true };
        let repeatable = pool.policy.repeatable(method);
        body.keep_at_most(if repeatable { pool.config.retry.buffer_limit } else { 0 });
        let limits = &self.exchange.connection.worker.shared.limits;
        body.allow(pool.config.max_body_size.unwrap_or(limits.max_body_size))
    }

    /// An endpoint that can take the request now.
    fn choose(&self, pool: &Arc<Pool>) -> Result<Option<Chosen>, Box<Halt>> {
        let view = pool.runtime.view.load();
        let chosen = self.chooser(pool).choose(&view)?;
        Ok(chosen.map(|(candidate, in_flight)| self.chosen(pool, candidate, in_flight)))
    }

    fn chooser<'a>(&'a self, pool: &'a Arc<Pool>) -> Chooser<'a> {
        Chooser { scene: self.scene(pool, None), effects: &self.visit.effects, tried: &self.tried }
    }

    fn chosen(&self, pool: &Pool, candidate: &Candidate, in_flight: InFlight) -> Chosen {
        let looks = |plugins: &Arc<plugin::Chain>| plugins.hooks().post || plugins.hooks().done;
        let plugged = || Box::new(Plugged { effects: self.visit.effects.clone(), server: Some(candidate.clone()) });
        Chosen { in_flight, plugged: pool.plugins.as_ref().is_some_and(looks).then(plugged) }
    }

    /// Counts a retry and takes it out of the pool's budget. Retries after a failure to connect are free:
    /// they cost no upstream anything, and passive health bounds them.
    fn may_try(&self, pool: &Pool) -> bool {
        let (reason, free) = match &self.last {
            Last::None | Last::Halted(..) | Last::TurnedAway(..) | Last::Redirected(..) => return true,
            Last::Failed(failure) => (failure.reason(), failure.nothing_sent()),
            Last::Answered(..) => (Reason::BadResponse, false),
        };
        let runtime = &pool.runtime;
        let granted = free || runtime.budget.take(Instant::now(), runtime.requests(), pool.config.retry.budget_percent);
        if granted {
            runtime.shards.of(self.exchange.connection.worker.id).retries[reason as usize].increment();
        }
        granted
    }

    /// Whether the request may reach another upstream after this one saw it.
    fn is_repeatable(&self, pool: &Pool) -> bool {
        let Template { method, body, .. } = &*self.visit.effects.request;
        pool.policy.repeatable(method) && body.as_ref().is_none_or(Source::is_replayable)
    }

    /// Whether the status of an answer asks for another try, and whether it counts as a failure.
    fn judge(&self, pool: &Pool, answer: &Answer) -> Search {
        let status = answer.response.status().as_u16();
        let grpc = pool.policy.grpc.as_ref();
        let grpc = grpc.and_then(|policy| Some((policy, grpc::status(answer.response.headers())?)));
        if any_matches(&pool.policy.fail_statuses, status)
            || grpc.is_some_and(|(policy, own)| policy.fail.contains(&own))
        {
            pool.runtime.fail(answer.in_flight.endpoint(), Reason::BadResponse);
        }
        // An upload that still runs belongs to this answer, which may be the one that the client gets.
        let asks_again = any_matches(&pool.policy.retry_statuses, status)
            || grpc.is_some_and(|(policy, own)| policy.retry.contains(&own));
        let again = asks_again
            && self.is_repeatable(pool)
            && self.visit.effects.request.body.as_ref().is_none_or(Source::is_complete);
        if again { Search::GoesOn } else { Search::Ends }
    }

    /// Notes a failed try.
    fn fail(&mut self, pool: &Pool, failed: Failed) -> Search {
        failed.count(pool);
        self.exchange.note_try(failed.in_flight.endpoint(), failed.failure.reason());
        self.exchange.end_flight();
        let failure = failed.failure;
        if let Some(body) = &self.visit.effects.request.body {
            // What the failed try still reads would be missing in the next.
            body.freeze();
        }
        let again = failure.retry_cause().is_some_and(|cause| pool.policy.retries(cause))
            && !self.is_out_of_time(pool)
            && (failure.nothing_sent() || self.is_repeatable(pool));
        // An answer, even a bad one, says more than a later failure.
        if !matches!(self.last, Last::Answered(..)) {
            self.last = Last::Failed(failure);
        }
        if again { Search::GoesOn } else { Search::Ends }
    }

    /// Whether `timeouts.request` has passed.
    fn is_out_of_time(&self, pool: &Pool) -> bool {
        let limit = self.exchange.limit(pool);
        !limit.is_zero() && self.exchange.began.elapsed() >= limit
    }

    /// The answer that was found, or ours.
    #[must_use]
    pub fn finish(mut self) -> Response<ReplyBody> {
        match std::mem::replace(&mut self.last, Last::None) {
            Last::Answered(answer, number, plugged) => {
                self.exchange.return_to_pool(number);
                self.exchange.begin_flight();
                let (effects, server) = match plugged {
                    Some(plugged) => (plugged.effects, plugged.server),
                    None => (self.visit.take_effects(), None),
                };
                self.finish_with_plugins(&effects, server);
                answer::pass(self.exchange, answer, effects, self.upgrade)
            }
            Last::Halted(halt, number) => {
                self.exchange.return_to_pool(number);
                self.exchange.note_halt(&halt);
                let effects = self.visit.effects.clone();
                self.finish_with_plugins(&effects, None);
                reply::halt(self.exchange, *halt, effects)
            }
            Last::Failed(failure) => self.answer_here(failure.status(), failure.reason(), failure.text()),
            Last::TurnedAway(why, number) => {
                self.exchange.return_to_pool(number);
                let (status, reason, text) = why.answer();
                self.answer_here(status, reason, text)
            }
            Last::Redirected(location, number) => {
                self.exchange.return_to_pool(number);
                reply::redirect(self.exchange, location)
            }
            Last::None => self.unavailable(),
        }
    }

    /// The `done` hooks of the pool in which the request ends.
    fn finish_with_plugins(&mut self, effects: &Effects, server: Option<Candidate>) {
        let Some(pool) = self.exchange.pool().filter(|pool| has_done(pool)).cloned() else { return };
        let (rule, effects) = (self.rule.clone(), effects.clone());
        self.exchange.finish_with(Box::new(Finish { pool, rule, effects, server }));
    }

    fn unavailable(mut self) -> Response<ReplyBody> {
        let disabled = self.disabled.filter(|_| self.exchange.pool().is_none());
        if let Some(number) = disabled {
            self.exchange.enter_pool(number);
        }
        let (status, reason, text) = unavailable(disabled.is_some());
        self.answer_here(status, reason, text)
    }

    fn answer_here(mut self, status: StatusCode, reason: Reason, text: &'static str) -> Response<ReplyBody> {
        self.finish_with_plugins(&self.visit.effects.clone(), None);
        reply::local(self.exchange, status, reason, text)
    }
}

/// What `post` hooks look at and change, if there is a try. Otherwise nobody will see what they change.
fn of_try(chosen: &mut Option<Chosen>) -> Option<&mut Plugged> {
    chosen.as_mut()?.plugged.as_deref_mut()
}

/// The answer to a request for which nobody was there; `disabled`: as every pool of its chain is (A6).
pub(crate) fn unavailable(disabled: bool) -> (StatusCode, Reason, &'static str) {
    let (reason, text) = match disabled {
        true => (Reason::Disabled, "this service is disabled\n"),
        false => (Reason::NoBackend, "no backend is available\n"),
    };
    (StatusCode::SERVICE_UNAVAILABLE, reason, text)
}

/// A pool that lacks a plugin is not served without it.
///
/// # Errors
/// The answer of such a pool.
pub(crate) fn check_complete(plugins: &plugin::Chain) -> Result<(), Box<Halt>> {
    match plugins.missing() {
        [] => Ok(()),
        _ => Err(Box::new(Halt::new(StatusCode::SERVICE_UNAVAILABLE, "a plugin of this service is missing\n"))),
    }
}

/// Canonical text of a rule.
fn text(rule: &Option<Arc<Chain>>) -> Option<&Arc<str>> {
    rule.as_ref().map(|rule| rule.rule())
}

fn has_done(pool: &Pool) -> bool {
    pool.plugins.as_ref().is_some_and(|plugins| plugins.hooks().done)
}
