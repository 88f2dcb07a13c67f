//! From a matched rule to an answer: along the chain of pools, and within each pool from endpoint to
//! endpoint, until one answers or nothing is left (F1-F4).

use std::rc::Rc;
use std::sync::Arc;

use http::{Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use tokio::time::Instant;

use super::attempt::{Answer, Attempt, Failed, Template};
use super::body::Source;
use super::exchange::Exchange;
use super::failure::Failure;
use super::response::ReplyBody;
use super::{answer, key, reply};
use crate::balance::{Choice, Tried};
use crate::matcher::Place;
use crate::pool::policy::any_matches;
use crate::pool::{Endpoint, InFlight, Pool};
use crate::reason::Reason;

/// A request looking for an answer.
#[derive(Debug)]
pub struct Forward {
    exchange: Box<Exchange>,
    template: Rc<Template>,
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
    Answered(Answer, usize),
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
        let template = Rc::new(template);
        Self {
            exchange,
            template,
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

    async fn search_chain(&mut self, place: Place) {
        let table = self.exchange.table.clone();
        let routes = table.listeners.get(self.exchange.connection.listener);
        let chain = routes.and_then(|routes| routes.chain(place));
        for number in chain.iter().flat_map(|chain| chain.order()) {
            let Some(pool) = table.pools.at(number) else { continue };
            if !pool.config.enabled {
                self.disabled.get_or_insert(number);
                continue;
            }
            self.exchange.enter_pool(number);
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
        for _ in 0..=pool.config.retry.attempts {
            let Some(endpoint) = self.next_endpoint(pool) else { return Search::GoesOn };
            if !self.may_try(pool) || self.try_endpoint(pool, number, endpoint).await == Search::Ends {
                return Search::Ends;
            }
        }
        Search::GoesOn
    }

    async fn try_endpoint(&mut self, pool: &Arc<Pool>, number: usize, endpoint: Arc<Endpoint>) -> Search {
        self.exchange.attempts += 1;
        self.tried.add(endpoint.id);
        let in_flight = InFlight::start(endpoint, self.exchange.connection.worker.id);
        let attempt = Attempt {
            connection: self.exchange.connection.clone(),
            pool: pool.clone(),
            in_flight,
            template: self.template.clone(),
            // The clock is read once for the request and its first try.
            began: if self.exchange.attempts == 1 { self.exchange.began } else { Instant::now() },
        };
        match attempt.run().await {
            Ok(answer) => {
                let search = self.judge(pool, &answer);
                self.last = Last::Answered(answer, number);
                search
            }
            Err(failed) => self.fail(pool, failed),
        }
    }

    /// Sets how much of the body is kept, before anything of it is read in this pool.
    fn keep_body(&self, pool: &Pool) {
        if let Some(body) = &self.template.body {
            let repeatable = pool.policy.repeatable(&self.template.method);
            body.keep_at_most(if repeatable { pool.config.retry.buffer_limit } else { 0 });
        }
    }

    fn next_endpoint(&self, pool: &Pool) -> Option<Arc<Endpoint>> {
        let worker = &self.exchange.connection.worker;
        let view = pool.runtime.view.load();
        let mut choice = Choice {
            tried: &self.tried,
            cursor: &pool.runtime.cursor,
            key: key::of(&pool.config.balance, &self.template, self.exchange.connection.peer.ip()),
            connection: self.exchange.connection.number.get(),
            rng: &mut worker.rng.borrow_mut(),
        };
        let picked = view.picker.pick(&view.candidates, &mut choice)?;
        Some(view.candidates[picked].endpoint.clone())
    }

    /// Counts a retry and takes it out of the pool's budget. Retries after a failure to connect are free:
    /// they cost no upstream anything, and passive health bounds them.
    fn may_try(&self, pool: &Pool) -> bool {
        let (reason, free) = match &self.last {
            Last::None => return true,
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
        let body = self.template.body.as_ref();
        pool.policy.repeatable(&self.template.method) && body.is_none_or(Source::is_replayable)
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
            && self.template.body.as_ref().is_none_or(Source::is_complete);
        if again { Search::GoesOn } else { Search::Ends }
    }

    /// Notes a failed try.
    fn fail(&mut self, pool: &Pool, failed: Failed) -> Search {
        failed.count(pool);
        let failure = failed.failure;
        if let Some(body) = &self.template.body {
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
        match self.last {
            Last::Answered(answer, number) => {
                self.exchange.return_to_pool(number);
                answer::pass(self.exchange, answer, self.template, self.upgrade)
            }
            Last::Failed(failure) => reply::local(self.exchange, failure.status(), failure.reason(), failure.text()),
            Last::None => self.unavailable(),
        }
    }

    fn unavailable(mut self) -> Response<ReplyBody> {
        let (reason, text) = match (self.exchange.pool(), self.disabled) {
            (None, Some(number)) => {
                self.exchange.enter_pool(number);
                (Reason::Disabled, "this service is disabled\n")
            }
            _ => (Reason::NoBackend, "no backend is available\n"),
        };
        reply::local(self.exchange, StatusCode::SERVICE_UNAVAILABLE, reason, text)
    }
}
