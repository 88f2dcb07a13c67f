//! From a matched rule to an answer: along the chain of pools, and within each pool from endpoint to
//! endpoint, until one answers or nothing is left (F1-F4).

use std::sync::Arc;

use http::{Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use tokio::time::Instant;

use super::attempt::{Answer, Attempt, Failed, Template};
use super::body::Source;
use super::exchange::Exchange;
use super::failure::Failure;
use super::response::ReplyBody;
use super::{answer, choose, reply};
use crate::balance::Tried;
use crate::matcher::Place;
use crate::plugin::session::Scene;
use crate::plugin::{self, Effects, Finish, Halt, Visit};
use crate::pool::policy::any_matches;
use crate::pool::{Candidate, Endpoint, InFlight, Pool};
use crate::reason::Reason;
use crate::table::Chain;

/// A request looking for an answer.
#[derive(Debug)]
pub struct Forward {
    exchange: Box<Exchange>,
    visit: Visit,
    /// Of the matched rule; `None` of a copy, which goes by none.
    rule: Option<Arc<Chain>>,
    /// The client's side of the connection, if it asks for another protocol.
    upgrade: Option<OnUpgrade>,
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
}

/// An endpoint that was chosen.
#[derive(Debug)]
struct Chosen {
    endpoint: Arc<Endpoint>,
    /// Present if the pool has plugins.
    plugged: Option<Box<Plugged>>,
}

/// What plugins have to do with a try.
#[derive(Debug)]
struct Plugged {
    /// What they made of the request for this try.
    effects: Effects,
    /// Where it goes.
    server: Candidate,
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
    pub fn new(exchange: Box<Exchange>, template: Template, upgrade: Option<OnUpgrade>) -> Self {
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
        for number in chain.iter().flat_map(|chain| chain.order()) {
            let Some(pool) = table.pools.at(number) else { continue };
            if !pool.config.enabled {
                self.disabled.get_or_insert(number);
                continue;
            }
            self.exchange.enter_pool(number);
            self.visit.enter();
            if self.try_pool(pool, number).await == Search::Ends {
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

    async fn try_pool(&mut self, pool: &Arc<Pool>, number: usize) -> Search {
        self.keep_body(pool);
        match self.search_pool(pool, number).await {
            Ok(search) => search,
            Err(halt) => {
                self.last = Last::Halted(halt, number);
                Search::Ends
            }
        }
    }

    async fn search_pool(&mut self, pool: &Arc<Pool>, number: usize) -> Result<Search, Box<Halt>> {
        if let Some(plugins) = &pool.plugins {
            Box::pin(self.run_pre(plugins, pool)).await?; // rare, and the future of every request would grow
        }
        for _ in 0..=pool.config.retry.attempts {
            let mut chosen = self.choose(pool)?;
            if chosen.is_some() && !self.may_try(pool) {
                return Ok(Search::Ends);
            }
            if let Some(plugins) = pool.plugins.as_ref().filter(|plugins| plugins.hooks().post) {
                Box::pin(self.run_post(plugins, pool, &mut chosen)).await?;
            }
            let Some(chosen) = chosen else { return Ok(Search::GoesOn) };
            if self.try_endpoint(pool, number, chosen).await == Search::Ends {
                return Ok(Search::Ends);
            }
        }
        Ok(Search::GoesOn)
    }

    /// The `pre` hooks of a pool. One that lacks a plugin is not served without it.
    async fn run_pre(&mut self, plugins: &plugin::Chain, pool: &Arc<Pool>) -> Result<(), Box<Halt>> {
        if !plugins.missing().is_empty() {
            return Err(Box::new(Halt::new(StatusCode::SERVICE_UNAVAILABLE, "a plugin of this service is missing\n")));
        }
        let Self { exchange, visit, rule, .. } = self;
        if rule.as_ref().is_none_or(|rule| !rule.is_single()) {
            visit.keep_original();
        }
        if !plugins.hooks().pre {
            return Ok(());
        }
        let scene = Scene { connection: &exchange.connection, pool, rule: text(rule), server: None };
        plugins.pre(scene, visit).await.map_or(Ok(()), Err)
    }

    async fn run_post(
        &self,
        plugins: &plugin::Chain,
        pool: &Arc<Pool>,
        chosen: &mut Option<Chosen>,
    ) -> Result<(), Box<Halt>> {
        let plugged = chosen.as_mut().and_then(|chosen| chosen.plugged.as_deref_mut());
        // Nobody will see what they change if there is no try.
        let mut nobodys = self.visit.effects.clone();
        let (server, effects) = match plugged {
            Some(Plugged { effects, server }) => (Some(&*server), effects),
            None => (None, &mut nobodys),
        };
        let scene = Scene { connection: &self.exchange.connection, pool, rule: text(&self.rule), server };
        plugins.post(scene, effects).await.map_or(Ok(()), Err)
    }

    async fn try_endpoint(&mut self, pool: &Arc<Pool>, number: usize, chosen: Chosen) -> Search {
        let Chosen { endpoint, plugged } = chosen;
        self.exchange.attempts += 1;
        self.tried.add(endpoint.id);
        let in_flight = InFlight::start(endpoint, self.exchange.connection.worker.id);
        let attempt = Attempt {
            connection: self.exchange.connection.clone(),
            pool: pool.clone(),
            in_flight,
            template: plugged.as_ref().map_or(&self.visit.effects, |plugged| &plugged.effects).request.clone(),
            // The clock is read once for the request and its first try.
            began: if self.exchange.attempts == 1 { self.exchange.began } else { Instant::now() },
        };
        match attempt.run().await {
            Ok(answer) => {
                let search = self.judge(pool, &answer);
                self.last = Last::Answered(answer, number, plugged);
                search
            }
            Err(failed) => self.fail(pool, failed),
        }
    }

    /// Sets how much of the body is kept, before anything of it is read in this pool.
    fn keep_body(&self, pool: &Pool) {
        let Template { method, body, .. } = &*self.visit.effects.request;
        if let Some(body) = body {
            let repeatable = pool.policy.repeatable(method);
            body.keep_at_most(if repeatable { pool.config.retry.buffer_limit } else { 0 });
        }
    }

    fn choose(&self, pool: &Arc<Pool>) -> Result<Option<Chosen>, Box<Halt>> {
        let view = pool.runtime.view.load();
        let scene = Scene { connection: &self.exchange.connection, pool, rule: text(&self.rule), server: None };
        let place = choose::choose(scene, &view, &self.tried, &self.visit.effects)?;
        Ok(place.map(|place| {
            let server = &view.candidates[place];
            let plugged = || Box::new(Plugged { effects: self.visit.effects.clone(), server: server.clone() });
            Chosen { endpoint: server.endpoint.clone(), plugged: pool.plugins.is_some().then(plugged) }
        }))
    }

    /// Counts a retry and takes it out of the pool's budget. Retries after a failure to connect are free:
    /// they cost no upstream anything, and passive health bounds them.
    fn may_try(&self, pool: &Pool) -> bool {
        let (reason, free) = match &self.last {
            Last::None | Last::Halted(..) => return true,
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
        if any_matches(&pool.policy.fail_statuses, status) {
            pool.runtime.fail(answer.in_flight.endpoint(), Reason::BadResponse);
        }
        // An upload that still runs belongs to this answer, which may be the one that the client gets.
        let again = any_matches(&pool.policy.retry_statuses, status)
            && self.is_repeatable(pool)
            && self.visit.effects.request.body.as_ref().is_none_or(Source::is_complete);
        if again { Search::GoesOn } else { Search::Ends }
    }

    /// Notes a failed try.
    fn fail(&mut self, pool: &Pool, failed: Failed) -> Search {
        failed.count(pool);
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
        let limit = pool.config.timeouts.request;
        !limit.is_zero() && self.exchange.began.elapsed() >= limit
    }

    /// The answer that was found, or ours.
    #[must_use]
    pub fn finish(mut self) -> Response<ReplyBody> {
        match std::mem::replace(&mut self.last, Last::None) {
            Last::Answered(answer, number, plugged) => {
                self.exchange.return_to_pool(number);
                let (effects, server) = match plugged {
                    Some(plugged) => (plugged.effects, Some(plugged.server)),
                    // What plugins of a later pool wanted of the response is not this pool's.
                    None => (Effects::new(self.visit.effects.request.clone()), None),
                };
                self.finish_with_plugins(&effects, server);
                answer::pass(self.exchange, answer, effects, self.upgrade)
            }
            Last::Halted(halt, number) => {
                self.exchange.return_to_pool(number);
                let effects = self.visit.effects.clone();
                self.finish_with_plugins(&effects, None);
                reply::halt(self.exchange, *halt, effects)
            }
            Last::Failed(failure) => {
                self.finish_with_plugins(&self.visit.effects.clone(), None);
                reply::local(self.exchange, failure.status(), failure.reason(), failure.text())
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
        let (reason, text) = match (self.exchange.pool(), self.disabled) {
            (None, Some(number)) => {
                self.exchange.enter_pool(number);
                (Reason::Disabled, "this service is disabled\n")
            }
            _ => (Reason::NoBackend, "no backend is available\n"),
        };
        self.finish_with_plugins(&self.visit.effects.clone(), None);
        reply::local(self.exchange, StatusCode::SERVICE_UNAVAILABLE, reason, text)
    }
}

/// Canonical text of a rule.
fn text(rule: &Option<Arc<Chain>>) -> &str {
    rule.as_ref().map_or("", |rule| rule.rule())
}

fn has_done(pool: &Pool) -> bool {
    pool.plugins.as_ref().is_some_and(|plugins| plugins.hooks().done)
}
