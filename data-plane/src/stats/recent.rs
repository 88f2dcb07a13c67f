//! Rates and latencies of the last moments and minutes, for people. Made by looking at the counters each second on the
//! control thread: a request pays nothing for it, and a pool without requests costs one look and no memory.

mod history;
mod track;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use weir_proto::model::ResourceName;

use super::ProcessStats;
use super::histogram::Counts;
use crate::pool::totals::Totals;
use crate::pool::{EndpointId, PoolRuntime};
use crate::table::{Table, TableHandle};

pub use history::History;
pub use track::Pace;
use track::{Mark, Track, Window};

/// How often the counters are looked at.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);
const SERVER_ERRORS: usize = 4;

/// What went on lately; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Recent(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    all: Track,
    /// Pools that had requests lately.
    pools: HashMap<ResourceName, PoolTrack>,
}

#[derive(Debug, Default)]
struct PoolTrack {
    track: Track,
    endpoints: HashMap<EndpointId, Window<u64>>,
}

impl Recent {
    /// Looks at the counters each second, until `stop`.
    pub async fn run(self, table: TableHandle, stats: Arc<ProcessStats>, stop: CancellationToken) {
        let mut seconds = interval(LOOK_EVERY);
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let looks = async {
            loop {
                seconds.tick().await;
                self.look(&table.load_full(), &stats, Instant::now());
            }
        };
        stop.run_until_cancelled(looks).await;
    }

    /// Looks at the counters once.
    pub fn look(&self, table: &Table, stats: &ProcessStats, now: Instant) {
        let mut state = self.0.lock();
        let State { all, pools } = &mut *state;
        let mut sum = unrouted(stats);
        for runtime in table.pools.iter().map(|pool| &pool.runtime) {
            let mark = match pools.get_mut(&runtime.name) {
                Some(track) => track.look(runtime, now),
                None if runtime.requests() == 0 => continue,
                None => pools.entry(runtime.name.clone()).or_default().look(runtime, now),
            };
            sum.add(&mark);
        }
        all.note(now, sum, true);
        pools.retain(|name, _| table.pools.get(name).is_some());
    }

    /// The pace of all pools together.
    #[must_use]
    pub fn all(&self) -> (Pace, History) {
        let state = self.0.lock();
        (state.all.pace(), state.all.history().clone())
    }

    /// The pace of one pool; `None` if it never had a request.
    #[must_use]
    pub fn pool(&self, name: &ResourceName) -> Option<PoolPace> {
        let state = self.0.lock();
        let PoolTrack { track, endpoints } = state.pools.get(name)?;
        let endpoints = endpoints.iter().map(|(id, window)| (*id, window.rate())).collect();
        Some(PoolPace { pace: track.pace(), history: track.history().clone(), endpoints })
    }
}

/// What went on lately in one pool.
#[derive(Debug, Default)]
pub struct PoolPace {
    /// In the last moments.
    pub pace: Pace,
    /// In the last minutes.
    pub history: History,
    /// Requests per second to each endpoint.
    pub endpoints: HashMap<EndpointId, f64>,
}

impl PoolTrack {
    /// Notes the pool's counters, and gives them.
    fn look(&mut self, runtime: &PoolRuntime, now: Instant) -> Mark {
        let (requests, busy) = (runtime.requests(), runtime.in_flight.current() > 0);
        if let Some(mark) = self.track.at_rest(requests).filter(|_| !busy) {
            self.track.note(now, mark.clone(), false);
            return mark;
        }
        let mark = Mark { requests, errors: errors(runtime), latency: latency(runtime) };
        self.track.note(now, mark.clone(), busy);
        let members = runtime.members();
        self.endpoints.retain(|id, _| members.iter().any(|member| member.endpoint.id == *id));
        for endpoint in members.iter().map(|member| &member.endpoint) {
            self.endpoints.entry(endpoint.id).or_default().push(now, endpoint.requests());
        }
        mark
    }
}

/// Requests that no pool took: an error each, as somebody expects an answer there.
fn unrouted(stats: &ProcessStats) -> Mark {
    let count = |class: usize| stats.unrouted.sum(|shard| shard.responses[class].get());
    Mark { requests: (0..5).map(count).sum(), errors: count(SERVER_ERRORS), ..Mark::default() }
}

