//! What survives a change of a pool's configuration: endpoints, counters, health, method state.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::time::Instant;
use weir_proto::model::{self, ResourceName};

use super::admission::Gate;
use super::budget::RetryBudget;
use super::members::{Members, Returned};
use super::totals::Totals;
use super::{Endpoint, EndpointId, Member, Target, View};
use crate::balance::Tried;
use crate::health::probe::ProbeTarget;
use crate::health::state::WentDown;
use crate::health::{HealthClock, Probers, Transition, TransitionSink};
use crate::http::mirror::NotMirrored;
use crate::reason::Reason;
use crate::stats::{Counter, Gauge, Histogram, Sharded};

/// What pools need of the process they run in; cheap to clone.
#[derive(Debug, Clone)]
pub struct Environment {
    /// Brings ejected endpoints back.
    pub clock: HealthClock,
    /// Probes endpoints.
    pub probers: Probers,
    /// Takes transitions.
    pub transitions: TransitionSink,
    /// Number of workers, the size of each shard list.
    pub workers: usize,
}

impl Environment {
    /// One whose tasks nobody runs: for tests and benches of what needs no time.
    #[must_use]
    pub fn without_tasks(workers: usize) -> Self {
        let (clock, probers, transitions) = (HealthClock::new().0, Probers::new(0).0, TransitionSink::new().0);
        Self { clock, probers, transitions, workers }
    }
}

/// Run-time state of one pool.
#[derive(Debug)]
pub struct PoolRuntime {
    /// `namespace/name`.
    pub name: ResourceName,
    /// The endpoints that may be chosen now.
    pub view: ArcSwap<View>,
    /// Position in the round robin order, of all workers together.
    pub cursor: AtomicUsize,
    /// Requests on their way to an endpoint of this pool, or back.
    pub in_flight: Gauge,
    /// Where requests wait for an endpoint with room.
    pub gate: Arc<Gate<EndpointId>>,
    /// Limits retries.
    pub budget: RetryBudget,
    /// Counters of each worker.
    pub shards: Sharded<PoolShard>,
    state: Mutex<State>,
    environment: Environment,
    me: Weak<Self>,
}

/// What one worker counts about one pool.
#[derive(Debug, Default)]
pub struct PoolShard {
    /// Requests that entered the pool.
    pub requests: Counter,
    /// From request head to the end of the response.
    pub request_duration: Histogram,
    /// From the choice of an endpoint to the head of its response.
    pub upstream_duration: Histogram,
    /// Requests that had to wait for a slot.
    pub queued: Counter,
    /// How long they waited.
    pub queue_wait: Histogram,
    /// Responses made here, by class.
    pub local_responses: [Counter; 5],
    /// 503 and 504 made here, by reason.
    pub dropped: [Counter; Reason::ALL.len()],
    /// Retries, by the reason of the failure before.
    pub retries: [Counter; Reason::ALL.len()],
    /// Copies of requests that went to other pools.
    pub mirrored: Counter,
    /// Requests that should have been copied, by the reason why they were not.
    pub not_mirrored: [Counter; NotMirrored::ALL.len()],
}

#[derive(Debug)]
struct State {
    config: Arc<model::Pool>,
    members: Members,
}

impl PoolRuntime {
    /// A pool without endpoints.
    #[must_use]
    pub fn new(config: Arc<model::Pool>, environment: Environment) -> Arc<Self> {
        let members = Members::default();
        Arc::new_cyclic(|me| Self {
            name: config.name.clone(),
            view: ArcSwap::default(),
            cursor: AtomicUsize::new(0),
            in_flight: Gauge::default(),
            gate: members.gate.clone(),
            budget: RetryBudget::default(),
            shards: Sharded::new(environment.workers),
            state: Mutex::new(State { config, members }),
            environment,
            me: me.clone(),
        })
    }

    /// Takes a new version of the configuration. Endpoints come back that only the old one kept out.
    pub fn configure(&self, config: Arc<model::Pool>) {
        let mut state = self.state.lock();
        let before = std::mem::replace(&mut state.config, config);
        if before.health != state.config.health {
            self.follow_settings(&state);
            self.set_probes(&state, before.health.active.is_some());
        }
        self.refresh(&state);
    }

    fn follow_settings(&self, state: &State) {
        for Member { endpoint, .. } in &state.members.active {
            if endpoint.health.lock().follow(&state.config.health) == Some(true) {
                self.came_up(state, endpoint, "new health settings");
            }
        }
    }

    /// Takes new members; endpoints that stay keep their state.
    pub fn set_members(&self, targets: Vec<Target>) {
        let mut state = self.state.lock();
        self.replace_members(&mut state, targets);
        self.set_probes(&state, false);
    }

