//! What the control plane is told about this proxy's endpoints.
//!
//! Level, not edge: each endpoint's newest state is kept here, and which of them each stream has not sent
//! yet. A stream that is slow costs little memory, and one that comes back finds the truth.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use weir_proto::model::{EndpointAddress, Key, ResourceName};
use weir_proto::pb;

use crate::health::Transition;
use crate::pool::Member;
use crate::pool::status::{EndpointState, Status};
use crate::reason::Reason;
use crate::table::Table;

/// Entries of one message: far below the message limit of 4 MiB, whatever the names.
const CHUNK: usize = 2_000;

/// Written by the control loop, read by one [`Reader`] a stream; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Reports(Arc<Mutex<State>>);

/// One stream's place in the reports; the first is a full one.
#[derive(Debug)]
pub struct Reader {
    id: u64,
    reports: Reports,
    due: Arc<Notify>,
}

/// What one stream has not sent yet.
#[derive(Debug)]
struct Unsent {
    /// Of the known ones, and of those that are gone; sorted, so that reports are.
    endpoints: BTreeSet<Endpoint>,
    /// The next report replaces all before.
    full: bool,
    due: Arc<Notify>,
}

/// Backend and address.
type Endpoint = (ResourceName, EndpointAddress);

#[derive(Debug, Default)]
struct State {
    known: HashMap<Endpoint, Known>,
    /// The endpoints that a pool had when it was last looked at.
    by_pool: HashMap<ResourceName, Vec<Endpoint>>,
    /// Pools to be looked at again, as they had endpoints then that were not done.
    draining: BTreeSet<ResourceName>,
    next_reader: u64,
    readers: BTreeMap<u64, Unsent>,
}

/// What is known of an endpoint: one reading a pool. A Backend that moved may drain in one and serve in another.
#[derive(Debug, Default)]
struct Known(Vec<(ResourceName, Reading)>);

impl Known {
    /// What it does for the pool that it serves counts.
    fn reading(&self) -> Option<Reading> {
        let serves = |(_, reading): &&(ResourceName, Reading)| !reading.state.is_gone();
        self.0.iter().find(serves).or(self.0.first()).map(|(_, reading)| *reading)
    }

    fn set(&mut self, pool: &ResourceName, reading: Option<Reading>) {
        self.0.retain(|(known, _)| known != pool);
        self.0.extend(reading.map(|reading| (pool.clone(), reading)));
    }
}

/// What the wire carries of an endpoint's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reading {
    state: EndpointState,
    since_ms: u64,
    fails: u32,
    last_failure: Option<Reason>,
    /// Of one that drains, how many requests it has left.
    left: u32,
}

impl From<Status> for Reading {
    fn from(status: Status) -> Self {
        let Status { state, since, fails, last_failure, left } = status;
        let since_ms = since.as_millisecond().try_into().unwrap_or_default();
        let left = if matches!(state, EndpointState::Draining(_)) { left } else { 0 };
        Self { state, since_ms, fails, last_failure: last_failure.map(|(_, reason)| reason), left }
    }
}

impl Reports {
    /// Notes every endpoint that `pools` have in `table`, and which are gone.
    pub fn refresh<'a>(&self, table: &Table, pools: impl IntoIterator<Item = &'a ResourceName>) {
        self.update(|state| {
            for name in pools {
                let members = table.pools.get(name).map(|pool| pool.runtime.members());
                state.replace(name, &members.unwrap_or_default());
            }
        });
    }

    /// Notes the new state of one endpoint.
    pub fn note(&self, transition: &Transition, table: &Table) {
        let Some(pool) = table.pools.get(&transition.pool) else { return };
        if let Some(member) = pool.runtime.members().into_iter().find(|m| m.endpoint.id == transition.endpoint.id) {
            self.update(|state| _ = state.put(&transition.pool, &id(&member), Some(member.status().into())));
        }
    }

    /// Whether an endpoint drains: nobody tells when a request of it ends, so someone must look again.
    #[must_use]
    pub fn draining(&self) -> bool {
        !self.0.lock().draining.is_empty()
    }

    /// Looks again at the pools with endpoints that drain, until nothing is left of what they had.
    pub fn check_draining(&self, table: &Table) {
        let pools = self.0.lock().draining.clone();
        self.refresh(table, &pools);
    }

    /// A place of its own for a new stream.
    #[must_use]
    pub fn reader(&self) -> Reader {
        let due = Arc::new(Notify::new());
        let mut state = self.0.lock();
        let id = state.next_reader;
        state.next_reader += 1;
        let unsent = Unsent { endpoints: state.known.keys().cloned().collect(), full: true, due: due.clone() };
        state.readers.insert(id, unsent);
        Reader { id, reports: self.clone(), due }
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.0.lock();
        change(&mut state);
        state.readers.values().filter(|unsent| unsent.is_due()).for_each(|unsent| unsent.due.notify_one());
    }
}