/// Responses that say that a server failed, whoever made them.
fn errors(runtime: &PoolRuntime) -> u64 {
    let mut totals = runtime.past().into_values().fold(Totals::default(), Totals::and);
    runtime.members().iter().for_each(|member| totals.add(&member.endpoint));
    totals.responses[SERVER_ERRORS] + runtime.shards.sum(|shard| shard.local_responses[SERVER_ERRORS].get())
}

fn latency(runtime: &PoolRuntime) -> Counts {
    let mut counts = Counts::default();
    runtime.shards.iter().for_each(|shard| shard.request_duration.add_to(&mut counts));
    counts
}

#[cfg(test)]
mod tests {
    use weir_proto::model;

    use super::*;
    use crate::pool::runtime::Environment;
    use crate::pool::runtime::tests::targets;
    use crate::pool::{InFlight, Pool};

    struct Fixture {
        recent: Recent,
        table: Table,
        stats: ProcessStats,
        now: Instant,
    }

    fn start() -> Fixture {
        let config = Arc::new(model::Pool::new("a/web".parse().unwrap()));
        let runtime = PoolRuntime::new(config.clone(), Environment::without_tasks(1));
        runtime.set_members(targets(&[1]));
        let table =
            Table { pools: [Arc::new(Pool::new(config, runtime))].into_iter().collect(), listeners: Vec::new() };
        Fixture { recent: Recent::default(), table, stats: ProcessStats::new(&[], 1), now: Instant::now() }
    }

    impl Fixture {
        fn runtime(&self) -> Arc<PoolRuntime> {
            self.table.pools.iter().next().unwrap().runtime.clone()
        }

        /// A second in which the pool had so many requests, each of 20 ms, one of them an error.
        fn second(&mut self, requests: u64) {
            let (runtime, endpoint) = (self.runtime(), self.runtime().members()[0].endpoint.clone());
            let shard = runtime.shards.of(0);
            shard.requests.add(requests);
            (0..requests).for_each(|_| shard.request_duration.observe(Duration::from_millis(20)));
            shard.local_responses[SERVER_ERRORS].add(requests.min(1));
            (0..requests).for_each(|_| drop(InFlight::start(endpoint.clone(), 0)));
            self.now += LOOK_EVERY;
            self.recent.look(&self.table, &self.stats, self.now);
        }

        fn pace(&self) -> PoolPace {
            self.recent.pool(&"a/web".parse().unwrap()).unwrap()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn t2_rates_are_those_of_the_last_seconds() {
        let mut f = start();
        f.second(0);
        assert!(f.recent.pool(&"a/web".parse().unwrap()).is_none(), "no request, no memory");
        (0..20).for_each(|_| f.second(30));
        let pace = f.pace();
        assert_eq!((pace.pace.requests, pace.pace.errors), (30.0, 1.0));
        assert_eq!(pace.pace.p50, Some(Duration::from_micros(17_500)));
        assert_eq!(pace.endpoints.values().copied().collect::<Vec<_>>(), [30.0]);
        assert_eq!(f.recent.all().0.requests, 30.0);
    }

    #[tokio::test(start_paused = true)]
    async fn t2_a_pool_at_rest_comes_to_nothing_and_its_history_moves_on() {
        let mut f = start();
        (0..20).for_each(|_| f.second(30));
        (0..20).for_each(|_| f.second(0));
        let pace = f.pace();
        assert_eq!((pace.pace.requests, pace.pace.p99), (0.0, None));
        let requests: Vec<u64> = pace.history.points().map(|point| point.requests).collect();
        assert_eq!(requests[requests.len() - 4..], [0, 0, 0, 0]);
        assert_eq!(requests.iter().sum::<u64>(), 20 * 30, "all of them");
    }

    #[tokio::test(start_paused = true)]
    async fn t1_a_pool_that_is_gone_is_forgotten() {
        let mut f = start();
        f.second(3);
        f.table.pools.remove(&"a/web".parse().unwrap());
        f.recent.look(&f.table, &f.stats, f.now);
        assert!(f.recent.pool(&"a/web".parse().unwrap()).is_none());
    }
}