    /// Takes what `targets` have that the members have not, and gives nothing up; true if there is something
    /// to give up, with [`PoolRuntime::set_members`].
    #[must_use]
    pub fn add_members(&self, mut targets: Vec<Target>) -> bool {
        let mut state = self.state.lock();
        let loses = state.members.keep_in(&mut targets);
        self.replace_members(&mut state, targets);
        if !loses {
            // Otherwise probers are told in a moment what all comes to.
            self.set_probes(&state, false);
        }
        loses
    }

    fn replace_members(&self, state: &mut State, targets: Vec<Target>) {
        let returned = state.members.replace(targets, &state.config.health, self.environment.workers);
        for Returned { endpoint, why } in returned {
            let failure = endpoint.health.lock().last_failure();
            // It may have gone down while nobody was told.
            let reason = failure.filter(|_| !endpoint.is_up()).map_or(why, |failure| failure.reason.as_str());
            self.announce(state, &endpoint, reason);
        }
        self.refresh(state);
    }

    /// Notes a failed request to `endpoint`, which may eject it.
    pub fn fail(&self, endpoint: &Arc<Endpoint>, reason: Reason) {
        endpoint.fails[reason as usize].fetch_add(1, Relaxed);
        if endpoint.is_retired() {
            return;
        }
        let state = self.state.lock();
        let now = Instant::now();
        let went_down = endpoint.health.lock().fail(now, reason, &state.config.health);
        if let (Some(WentDown { until }), Some(me)) = (went_down, self.me.upgrade()) {
            self.refresh(&state);
            if let Some(until) = until {
                self.environment.clock.recover_at(&me, endpoint, until);
            }
            self.announce(&state, endpoint, reason.as_str());
        }
    }

    /// Brings `endpoint` back if its time has come.
    pub fn recover(&self, endpoint: &Arc<Endpoint>, now: Instant) {
        let state = self.state.lock();
        if endpoint.health.lock().recover(now, &state.config.health) {
            self.came_up(&state, endpoint, "fail timeout passed");
            self.refresh(&state);
        }
    }

    /// Notes the outcome of a probe of `endpoint`.
    pub fn probed(&self, endpoint: &Arc<Endpoint>, outcome: Result<(), Reason>) {
        let state = self.state.lock();
        let turned = endpoint.health.lock().probed(Instant::now(), outcome, &state.config.health);
        match (turned, outcome) {
            (Some(true), _) => self.came_up(&state, endpoint, "probes pass"),
            (Some(false), Err(reason)) => self.announce(&state, endpoint, reason.as_str()),
            (Some(false), Ok(())) | (None, _) => return,
        }
        self.refresh(&state);
    }

    /// Says which endpoints are to be probed, if there are any or were before.
    fn set_probes(&self, state: &State, were_any: bool) {
        let Some(active) = state.config.health.active.clone().map(Arc::new) else {
            if were_any {
                self.environment.probers.set(self.me.clone(), Vec::new());
            }
            return;
        };
        let target = |Member { origin, endpoint }: &Member| {
            (ProbeTarget::new(origin, &endpoint.address, &active), endpoint.clone())
        };
        let targets = state.members.active.iter().map(target).collect();
        self.environment.probers.set(self.me.clone(), targets);
    }

    /// Whether an endpoint that takes requests may yet come up for one that has tried these: one of the others, or one of
    /// a pool that has none.
    #[must_use]
    pub fn may_recover(&self, tried: &Tried) -> bool {
        let state = self.state.lock();
        let mut takers = state.members.active.iter().filter(|member| member.origin.takes_requests()).peekable();
        takers.peek().is_none() || takers.any(|member| !tried.contains(member.endpoint.id))
    }

    /// Retires every endpoint, as the pool is gone. Requests that still read an older table can choose them.
    pub fn retire(&self) {
        let state = self.state.lock();
        state.members.active.iter().for_each(|member| member.endpoint.set_retired(true));
        if state.config.health.active.is_some() {
            self.environment.probers.set(self.me.clone(), Vec::new());
        }
    }

    /// Calls `read` with the members, active ones and then draining ones.
    pub fn with_members<R>(&self, read: impl FnOnce(&[Member], &[Member]) -> R) -> R {
        let mut state = self.state.lock();
        state.members.prune();
        read(&state.members.active, &state.members.draining)
    }

