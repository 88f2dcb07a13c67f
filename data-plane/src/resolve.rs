//! DNS: the addresses of the names in use, looked up again when their time to live ends.
//!
//! One task per name, so that a slow name delays no other. An error keeps the last good addresses; a
//! proxy must not lose its backends because a DNS server is down.

pub mod dns;
pub mod tracker;

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

pub use dns::Dns;

use tracker::Tracker;

/// Looks names up.
pub trait Lookup: Clone + Send + Sync + 'static {
    /// One lookup of both families.
    fn lookup(&self, name: &str) -> impl Future<Output = Answer> + Send;
}

/// Answer to one lookup, by family; a family without addresses is an empty answer, not an error.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Records of type A.
    pub v4: Result<Records, String>,
    /// Records of type AAAA.
    pub v6: Result<Records, String>,
}

/// Records of one family.
#[derive(Debug, Clone, Default)]
pub struct Records {
    /// In any order.
    pub addresses: Vec<IpAddr>,
    /// How long they hold; `None` without records.
    pub ttl: Option<Duration>,
}

/// What became of a lookup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// Which name.
    pub name: String,
    /// Its addresses, sorted; `None` if none were ever found.
    pub addresses: Option<Vec<IpAddr>>,
}

/// Keeps the names in use resolved.
#[derive(Debug)]
pub struct Resolver<L> {
    lookup: L,
    names: watch::Receiver<BTreeSet<String>>,
    results: mpsc::Sender<Resolved>,
    tasks: HashMap<String, AbortOnDropHandle<()>>,
    rng: SmallRng,
}

impl<L: Lookup> Resolver<L> {
    /// Resolves `names`, whatever they are at a time, into `results`; `rng` spreads the retries.
    #[must_use]
    pub fn new(
        lookup: L,
        names: watch::Receiver<BTreeSet<String>>,
        results: mpsc::Sender<Resolved>,
        rng: SmallRng,
    ) -> Self {
        Self { lookup, names, results, tasks: HashMap::new(), rng }
    }

    /// Works until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        stop.run_until_cancelled(self.follow()).await;
    }

    async fn follow(&mut self) {
        loop {
            let names = self.names.borrow_and_update().clone();
            self.tasks.retain(|name, _| names.contains(name));
            for name in names {
                self.tasks.entry(name).or_insert_with_key(|name| {
                    let seed = self.rng.next_u64();
                    let task = keep_resolved(self.lookup.clone(), name.clone(), self.results.clone(), seed);
                    AbortOnDropHandle::new(tokio::spawn(task))
                });
            }
            if self.names.changed().await.is_err() {
                return;
            }
        }
    }
}

async fn keep_resolved(lookup: impl Lookup, name: String, results: mpsc::Sender<Resolved>, seed: u64) {
    let mut tracker = Tracker::new(name.clone(), SmallRng::seed_from_u64(seed));
    loop {
        let wait = tracker.take(lookup.lookup(&name).await);
        let resolved = Resolved { name: name.clone(), addresses: tracker.addresses() };
        if results.send(resolved).await.is_err() {
            return;
        }
        tokio::time::sleep(wait).await;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tokio::time::Instant;

    use super::*;

    /// Answers what it was told, for 10 s at a time; fails for other names. Counts.
    #[derive(Debug, Clone, Default)]
    struct Scripted(Arc<Mutex<Names>>);

    type Names = BTreeMap<String, (u64, Vec<IpAddr>)>;

    impl Scripted {
        fn set(&self, name: &str, addresses: &[&str]) {
            let addresses = addresses.iter().map(|a| a.parse().unwrap()).collect();
            self.0.lock().entry(name.into()).or_default().1 = addresses;
        }

        fn lookups(&self, name: &str) -> u64 {
            self.0.lock().get(name).map_or(0, |(count, _)| *count)
        }
    }

    impl Lookup for Scripted {
        async fn lookup(&self, name: &str) -> Answer {
            let mut names = self.0.lock();
            let (count, addresses) = names.entry(name.into()).or_default();
            *count += 1;
            if addresses.is_empty() {
                return Answer { v4: Err("SERVFAIL".into()), v6: Ok(Records::default()) };
            }
            let ttl = Some(Duration::from_secs(10));
            Answer { v4: Ok(Records { addresses: addresses.clone(), ttl }), v6: Ok(Records::default()) }
        }
    }

    struct Fixture {
        script: Scripted,
        names: watch::Sender<BTreeSet<String>>,
        results: mpsc::Receiver<Resolved>,
        _stop: tokio_util::sync::DropGuard,
    }

    fn start(names: &[&str]) -> Fixture {
        let (script, stop) = (Scripted::default(), CancellationToken::new());
        let (names, wanted) = watch::channel(names.iter().map(|n| (*n).to_owned()).collect());
        let (sender, results) = mpsc::channel(1);
        let resolver = Resolver::new(script.clone(), wanted, sender, SmallRng::seed_from_u64(1));
        tokio::spawn(resolver.run(stop.clone()));
        Fixture { script, names, results, _stop: stop.drop_guard() }
    }

    fn resolved(name: &str, addresses: &[&str]) -> Resolved {
        let addresses: Vec<IpAddr> = addresses.iter().map(|a| a.parse().unwrap()).collect();
        Resolved { name: name.into(), addresses: Some(addresses) }
    }

    #[tokio::test(start_paused = true)]
    async fn u1_names_are_resolved_again_at_their_ttl() {
        let mut f = start(&["web"]);
        f.script.set("web", &["10.0.0.2", "10.0.0.1"]);
        assert_eq!(f.results.recv().await.unwrap(), resolved("web", &["10.0.0.1", "10.0.0.2"]));
        let began = Instant::now();
        f.script.set("web", &["10.0.0.3"]);
        assert_eq!(f.results.recv().await.unwrap(), resolved("web", &["10.0.0.3"]));
        assert_eq!(began.elapsed().as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn u1_an_error_keeps_the_last_addresses_and_a_first_error_is_told() {
        let mut f = start(&["web", "unknown"]);
        f.script.set("web", &["10.0.0.1"]);
        let mut first = [f.results.recv().await.unwrap(), f.results.recv().await.unwrap()];
        first.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(first[0], Resolved { name: "unknown".into(), addresses: None });
        f.script.set("web", &[]);
        f.script.set("unknown", &["10.0.0.9"]);
        loop {
            let next = f.results.recv().await.unwrap();
            match next.name.as_str() {
                "web" => break assert_eq!(next, resolved("web", &["10.0.0.1"])),
                _ => assert_eq!(next, resolved("unknown", &["10.0.0.9"])),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn u1_a_name_no_longer_used_is_no_longer_resolved() {
        let mut f = start(&["old"]);
        f.script.set("old", &["10.0.0.1"]);
        f.script.set("new", &["10.0.0.2"]);
        assert_eq!(f.results.recv().await.unwrap().name, "old");
        f.names.send_replace(BTreeSet::from(["new".to_owned()]));
        for _ in 0..5 {
            assert_eq!(f.results.recv().await.unwrap().name, "new");
        }
        assert_eq!(f.script.lookups("old"), 1);
    }
}
