//! Along the chain of a rule, pool by pool, until it is known where the request ends: as [`crate::http::forward`], but
//! for the tries. Each backend is taken to answer.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use http::HeaderValue;
use http::header::LOCATION;

use super::answer::{Answer, CandidateSeen, Choice, Outcome, PoolSeen, Queued};
use super::candidates::Choosing;
use super::forecast::{self, Forecast, Shares};
use super::plugins::Watch;
use crate::balance::Tried;
use crate::http::choose::Chooser;
use crate::http::connection::ClientConnection;
use crate::http::forward::secure::Demand;
use crate::http::forward::{TurnedAway, check_complete, direct, secure, unavailable, wait};
use crate::plugin::session::Scene;
use crate::plugin::{Halt, Visit};
use crate::pool::{Candidate, Pool, View};
use crate::reason::Reason;
use crate::table::{Chain, Table};

/// Where a request ends.
#[derive(Debug)]
pub(super) enum End {
    /// At an endpoint.
    Chosen(Choice),
    /// In a queue.
    Queued(Queued),
    /// Here.
    Answered(Answer),
}

/// A request on its way, and what was seen of it.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    connection: &'a Rc<ClientConnection>,
    table: &'a Table,
    chain: &'a Arc<Chain>,
    visit: Visit,
    entered: bool,
    disabled: bool,
    turned_away: Option<(TurnedAway, String)>,
    pub(super) watch: Watch,
    pub(super) pools: Vec<PoolSeen>,
    pub(super) candidates: Vec<CandidateSeen>,
    pub(super) chance: bool,
}

/// Whether the request goes on.
enum Step {
    Passed(&'static str),
    Ends(End),
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        connection: &'a Rc<ClientConnection>,
        table: &'a Table,
        chain: &'a Arc<Chain>,
        visit: Visit,
        watch: Watch,
    ) -> Self {
        Self {
            connection,
            table,
            chain,
            visit,
            entered: false,
            disabled: false,
            turned_away: None,
            watch,
            pools: Vec::new(),
            candidates: Vec::new(),
            chance: false,
        }
    }

    /// Goes through the chain.
    pub(super) async fn run(&mut self) -> End {
        let cursor = AtomicUsize::new(self.chain.cursor.load(Relaxed));
        let order: Vec<&Arc<Pool>> =
            self.chain.order_by(&cursor).filter_map(|number| self.table.pools.at(number)).collect();
        let mut rest = order.into_iter();
        let end = loop {
            let Some(pool) = rest.next() else { break self.nobody() };
            match self.pass(pool).await {
                Step::Passed(reason) => self.see(pool, Outcome::Passed, reason),
                Step::Ends(end) => {
                    self.see(pool, Outcome::Taken, "");
                    break end;
                }
            }
        };
        rest.for_each(|pool| self.see(pool, Outcome::NotReached, "the request has ended before"));
        end
    }

    fn see(&mut self, pool: &Pool, outcome: Outcome, reason: &str) {
        let model = &pool.config;
        let (pool, reason) = (model.name.to_string(), reason.to_owned());
        self.pools.push(PoolSeen { pool, priority: model.priority, weight: model.weight, outcome, reason });
    }

    async fn pass(&mut self, pool: &Arc<Pool>) -> Step {
        if !pool.config.enabled {
            self.disabled = true;
            return Step::Passed("disabled");
        }
        self.entered = true;
        self.visit.enter();
        let name = pool.config.name.to_string();
        match self.enter(pool).await {
            Ok(step) => step,
            Err(halt) => Step::Ends(End::Answered(halted(&halt, name))),
        }
    }

    async fn enter(&mut self, pool: &Arc<Pool>) -> Result<Step, Box<Halt>> {
        let name = pool.config.name.to_string();
        if let Some(tls) = &pool.config.tls {
            match secure::demand(tls, self.connection, &self.visit.effects.request) {
                Demand::Met(changes) => self.visit.effects.apply(changes),
                Demand::Redirects(location) => return Ok(Step::Ends(End::Answered(redirected(&location, name)))),
                Demand::Misdirected => return Ok(ends_in(TurnedAway::Misdirected, name)),
            }
        }
        let watched = self.watch.watched(pool);
        self.run_pre(&watched).await?;
        let view = pool.runtime.view.load_full();
        if direct::name(pool, &self.visit.effects.request.headers).is_some() {
            return self.direct(&watched, &view).await;
        }
        let forecast = self.forecast(&watched, &view)?;
        self.conclude(&watched, &view, forecast).await
    }