impl Reader {
    /// Waits until there is something to send.
    pub async fn changed(&self) {
        while !self.is_due() {
            self.due.notified().await;
        }
    }

    fn is_due(&self) -> bool {
        self.reports.0.lock().readers.get(&self.id).is_some_and(Unsent::is_due)
    }

    /// The next report: what changed since the last one, at most [`CHUNK`] entries of it.
    #[must_use]
    pub fn take(&self) -> pb::Report {
        let mut state = self.reports.0.lock();
        let State { known, readers, .. } = &mut *state;
        readers.get_mut(&self.id).map(|unsent| unsent.take(known)).unwrap_or_default()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.reports.0.lock().readers.remove(&self.id);
    }
}

impl State {
    /// Notes what an endpoint does for a pool; `None` = it has gone from it. True if this is something new.
    fn put(&mut self, pool: &ResourceName, endpoint: &Endpoint, reading: Option<Reading>) -> bool {
        let known = self.known.entry(endpoint.clone()).or_default();
        let before = known.reading();
        known.set(pool, reading);
        let now = known.reading();
        if now.is_none() {
            self.known.remove(endpoint);
        }
        if now != before {
            for unsent in self.readers.values_mut() {
                unsent.endpoints.insert(endpoint.clone());
            }
        }
        now != before
    }

    /// Notes all members that a pool has.
    fn replace(&mut self, pool: &ResourceName, members: &[Member]) {
        let before = self.by_pool.remove(pool).unwrap_or_default();
        let mut readings: BTreeMap<Endpoint, Reading> = BTreeMap::new();
        // The pool's own order is that active members go first.
        for member in members {
            readings.entry(id(member)).or_insert_with(|| member.status().into());
        }
        for gone in before.iter().filter(|endpoint| !readings.contains_key(endpoint)) {
            self.put(pool, gone, None);
        }
        let mut drains = false;
        for (endpoint, reading) in &readings {
            let is_new = self.put(pool, endpoint, Some(*reading));
            // A request that chose it before it was taken out may only now begin: one of nothing left is looked at twice.
            drains |= reading.state.finishes() && (is_new || reading.left > 0);
        }
        if drains {
            self.draining.insert(pool.clone());
        } else {
            self.draining.remove(pool);
        }
        if !readings.is_empty() {
            self.by_pool.insert(pool.clone(), readings.into_keys().collect());
        }
    }
}

impl Unsent {
    fn is_due(&self) -> bool {
        self.full || !self.endpoints.is_empty()
    }

    fn take(&mut self, known: &HashMap<Endpoint, Known>) -> pb::Report {
        let rest = self.endpoints.iter().nth(CHUNK).cloned();
        let rest = rest.map(|first| self.endpoints.split_off(&first)).unwrap_or_default();
        let due = std::mem::replace(&mut self.endpoints, rest);
        let report = |endpoint: &Endpoint| match known.get(endpoint).and_then(Known::reading) {
            Some(reading) => report(endpoint, reading),
            None => gone(endpoint),
        };
        pb::Report { endpoints: due.iter().map(report).collect(), full: std::mem::take(&mut self.full) }
    }
}

fn id(member: &Member) -> Endpoint {
    (member.endpoint.backend.clone(), member.endpoint.address.clone())
}

fn report(endpoint: &Endpoint, reading: Reading) -> pb::EndpointReport {
    let Reading { state, since_ms, fails, last_failure, left } = reading;
    pb::EndpointReport {
        backend: Some(key(endpoint)),
        address: endpoint.1.to_string(),
        state: wire_state(state).into(),
        since_ms,
        fails,
        last_failure: last_failure.map(|reason| reason.as_str().to_owned()).unwrap_or_default(),
        left,
    }
}

fn gone(endpoint: &Endpoint) -> pb::EndpointReport {
    pb::EndpointReport {
        backend: Some(key(endpoint)),
        address: endpoint.1.to_string(),
        state: pb::EndpointState::Gone.into(),
        ..pb::EndpointReport::default()
    }
}