    /// A copy of all members, active ones and then draining ones: who looks at each of them at leisure
    /// must not hold the lock that failing requests take.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        self.with_members(|active, draining| active.iter().chain(draining).cloned().collect())
    }

    /// Counts of endpoints that are gone, by Backend.
    #[must_use]
    pub fn past(&self) -> BTreeMap<ResourceName, Totals> {
        self.state.lock().members.past.clone()
    }

    /// Requests that ever entered the pool.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.shards.sum(|s| s.requests.get())
    }

    /// Makes what changed known, to those that choose and to those that wait.
    fn refresh(&self, state: &State) {
        for Member { origin, endpoint } in &state.members.active {
            endpoint.in_flight.set_capacity(origin.backend.capacity);
        }
        let view = Arc::new(View::build(&state.config, &state.members.active));
        self.gate.open(view.open(), || self.view.store(view));
    }

    /// An endpoint takes requests again, of which it gets few at first (C6).
    fn came_up(&self, state: &State, endpoint: &Arc<Endpoint>, reason: &'static str) {
        *endpoint.came_up.lock() = Some(Instant::now());
        self.announce(state, endpoint, reason);
    }

    /// Tells whether the endpoint is up, if that is news. Of one that a person has taken out, or that has left, there is
    /// none, whatever probes and running requests find out (H7).
    fn announce(&self, state: &State, endpoint: &Arc<Endpoint>, reason: &'static str) {
        let up = endpoint.is_up();
        if !state.members.is_enabled(endpoint.id) || !endpoint.turns(up) {
            return;
        }
        endpoint.changed_state();
        let transition = Transition { pool: self.name.clone(), endpoint: endpoint.clone(), up, reason };
        self.environment.transitions.publish(transition);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use super::*;

    pub(crate) fn targets(weights: &[u32]) -> Vec<Target> {
        let target = |(i, weight): (usize, &u32)| {
            let port = 1_000 + u16::try_from(i).unwrap();
            let address = model::EndpointAddress::from(SocketAddr::from(([127, 0, 0, 1], port)));
            let backend = model::Backend {
                name: format!("a/b{i:03}").parse().unwrap(),
                pool: "a/pool".parse().unwrap(),
                address: model::Address::Fixed(address.clone()),
                weight: *weight,
                enabled: true,
                labels: Default::default(),
                score: 0,
                role: model::Role::default(),
                capacity: 0,
                protocol: Default::default(),
                proxy_protocol: None,
                tls: None,
            };
            Target::new(Arc::new(backend), address)
        };
        weights.iter().enumerate().map(target).collect()
    }

    /// Those of [`targets`].
    pub(crate) fn members(weights: &[u32]) -> Vec<Member> {
        let member = |Target { origin, address }| {
            let endpoint = Endpoint::new(origin.backend.name.clone(), address, 1, Arc::default());
            Member { origin, endpoint: Arc::new(endpoint) }
        };
        targets(weights).into_iter().map(member).collect()
    }

    struct Fixture {
        pool: Arc<PoolRuntime>,
        events: tokio::sync::mpsc::UnboundedReceiver<Transition>,
        _clock: tokio::task::JoinHandle<()>,
    }

    fn fixture(change: impl FnOnce(&mut model::Pool)) -> Fixture {
        let (clock, task) = HealthClock::new();
        let (transitions, events) = TransitionSink::new();
        let mut config = model::Pool::new("a/pool".parse().unwrap());
        change(&mut config);
        let pool =
            PoolRuntime::new(Arc::new(config), Environment { clock, transitions, ..Environment::without_tasks(1) });
        pool.set_members(targets(&[1, 1, 1, 1]));
        Fixture { pool, events, _clock: tokio::spawn(task.run()) }
    }

    fn eject(pool: &PoolRuntime, index: usize) -> Arc<Endpoint> {
        let endpoint = pool.with_members(|active, _| active[index].endpoint.clone());
        (0..3).for_each(|_| pool.fail(&endpoint, Reason::ConnectFailure));
        endpoint
    }

    #[tokio::test(start_paused = true)]
    async fn h7_an_ejection_and_a_return_are_one_event_each() {
        let mut f = fixture(|_| ());
        let endpoint = eject(&f.pool, 0);
        assert_eq!(f.pool.view.load().candidates().count(), 3);
        assert!(!f.events.recv().await.unwrap().up);
        let began = Instant::now();
        assert!(f.events.recv().await.unwrap().up);
        assert_eq!(began.elapsed().as_secs(), 60);
        assert_eq!(f.pool.view.load().candidates().count(), 4);
        assert_eq!(endpoint.transitions.down.load(Relaxed), 1);
        assert_eq!(endpoint.transitions.up.load(Relaxed), 1);
        assert!(f.events.try_recv().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn h8_rule_9_with_too_few_up_it_balances_over_all() {
        let f = fixture(|config| config.health.panic_threshold = 50);
        eject(&f.pool, 0);
        eject(&f.pool, 1);
        let half = f.pool.view.load_full();
        assert!(!half.panic && half.candidates().count() == 2);
        eject(&f.pool, 2);
        let quarter = f.pool.view.load_full();
        assert!(quarter.panic && quarter.candidates().count() == 4);
    }

    #[tokio::test(start_paused = true)]
    async fn h6_a_disabled_endpoint_is_not_brought_back_by_time_and_enabling_zeroes_it() {
        let f = fixture(|_| ());
        let endpoint = eject(&f.pool, 0);
        enable(&f.pool, false);
        tokio::time::sleep(Duration::from_hours(1)).await;
        assert_eq!(f.pool.view.load().candidates().count(), 3);
        f.pool.fail(&endpoint, Reason::Reset);
        enable(&f.pool, true);
        assert_eq!(f.pool.view.load().candidates().count(), 4);
        assert_eq!(endpoint.health.lock().fails(), 0);
    }

    fn enable(pool: &PoolRuntime, enabled: bool) {
        let mut all = targets(&[1, 1, 1, 1]);
        Arc::make_mut(&mut all[0].origin.backend).enabled = enabled;
        pool.set_members(all);
    }

    #[tokio::test(start_paused = true)]
    async fn h7_what_probes_and_requests_find_out_about_a_disabled_endpoint_is_no_event_until_it_is_enabled() {
        let active = model::ActiveHealth {
            probe: model::Probe::Tcp,
            mode: model::HealthMode::Lazy,
            interval: Duration::from_secs(2),
            timeout: Duration::from_secs(1),
            healthy_threshold: 1,
            unhealthy_threshold: 1,
        };
        let mut f = fixture(|config| config.health.active = Some(active));
        let endpoint = f.pool.with_members(|active, _| active[0].endpoint.clone());
        enable(&f.pool, false);
        for outcome in [Err(Reason::Timeout), Ok(()), Err(Reason::ConnectFailure)] {
            f.pool.probed(&endpoint, outcome);
        }
        eject(&f.pool, 0);
        assert!(f.events.try_recv().is_err(), "a person's word hides them all");
        enable(&f.pool, true);
        let told = f.events.try_recv().unwrap();
        assert_eq!((told.up, told.reason), (false, "connect_failure"), "it is down, which nobody knew");
        enable(&f.pool, false);
        f.pool.probed(&endpoint, Ok(()));
        assert!(f.events.try_recv().is_err());
        enable(&f.pool, true);
        let told = f.events.try_recv().unwrap();
        assert_eq!((told.up, told.reason), (true, "enabled by hand"));
        enable(&f.pool, false);
        enable(&f.pool, true);
        assert!(f.events.try_recv().is_err(), "it was up all the time");
        let transitions = [&endpoint.transitions.down, &endpoint.transitions.up];
        assert_eq!(transitions.map(|count| count.load(Relaxed)), [1, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn h7_an_endpoint_that_left_has_no_events_and_one_that_returns_is_as_it_is_by_then() {
        let mut f = fixture(|_| ());
        let endpoint = eject(&f.pool, 0);
        assert!(!f.events.recv().await.unwrap().up);
        let _running = crate::pool::InFlight::start(endpoint.clone(), 0);
        f.pool.set_members(Vec::new());
        tokio::time::sleep(Duration::from_hours(1)).await;
        assert!(endpoint.is_up() && f.events.try_recv().is_err());
        f.pool.set_members(targets(&[1, 1, 1, 1]));
        let told = f.events.try_recv().unwrap();
        assert_eq!((told.up, told.reason), (true, "in the pool again"));
    }

    #[tokio::test(start_paused = true)]
    async fn c5_an_endpoint_that_returns_follows_the_settings_that_changed_meanwhile() {
        let f = fixture(|_| ());
        let endpoint = eject(&f.pool, 0);
        let _running = crate::pool::InFlight::start(endpoint.clone(), 0);
        f.pool.set_members(Vec::new());
        let mut config = model::Pool::new("a/pool".parse().unwrap());
        config.health.passive.max_fails = 0;
        f.pool.configure(Arc::new(config));
        assert!(!endpoint.is_up());
        f.pool.set_members(targets(&[1, 1, 1, 1]));
        assert!(endpoint.is_up(), "nothing keeps it out any more");
    }

    #[tokio::test(start_paused = true)]
    async fn c5_a_new_configuration_keeps_health_and_position() {
        let f = fixture(|_| ());
        eject(&f.pool, 0);
        f.pool.cursor.store(7, Relaxed);
        let mut config = model::Pool::new("a/pool".parse().unwrap());
        config.balance = model::Balance::Random;
        f.pool.configure(Arc::new(config));
        assert_eq!(f.pool.view.load().candidates().count(), 3);
        assert_eq!(f.pool.cursor.load(Relaxed), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn c1_weight_0_gets_nothing() {
        let f = fixture(|_| ());
        f.pool.set_members(targets(&[1, 0]));
        assert_eq!(f.pool.view.load().candidates().count(), 1);
    }
}
