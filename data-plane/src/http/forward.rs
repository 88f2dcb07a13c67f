//! From a matched rule to an answer: along the chain of pools, and within each pool from endpoint to
//! endpoint, until one answers or nothing is left (F1-F4).

use std::rc::Rc;
use std::sync::Arc;

use http::{Response, StatusCode};
use hyper::upgrade::OnUpgrade;

use super::attempt::{Answer, Attempt, Failed, Template};
use super::body::Source;
use super::exchange::Exchange;
use super::failure::Failure;
use super::response::ReplyBody;
use super::{answer, key, reply};
use crate::balance::{Choice, Tried};
use crate::pool::policy::any_matches;
use crate::pool::{InFlight, Pool};
use crate::reason::Reason;
use crate::table::Chain;

/// A request looking for an answer.
#[derive(Debug)]
pub struct Forward {
    exchange: Exchange,
    template: Rc<Template>,
    /// The client's side of the connection, if it asks for another protocol.
    upgrade: Option<OnUpgrade>,
    tried: Tried,
    last: Last,
    /// The first disabled pool that was passed over.
    disabled: Option<usize>,
}

/// How the try before ended.
#[derive(Debug)]
enum Last {
    /// There was none.
    None,
    /// Without a response head.
    Failed(Failure),
    /// With a status that asks for another try, in this pool. The client gets it if no try does better.
    Held(Box<Answer>, usize),
}

/// What became of a request in one pool.
enum Outcome {
    Answered(Answer),
    /// The next pool may try.
    Next,
    /// Nobody may try again.
    GiveUp,
}

impl Forward {
    /// A request that has not been tried.
    #[must_use]
    pub fn new(exchange: Exchange, template: Template, upgrade: Option<OnUpgrade>) -> Self {
        let template = Rc::new(template);
        Self { exchange, template, upgrade, tried: Tried::default(), last: Last::None, disabled: None }
    }

    /// Tries the pools of `chain` in their order.
    pub async fn run(mut self, chain: &Chain) -> Response<ReplyBody> {
        let table = self.exchange.table.clone();
        for index in chain.order() {
            let pool = &table.pools[index];
            if !pool.config.enabled {
                self.disabled.get_or_insert(index);
                continue;
            }
            self.exchange.enter_pool(index);
            match self.try_pool(pool, index).await {
                Outcome::Answered(answer) => return answer::pass(self.exchange, answer, self.upgrade),
                Outcome::Next => {}
                Outcome::GiveUp => break,
            }
        }
        self.give_up()
    }

    async fn try_pool(&mut self, pool: &Arc<Pool>, index: usize) -> Outcome {
        self.keep_body(pool);
        for _ in 0..=pool.config.retry.attempts {
            let Some(in_flight) = self.next_endpoint(pool) else { return Outcome::Next };
            if !self.may_try(pool) {
                return Outcome::GiveUp;
            }
            self.exchange.attempts += 1;
            let attempt = Attempt {
                worker: self.exchange.connection.worker.clone(),
                pool: pool.clone(),
                in_flight,
                template: self.template.clone(),
            };
            let again = match attempt.run().await {
                Ok(answer) if !self.is_worth_another(pool, &answer) => return Outcome::Answered(answer),
                Ok(answer) => self.hold(answer, index),
                Err(failed) => self.fail(pool, failed),
            };
            if !again {
                return Outcome::GiveUp;
            }
        }
        Outcome::Next
    }

    /// Sets how much of the body is kept, before anything of it is read in this pool.
    fn keep_body(&self, pool: &Pool) {
        if let Some(body) = &self.template.body {
            let repeatable = pool.policy.repeatable(&self.template.method);
            body.keep_at_most(if repeatable { pool.config.retry.buffer_limit } else { 0 });
        }
    }

    fn next_endpoint(&mut self, pool: &Pool) -> Option<InFlight> {
        let worker = &self.exchange.connection.worker;
        let view = pool.runtime.view.load();
        let mut choice = Choice {
            tried: &self.tried,
            cursor: &pool.runtime.cursor,
            key: key::of(&pool.config.balance, &self.template, self.exchange.connection.peer.ip()),
            connection: self.exchange.connection.number.get(),
            rng: &mut worker.rng.borrow_mut(),
        };
        let candidate = &view.candidates[view.picker.pick(&view.candidates, &mut choice)?];
        self.tried.add(candidate.endpoint.id);
        Some(InFlight::start(candidate.endpoint.clone(), worker.id))
    }

    /// Counts a retry and takes it out of the pool's budget. Retries after a failure to connect are free:
    /// they cost no upstream anything, and passive health bounds them.
    fn may_try(&self, pool: &Pool) -> bool {
        let (reason, free) = match &self.last {
            Last::None => return true,
            Last::Failed(failure) => (failure.reason(), failure.nothing_sent()),
            Last::Held(..) => (Reason::BadResponse, false),
        };
        let runtime = &pool.runtime;
        let granted =
            free || runtime.budget.take(tokio::time::Instant::now(), runtime.requests(), pool.config.retry.budget_percent);
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

    fn is_worth_another(&self, pool: &Pool, answer: &Answer) -> bool {
        let status = answer.response.status().as_u16();
        if any_matches(&pool.policy.fail_statuses, status) {
            pool.runtime.fail(answer.in_flight.endpoint(), Reason::BadResponse);
        }
        any_matches(&pool.policy.retry_statuses, status) && self.is_repeatable(pool)
    }

    fn hold(&mut self, answer: Answer, index: usize) -> bool {
        self.last = Last::Held(Box::new(answer), index);
        true
    }

    /// Notes a failed try; true if another may follow.
    fn fail(&mut self, pool: &Pool, failed: Failed) -> bool {
        let Failed { failure, in_flight } = failed;
        let cause = failure.retry_cause();
        if cause.is_some() {
            pool.runtime.fail(in_flight.endpoint(), failure.reason());
        }
        let again = cause.is_some_and(|cause| pool.policy.retries(cause))
            && (failure.nothing_sent() || self.is_repeatable(pool));
        // The last one to answer is the one to show, rather than a later failure.
        if !matches!(self.last, Last::Held(..)) {
            self.last = Last::Failed(failure);
        }
        again
    }

    fn give_up(mut self) -> Response<ReplyBody> {
        match self.last {
            Last::Held(answer, index) => {
                self.exchange.return_to_pool(index);
                answer::pass(self.exchange, *answer, self.upgrade)
            }
            Last::Failed(failure) => {
                reply::local(self.exchange, failure.status(), failure.reason(), failure.text())
            }
            Last::None => self.unavailable(),
        }
    }

    fn unavailable(mut self) -> Response<ReplyBody> {
        let (reason, text) = match (self.exchange.pool(), self.disabled) {
            (None, Some(index)) => {
                self.exchange.enter_pool(index);
                (Reason::Disabled, "this service is disabled\n")
            }
            _ => (Reason::NoBackend, "no backend is available\n"),
        };
        reply::local(self.exchange, StatusCode::SERVICE_UNAVAILABLE, reason, text)
    }
}