    async fn run_pre(&mut self, pool: &Arc<Pool>) -> Result<(), Box<Halt>> {
        let Some(plugins) = &pool.plugins else { return Ok(()) };
        check_complete(plugins)?;
        if !self.chain.is_single() {
            self.visit.keep_original();
        }
        let (connection, rule) = (self.connection, self.chain.rule());
        let scene = Scene { connection, pool, rule: Some(rule), server: None };
        let ended = match plugins.pre(scene, &mut self.visit) {
            Ok(Some(pending)) => plugins.resume_pre(pending, scene, &mut self.visit).await,
            Ok(None) => Ok(()),
            Err(halt) => Err(halt),
        };
        self.watch.look();
        ended
    }

    /// What the choice in this pool comes to.
    fn forecast(&mut self, pool: &Arc<Pool>, view: &View) -> Result<Forecast, Box<Halt>> {
        let tried = Tried::default();
        let scene = Scene { connection: self.connection, pool, rule: Some(self.chain.rule()), server: None };
        let chooser = Chooser { scene, effects: &self.visit.effects, tried: &tried };
        let chosen = forecast::choose(&chooser, view);
        let by_chance = self.watch.look().iter().any(|call| call.chance);
        let forecast = match chosen? {
            Some((_, _)) if by_chance => {
                let dry = self.watch.dry(pool);
                likeliest(view, forecast::draw(&Chooser { scene: Scene { pool: &dry, ..scene }, ..chooser }, view)?)
            }
            Some((candidate, shares)) => Forecast::Chosen(candidate, shares),
            None if wait::has_queue(pool) => {
                let room = wait::room(pool, Some(self.chain), &self.table.pools, &tried);
                forecast::wait(&chooser, view, room)?
            }
            None => Forecast::Nobody,
        };
        self.chance |= matches!(&forecast, Forecast::Chosen(_, shares) if shares.len() > 1);
        Ok(forecast)
    }

    /// What follows from it, after plugins have had their say.
    async fn conclude(&mut self, pool: &Arc<Pool>, view: &View, forecast: Forecast) -> Result<Step, Box<Halt>> {
        let none = Shares::new();
        let (chosen, shares) = match &forecast {
            Forecast::Chosen(candidate, shares) => (Some(candidate), shares),
            _ => (None, &none),
        };
        self.see_candidates(pool, view, (chosen, shares, None));
        if let Forecast::Waits(ahead) = forecast {
            return Ok(Step::Ends(End::Queued(queued(pool, ahead))));
        }
        self.run_post(pool, chosen).await?;
        let name = pool.config.name.to_string();
        Ok(match forecast {
            Forecast::Chosen(candidate, _) => Step::Ends(End::Chosen(choice(pool, &candidate))),
            Forecast::Full => {
                self.turned_away = Some((TurnedAway::QueueFull, name));
                Step::Passed("every backend is full, and too many requests wait")
            }
            Forecast::Waits(_) | Forecast::Nobody => Step::Passed(nobody_because(view)),
        })
    }

    /// The request names its backend.
    async fn direct(&mut self, pool: &Arc<Pool>, view: &View) -> Result<Step, Box<Halt>> {
        let request = self.visit.effects.request.clone();
        let name = direct::name(pool, &request.headers).unwrap_or_default();
        let chosen = direct::find(view, name).cloned();
        let shares = chosen.iter().map(|chosen| (chosen.endpoint.id, 1.0)).collect();
        self.see_candidates(pool, view, (chosen.as_ref(), &shares, Some(&String::from_utf8_lossy(name))));
        self.run_post(pool, chosen.as_ref()).await?;
        Ok(match chosen {
            Some(candidate) => Step::Ends(End::Chosen(choice(pool, &candidate))),
            None => {
                let (_, reason) = direct::missing(pool, name);
                ends_in(TurnedAway::Directed(reason), pool.config.name.to_string())
            }
        })
    }

