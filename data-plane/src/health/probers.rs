//! Who probes what: one prober for equal targets, whatever pools they are in (H4).
//!
//! All probers run on a thread of their own, each a task with a rhythm of its own: neither traffic nor tables nor a slow
//! endpoint delay a probe. Pools tell what they want probed, and are told each outcome.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Duration;

use hashbrown::HashMap;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::mpsc;
use tokio::task::spawn_local;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};
use tokio_util::task::AbortOnDropHandle;
use weir_proto::model::{HealthMode, ResourceName};

use super::beat::Beat;
use super::probe::{ProbeTarget, Prober};
use crate::http::failure::Failure;
use crate::pool::{Endpoint, EndpointId, PoolRuntime};
use crate::reason::Reason;

/// First probes of endpoints that wait for them are spread over this time, or the interval if it is shorter.
const FIRST_PROBES: Duration = Duration::from_millis(250);

/// Where pools say what they want probed; cheap to clone.
#[derive(Debug, Clone)]
pub struct Probers(mpsc::UnboundedSender<Wanted>);

/// The task behind [`Probers`].
#[derive(Debug)]
pub struct ProbersTask {
    wanted: mpsc::UnboundedReceiver<Wanted>,
    rng: SmallRng,
}

/// What the thread of the probers has.
#[derive(Debug)]
struct Registry {
    /// By the address of the pool's state, which nobody else gets as long as there is a weak pointer to it.
    pools: HashMap<usize, Pool>,
    probers: HashMap<ProbeTarget, Running>,
    beat: Beat,
    rng: SmallRng,
}

/// Everything that one pool wants probed, in place of what it wanted before.
#[derive(Debug)]
struct Wanted {
    pool: Weak<PoolRuntime>,
    endpoints: Vec<(ProbeTarget, Arc<Endpoint>)>,
}

#[derive(Debug)]
struct Pool {
    _state: Weak<PoolRuntime>,
    targets: Vec<ProbeTarget>,
}

#[derive(Debug)]
struct Running {
    subscribers: Rc<Subscribers>,
    _task: AbortOnDropHandle<()>,
}

/// The endpoints of pools that one prober probes for.
#[derive(Debug)]
struct Subscribers {
    mode: HealthMode,
    all: RefCell<Vec<Subscriber>>,
    /// The newest outcome.
    last: Cell<Option<Result<(), Reason>>>,
}

#[derive(Debug)]
struct Subscriber {
    pool: Weak<PoolRuntime>,
    endpoint: Arc<Endpoint>,
    /// Requests that it had at the last look.
    requests: u64,
}

impl Probers {
    /// The handle, and its task, which someone must run.
    #[must_use]
    pub fn new(seed: u64) -> (Self, ProbersTask) {
        let (sender, wanted) = mpsc::unbounded_channel();
        let rng = SmallRng::seed_from_u64(seed);
        (Self(sender), ProbersTask { wanted, rng })
    }

    /// The endpoints that this pool wants probed from now on.
    pub fn set(&self, pool: Weak<PoolRuntime>, endpoints: Vec<(ProbeTarget, Arc<Endpoint>)>) {
        // The task is gone only while the process ends.
        let _ = self.0.send(Wanted { pool, endpoints });
    }
}

impl ProbersTask {
    /// Probes until all [`Probers`] are gone; on a runtime that has local tasks.
    pub async fn run(self) {
        let Self { mut wanted, rng } = self;
        let mut registry = Registry { pools: HashMap::new(), probers: HashMap::new(), beat: Beat::start(), rng };
        while let Some(wanted) = wanted.recv().await {
            registry.take(wanted);
        }
    }
}

impl Registry {
    fn take(&mut self, wanted: Wanted) {
        let Wanted { pool, endpoints } = wanted;
        let number = pool.as_ptr() as usize;
        let before = self.pools.remove(&number).map(|pool| pool.targets).unwrap_or_default();
        let mut known: HashMap<EndpointId, Subscriber> = HashMap::new();
        for target in &before {
            if let Some(running) = self.probers.get(target) {
                known.extend(running.subscribers.leave(&pool));
            }
        }
        let mut targets = Vec::with_capacity(endpoints.len());
        for (target, endpoint) in endpoints {
            let known = known.remove(&endpoint.id);
            let requests = known.as_ref().map_or(0, |subscriber| subscriber.requests);
            let subscriber = Subscriber { pool: pool.clone(), endpoint, requests };
            self.probe(target.clone(), subscriber, known.is_none());
            targets.push(target);
        }
        self.probers.retain(|_, running| !running.subscribers.all.borrow().is_empty());
        if !targets.is_empty() {
            self.pools.insert(number, Pool { _state: pool, targets });
        }
    }

    fn probe(&mut self, target: ProbeTarget, subscriber: Subscriber, is_new: bool) {
        let Self { probers, beat, rng, .. } = self;
        let running = probers.entry(target).or_insert_with_key(|target| {
            let times = Times::of(target.active.interval, *beat, rng);
            Running::start(target.clone(), &subscriber.endpoint.backend, times)
        });
        running.subscribers.join(subscriber, is_new);
    }
}