fn key(endpoint: &Endpoint) -> pb::Key {
    (&Key::backend(endpoint.0.clone())).into()
}

fn wire_state(state: EndpointState) -> pb::EndpointState {
    match state {
        EndpointState::Up => pb::EndpointState::Up,
        EndpointState::Ejected => pb::EndpointState::Ejected,
        EndpointState::Down => pb::EndpointState::Down,
        EndpointState::Disabled => pb::EndpointState::Disabled,
        EndpointState::Draining(_) => pb::EndpointState::Draining,
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::UnboundedReceiver;
    use weir_proto::model::Pool as Config;

    use super::*;
    use crate::health::TransitionSink;
    use crate::pool::runtime::Environment;
    use crate::pool::runtime::tests::targets;
    use crate::pool::{InFlight, Pool, PoolRuntime};

    struct Fixture {
        table: Table,
        transitions: UnboundedReceiver<Transition>,
        reports: Reports,
        reader: Reader,
    }

    impl Fixture {
        fn new(name: &str, weights: &[u32]) -> Self {
            let (transitions, receiver) = TransitionSink::new();
            let environment = Environment { transitions, ..Environment::without_tasks(1) };
            let config = Arc::new(Config::new(name.parse().unwrap()));
            let runtime = PoolRuntime::new(config.clone(), environment);
            runtime.set_members(targets(weights));
            let table =
                Table { pools: [Arc::new(Pool::new(config, runtime))].into_iter().collect(), ..Table::default() };
            let reports = Reports::default();
            let reader = reports.reader();
            assert!(reader.take().full);
            Self { table, transitions: receiver, reports, reader }
        }

        fn runtime(&self) -> &PoolRuntime {
            &self.table.pools.at(0).unwrap().runtime
        }

        fn refresh(&self) {
            self.reports.refresh(&self.table, [&self.runtime().name]);
        }

        /// Names and states of the next report, and whether it is full.
        fn next(&self) -> (bool, Vec<(String, pb::EndpointState)>) {
            let report = self.reader.take();
            let line = |e: pb::EndpointReport| (e.backend.clone().unwrap().name, e.state());
            (report.full, report.endpoints.into_iter().map(line).collect())
        }

        /// Of the one endpoint of the next report, its state and what it has left.
        fn next_left(&self) -> (pb::EndpointState, u32) {
            let report = self.reader.take();
            assert_eq!(report.endpoints.len(), 1);
            (report.endpoints[0].state(), report.endpoints[0].left)
        }
    }

    #[test]
    fn t2_a_stream_begins_with_a_full_report_and_then_gets_changes_only() {
        let mut f = Fixture::new("a/pool", &[1, 1]);
        f.refresh();
        f.reader = f.reports.reader();
        let up = pb::EndpointState::Up;
        assert_eq!(f.next(), (true, vec![("b000".into(), up), ("b001".into(), up)]));
        let endpoint = f.runtime().members()[1].endpoint.clone();
        (0..3).for_each(|_| f.runtime().fail(&endpoint, Reason::Reset));
        f.reports.note(&f.transitions.try_recv().unwrap(), &f.table);
        let report = f.reader.take();
        assert_eq!((report.full, report.endpoints.len()), (false, 1));
        let entry = &report.endpoints[0];
        assert_eq!((entry.state(), entry.fails, entry.last_failure.as_str()), (pb::EndpointState::Ejected, 3, "reset"));
        assert!(entry.since_ms > 0);
    }

    #[test]
    fn an_equal_table_has_nothing_to_report() {
        let f = Fixture::new("a/pool", &[1]);
        f.runtime().fail(&f.runtime().members()[0].endpoint, Reason::Reset);
        f.refresh();
        assert_eq!(f.next().1.len(), 1);
        f.refresh();
        assert_eq!(f.next(), (false, vec![]));
    }

    #[test]
    fn s6_a_removed_endpoint_is_draining_and_then_gone() {
        let f = Fixture::new("a/pool", &[1, 1]);
        f.refresh();
        let _ = f.next();
        let running = InFlight::start(f.runtime().members()[1].endpoint.clone(), 0);
        f.runtime().set_members(targets(&[1]));
        f.refresh();
        assert!(f.reports.draining());
        assert_eq!(f.next().1, [("b001".into(), pb::EndpointState::Draining)]);
        drop(running);
        f.refresh();
        assert!(!f.reports.draining());
        assert_eq!(f.next().1, [("b001".into(), pb::EndpointState::Gone)]);
    }

    #[test]
    fn s6_of_a_disabled_endpoint_or_one_of_weight_0_the_count_left_is_told_until_it_is_0() {
        let draining = pb::EndpointState::Draining;
        for (enabled, weight, last) in [(false, 1, pb::EndpointState::Disabled), (true, 0, draining)] {
            let f = Fixture::new("a/pool", &[1]);
            let endpoint = f.runtime().members()[0].endpoint.clone();
            let [one, two] = [0, 0].map(|worker| InFlight::start(endpoint.clone(), worker));
            let mut targets = targets(&[weight]);
            Arc::make_mut(&mut targets[0].origin.backend).enabled = enabled;
            f.runtime().set_members(targets);
            f.refresh();
            assert_eq!(f.next_left(), (draining, 2));
            drop(one);
            f.reports.check_draining(&f.table);
            assert_eq!(f.next_left(), (draining, 1));
            drop(two);
            f.reports.check_draining(&f.table);
            assert_eq!(f.next_left(), (last, 0));
            assert!(f.reports.draining(), "looked at once more");
            f.reports.check_draining(&f.table);
            assert!(!f.reports.draining() && f.next().1.is_empty());
        }
    }

    #[test]
    fn s6_a_request_that_begins_just_after_its_endpoint_was_disabled_is_told_too() {
        let f = Fixture::new("a/pool", &[1]);
        let endpoint = f.runtime().members()[0].endpoint.clone();
        let mut targets = targets(&[1]);
        Arc::make_mut(&mut targets[0].origin.backend).enabled = false;
        f.runtime().set_members(targets);
        f.refresh();
        assert_eq!(f.next_left(), (pb::EndpointState::Disabled, 0));
        let _late = InFlight::start(endpoint, 0);
        f.reports.check_draining(&f.table);
        assert_eq!(f.next_left(), (pb::EndpointState::Draining, 1));
    }

    #[test]
    fn a_backend_that_drains_in_one_pool_and_serves_in_another_is_up() {
        let (f, other) = (Fixture::new("a/pool", &[1]), Fixture::new("a/zoo", &[]));
        let names = [&f, &other].map(|f| f.runtime().name.clone());
        let running = InFlight::start(f.runtime().members()[0].endpoint.clone(), 0);
        f.refresh();
        let _ = f.next();
        f.runtime().set_members(vec![]);
        other.runtime().set_members(targets(&[1]));
        let pools = [&f, &other].iter().flat_map(|f| f.table.pools.iter().cloned()).collect();
        let table = Table { pools, ..Table::default() };
        for _ in 0..2 {
            f.reports.refresh(&table, &names);
            assert!(f.next().1.iter().all(|(_, state)| *state == pb::EndpointState::Up));
        }
        drop(running);
        f.reports.check_draining(&table);
        assert_eq!(f.next().1, []);
    }

    #[test]
    fn a_large_report_is_cut_and_only_its_first_part_is_full() {
        let f = Fixture::new("a/pool", &vec![1; CHUNK + 1]);
        f.refresh();
        let reader = f.reports.reader();
        let (first, second) = (reader.take(), reader.take());
        assert_eq!((first.full, first.endpoints.len()), (true, CHUNK));
        assert_eq!((second.full, second.endpoints.len()), (false, 1));
    }

    #[test]
    fn t2_each_stream_is_told_each_change_and_one_that_is_slow_the_newest_of_all() {
        let f = Fixture::new("a/pool", &[1]);
        let slow = f.reports.reader();
        f.refresh();
        assert_eq!(f.next(), (false, vec![("b000".into(), pb::EndpointState::Up)]));
        f.runtime().set_members(vec![]);
        f.refresh();
        assert_eq!(f.next(), (false, vec![("b000".into(), pb::EndpointState::Gone)]));
        let report = slow.take();
        assert_eq!((report.full, report.endpoints.len()), (true, 1));
        assert_eq!(report.endpoints[0].state(), pb::EndpointState::Gone);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_change_is_woken() {
        let f = Fixture::new("a/pool", &[1]);
        let reader = f.reports.reader();
        assert!(reader.take().full);
        let waiting = tokio::spawn(async move { reader.changed().await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        f.refresh();
        waiting.await.unwrap();
    }
}