    fn see_candidates(
        &mut self,
        pool: &Pool,
        view: &View,
        (chosen, shares, directed): (Option<&Candidate>, &Shares, Option<&str>),
    ) {
        self.watch.look();
        let calls: Vec<_> = self.watch.calls.iter().filter(|call| call.pool == pool.config.name).cloned().collect();
        let choosing = Choosing { pool, view, chosen, shares, calls: &calls, directed };
        self.candidates.extend(choosing.candidates());
    }

    async fn run_post(&mut self, pool: &Arc<Pool>, server: Option<&Candidate>) -> Result<(), Box<Halt>> {
        let Some(plugins) = pool.plugins.as_ref().filter(|plugins| plugins.hooks().post) else { return Ok(()) };
        let scene = Scene { connection: self.connection, pool, rule: Some(self.chain.rule()), server };
        let mut effects = self.visit.effects.clone();
        let ended = match plugins.post(scene, &mut effects) {
            Ok(Some(pending)) => plugins.resume_post(pending, scene, &mut effects).await,
            Ok(None) => Ok(()),
            Err(halt) => Err(halt),
        };
        self.watch.look();
        ended
    }

    /// No pool has taken the request.
    fn nobody(&mut self) -> End {
        if let Some((why, pool)) = self.turned_away.take() {
            return End::Answered(turned_away(why, pool));
        }
        let answer = unavailable(self.disabled && !self.entered);
        End::Answered(here(answer, None))
    }
}

/// Why a pool has nobody for a request.
fn nobody_because(view: &View) -> &'static str {
    if view.tiers.is_empty() { "no backend is up" } else { "no backend is left" }
}

fn likeliest(view: &View, shares: Shares) -> Forecast {
    let best = shares.iter().max_by(|(a, x), (b, y)| x.total_cmp(y).then(b.cmp(a)));
    match best.and_then(|(id, _)| view.find(*id)).cloned() {
        Some(candidate) => Forecast::Chosen(candidate, shares),
        None => Forecast::Nobody,
    }
}

fn choice(pool: &Pool, candidate: &Candidate) -> Choice {
    Choice {
        pool: pool.config.name.to_string(),
        backend: candidate.endpoint.backend.name().to_owned(),
        address: candidate.endpoint.address.to_string(),
        method: pool.config.balance.as_str().to_owned(),
    }
}

fn queued(pool: &Pool, ahead: usize) -> Queued {
    let queue = &pool.config.queue;
    let (limit, timeout) = (queue.limit, queue.timeout.as_secs_f64());
    Queued { pool: pool.config.name.to_string(), ahead, limit, timeout }
}

fn halted(halt: &Halt, pool: String) -> Answer {
    let location = halt.headers.get(LOCATION).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let detail = String::from_utf8_lossy(&halt.body).trim_end().to_owned();
    let reason = Some(Reason::Plugin.as_str().to_owned());
    let plugin = halt.plugin.as_deref().map(str::to_owned);
    Answer { status: halt.status.as_u16(), reason, detail, pool: Some(pool), plugin, location }
}

/// As [`crate::http::reply::redirect`].
fn redirected(location: &HeaderValue, pool: String) -> Answer {
    let location = Some(String::from_utf8_lossy(location.as_bytes()).into_owned());
    let detail = "the pool wants requests over TLS".to_owned();
    Answer { status: 308, reason: None, detail, pool: Some(pool), plugin: None, location }
}

fn turned_away(why: TurnedAway, pool: String) -> Answer {
    here(why.answer(), Some(pool))
}

fn ends_in(why: TurnedAway, pool: String) -> Step {
    Step::Ends(End::Answered(turned_away(why, pool)))
}

/// An answer of Weir's own.
pub(super) fn here((status, reason, text): (http::StatusCode, Reason, &str), pool: Option<String>) -> Answer {
    let (reason, detail) = (Some(reason.as_str().to_owned()), text.trim_end().to_owned());
    Answer { status: status.as_u16(), reason, detail, pool, plugin: None, location: None }
}