/// When a prober probes.
#[derive(Debug, Clone, Copy)]
struct Times {
    /// First of all, if somebody waits for it.
    first: Instant,
    /// The beginning of a rhythm that has nothing to do with that of other probers.
    rhythm: Instant,
}

impl Times {
    fn of(interval: Duration, beat: Beat, rng: &mut SmallRng) -> Self {
        let now = Instant::now();
        let mut within = |time: Duration| beat.not_before(now + time.mul_f64(rng.random()));
        Self { first: within(interval.min(FIRST_PROBES)), rhythm: within(interval) }
    }
}

impl Running {
    fn start(target: ProbeTarget, backend: &ResourceName, times: Times) -> Self {
        let subscribers =
            Rc::new(Subscribers { mode: target.active.mode, all: RefCell::default(), last: Cell::new(None) });
        let prober = Prober::new(&target, backend);
        let task = spawn_local(probe_for_ever(prober, target, times, subscribers.clone()));
        Self { subscribers, _task: AbortOnDropHandle::new(task) }
    }
}

async fn probe_for_ever(mut prober: Prober, target: ProbeTarget, times: Times, subscribers: Rc<Subscribers>) {
    if target.active.mode == HealthMode::Paranoid {
        sleep_until(times.first).await;
        probe(&mut prober, &target, &subscribers).await;
    }
    let mut ticks = interval_at(times.rhythm, target.active.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        if subscribers.want() {
            probe(&mut prober, &target, &subscribers).await;
        }
    }
}

async fn probe(prober: &mut Prober, target: &ProbeTarget, subscribers: &Subscribers) {
    match prober.run(target, Instant::now() + target.active.timeout).await {
        Ok(()) => subscribers.tell(Ok(())),
        // Nobody's fault over there.
        Err(Failure::Exhausted) => {}
        Err(failure) => subscribers.tell(Err(failure.reason())),
    }
}

impl Subscribers {
    /// One more. Where there are always probes, a new one need not wait for the next.
    fn join(&self, subscriber: Subscriber, is_new: bool) {
        if let (true, HealthMode::Paranoid, Some(outcome)) = (is_new, self.mode, self.last.get()) {
            subscriber.tell(outcome);
        }
        self.all.borrow_mut().push(subscriber);
    }

    /// Those of this pool, who are no longer among them.
    fn leave(&self, pool: &Weak<PoolRuntime>) -> Vec<(EndpointId, Subscriber)> {
        let mut all = self.all.borrow_mut();
        let gone = all.extract_if(.., |subscriber| subscriber.pool.ptr_eq(pool));
        gone.map(|subscriber| (subscriber.endpoint.id, subscriber)).collect()
    }

    /// Whether one of them is to be probed now (H3).
    fn want(&self) -> bool {
        let mut all = self.all.borrow_mut();
        match self.mode {
            HealthMode::Paranoid => true,
            HealthMode::Lazy => all.iter().any(|subscriber| !subscriber.is_up()),
            // Each of them is looked at, for its count of requests.
            HealthMode::Opportunistic => {
                let wants = |subscriber: &mut Subscriber| subscriber.was_idle() || !subscriber.is_up();
                all.iter_mut().map(wants).max() == Some(true)
            }
        }
    }

    fn tell(&self, outcome: Result<(), Reason>) {
        self.last.set(Some(outcome));
        self.all.borrow().iter().for_each(|subscriber| subscriber.tell(outcome));
    }
}

impl Subscriber {
    fn is_up(&self) -> bool {
        self.endpoint.health.lock().is_up()
    }

    /// Whether there was no request since the last look.
    fn was_idle(&mut self) -> bool {
        let requests = self.endpoint.requests();
        std::mem::replace(&mut self.requests, requests) == requests
    }

    fn tell(&self, outcome: Result<(), Reason>) {
        if let Some(pool) = self.pool.upgrade() {
            pool.probed(&self.endpoint, outcome);
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_proto::model::{ActiveHealth, Pool, Probe};

    use super::*;
    use crate::pool::runtime::Environment;
    use crate::pool::runtime::tests::targets;

    #[test]
    fn h4_a_change_of_members_is_told_once_even_if_some_come_and_others_go() {
        let (probers, mut task) = Probers::new(0);
        let mut config = Pool::new("a/pool".parse().unwrap());
        config.health.active = Some(ActiveHealth {
            probe: Probe::Tcp,
            mode: HealthMode::Lazy,
            interval: Duration::from_secs(2),
            timeout: Duration::from_secs(1),
            healthy_threshold: 1,
            unhealthy_threshold: 1,
        });
        let pool = PoolRuntime::new(Arc::new(config), Environment { probers, ..Environment::without_tasks(1) });
        let mut told =
            || std::iter::from_fn(|| task.wanted.try_recv().ok()).map(|w| w.endpoints.len()).collect::<Vec<_>>();
        assert!(!pool.add_members(targets(&[1, 1, 1])));
        assert_eq!(told(), [3]);
        let exchange = || targets(&[1, 1, 1, 1]).split_off(1);
        assert!(pool.add_members(exchange()));
        pool.set_members(exchange());
        assert_eq!(told(), [3]);
    }
}
