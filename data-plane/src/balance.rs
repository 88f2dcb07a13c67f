//! Choosing one of a pool's candidates. One method a file; what can be prepared is prepared when the
//! view is built.

pub mod ewma;
pub mod first_alive;
pub mod hash;
pub mod least_connections;
pub mod least_load;
pub mod lowest;
pub mod random;
pub mod rotate;
pub mod round_robin;

use rand::rngs::SmallRng;
use smallvec::SmallVec;
use std::sync::atomic::AtomicUsize;
use weir_proto::model::Balance;

use crate::pool::{Candidate, EndpointId};

/// Endpoints that a request has tried. Seldom more than one.
#[derive(Debug, Clone, Default)]
pub struct Tried(SmallVec<[EndpointId; 4]>);

impl Tried {
    /// Notes a try.
    pub fn add(&mut self, id: EndpointId) {
        self.0.push(id);
    }

    /// Whether the endpoint of `candidate` was tried.
    #[must_use]
    pub fn has(&self, candidate: &Candidate) -> bool {
        self.contains(candidate.endpoint.id)
    }

    /// Whether this endpoint was tried.
    #[must_use]
    pub fn contains(&self, id: EndpointId) -> bool {
        self.0.contains(&id)
    }

    /// The endpoints.
    pub fn iter(&self) -> impl Iterator<Item = EndpointId> {
        self.0.iter().copied()
    }

    /// Whether nothing was tried.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What a choice may depend on besides the candidates.
#[derive(Debug)]
pub struct Choice<'a> {
    /// Endpoints that are out of the question.
    pub tried: &'a Tried,
    /// Position in the round robin order.
    pub cursor: &'a AtomicUsize,
    /// Hash of the request's key; used by `Hash` only.
    pub key: u64,
    /// Number of the client's connection; used by `Rotate` only.
    pub connection: usize,
    /// The worker's own randomness.
    pub rng: &'a mut SmallRng,
}

impl Choice<'_> {
    /// The same for another look.
    pub fn again(&mut self) -> Choice<'_> {
        Choice { rng: self.rng, ..*self }
    }
}

/// A method, prepared for the candidates of one view.
#[derive(Debug)]
pub enum Picker {
    /// Smooth weighted round robin.
    RoundRobin(round_robin::Schedule),
    /// Weighted random.
    Random(random::Shares),
    /// Fewest in flight per weight.
    LeastConnections,
    /// Most free capacity.
    LeastLoad,
    /// Better of two by requests in flight.
    PowerOfTwo(random::Shares),
    /// Better of two by latency and load.
    PeakEwma(random::Shares),
    /// From the first.
    FirstAlive,
    /// From the connection's number.
    Rotate(rotate::Places),
    /// Consistent.
    Hash(hash::Rendezvous),
}

impl Picker {
    /// Prepares `method` for `candidates`. `places` has an entry for each endpoint that could be one, in order:
    /// its index among the candidates, or `None` while it is down.
    #[must_use]
    pub fn new(method: &Balance, candidates: &[Candidate], places: &[Option<usize>]) -> Self {
        let shares = || random::Shares::new(candidates.iter().map(|c| c.weight));
        match method {
            Balance::RoundRobin => Self::RoundRobin(round_robin::Schedule::new(candidates.iter().map(|c| c.weight))),
            Balance::Random => Self::Random(shares()),
            Balance::LeastConnections => Self::LeastConnections,
            Balance::LeastLoad => Self::LeastLoad,
            Balance::PowerOfTwo => Self::PowerOfTwo(shares()),
            Balance::PeakEwma => Self::PeakEwma(shares()),
            // Who is full is no candidate, so that the first candidate is the first with room.
            Balance::FirstAlive | Balance::Fill => Self::FirstAlive,
            Balance::Rotate => Self::Rotate(rotate::Places::new(places)),
            Balance::Hash(_) => Self::Hash(hash::Rendezvous::new(candidates)),
        }
    }

    /// Index of the chosen candidate; `None` if all were tried.
    pub fn pick(&self, candidates: &[Candidate], choice: &mut Choice<'_>) -> Option<usize> {
        match self {
            Self::RoundRobin(schedule) => schedule.pick(candidates, choice),
            Self::Random(shares) => shares.pick(candidates, choice),
            Self::LeastConnections => least_connections::pick(candidates, choice),
            Self::LeastLoad => least_load::pick(candidates, choice),
            Self::PowerOfTwo(shares) => shares.better_of_two(candidates, choice, least_connections::load),
            Self::PeakEwma(shares) => shares.better_of_two(candidates, choice, ewma::cost),
            Self::FirstAlive => first_alive::from(0, candidates, choice.tried),
            Self::Rotate(places) => places.pick(candidates, choice),
            Self::Hash(rendezvous) => rendezvous.pick(candidates, choice),
        }
    }
}

impl Picker {
    /// With what probability each candidate is chosen. Where chance has no part in it, that is 1 for the one that
    /// [`Picker::pick`] gives.
    pub fn chances(&self, candidates: &[Candidate], choice: &mut Choice<'_>) -> Vec<f64> {
        match self {
            Self::Random(_) => random::chances(candidates, choice.tried),
            Self::LeastConnections => lowest::chances(candidates, choice.tried, least_connections::load),
            Self::LeastLoad => lowest::chances(candidates, choice.tried, least_load::cost),
            Self::PowerOfTwo(_) => random::chances_of_better(candidates, choice.tried, least_connections::load),
            Self::PeakEwma(_) => random::chances_of_better(candidates, choice.tried, ewma::cost),
            _ => {
                let mut chances = vec![0.0; candidates.len()];
                self.pick(candidates, choice).into_iter().for_each(|place| chances[place] = 1.0);
                chances
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use rand::SeedableRng;

    use super::*;
    use crate::pool::runtime::tests::targets;
    use crate::pool::{Endpoint, Target};

    /// Candidates `b000`, `b001`, ... of these weights.
    pub(crate) fn candidates(weights: &[u32]) -> Vec<Candidate> {
        let of = |Target { origin, address }| Candidate {
            endpoint: Arc::new(Endpoint::new(origin.backend.name.clone(), address, 1, Arc::default())),
            weight: origin.backend.weight,
            origin,
        };
        targets(weights).into_iter().map(of).collect()
    }

    /// A client that chooses again and again.
    pub(crate) struct Chooser {
        pub(crate) cursor: AtomicUsize,
        pub(crate) tried: Tried,
        pub(crate) rng: SmallRng,
        pub(crate) key: u64,
        pub(crate) connection: usize,
    }

    impl Chooser {
        pub(crate) fn new() -> Self {
            let rng = SmallRng::seed_from_u64(7);
            Self { cursor: AtomicUsize::new(0), tried: Tried::default(), rng, key: 0, connection: 0 }
        }

        pub(crate) fn pick(&mut self, picker: &Picker, candidates: &[Candidate]) -> Option<usize> {
            let Self { cursor, tried, rng, key, connection } = self;
            picker.pick(candidates, &mut Choice { tried, cursor, key: *key, connection: *connection, rng })
        }

        pub(crate) fn counts(&mut self, picker: &Picker, candidates: &[Candidate], n: usize) -> Vec<usize> {
            let mut counts = vec![0; candidates.len()];
            (0..n).for_each(|_| counts[self.pick(picker, candidates).unwrap()] += 1);
            counts
        }
    }

    /// The method for candidates that are all there are.
    pub(crate) fn picker(method: &Balance, candidates: &[Candidate]) -> Picker {
        let places: Vec<Option<usize>> = (0..candidates.len()).map(Some).collect();
        Picker::new(method, candidates, &places)
    }

    pub(crate) fn every_method() -> Vec<Balance> {
        vec![
            Balance::RoundRobin,
            Balance::Random,
            Balance::LeastConnections,
            Balance::LeastLoad,
            Balance::Fill,
            Balance::PowerOfTwo,
            Balance::PeakEwma,
            Balance::FirstAlive,
            Balance::Rotate,
            Balance::Hash(weir_proto::model::HashKey::Address),
        ]
    }

    #[test]
    fn c4_every_method_fails_over_to_each_endpoint_once() {
        let candidates = candidates(&[3, 1, 2, 5]);
        for method in every_method() {
            let picker = picker(&method, &candidates);
            for round in 0..50 {
                let mut chooser = Chooser { key: round, connection: 3, ..Chooser::new() };
                for _ in 0..candidates.len() {
                    let picked = chooser.pick(&picker, &candidates).unwrap();
                    assert!(!chooser.tried.has(&candidates[picked]), "{method:?}");
                    chooser.tried.add(candidates[picked].endpoint.id);
                }
                assert_eq!(chooser.pick(&picker, &candidates), None, "{method:?}");
            }
        }
    }

    #[test]
    fn c3_chances_are_the_shares_that_picks_come_to_under_every_method() {
        const PICKS: usize = 6_000;
        let candidates = candidates(&[3, 1, 2, 1]);
        candidates[0].endpoint.in_flight.enter();
        let chooser = || {
            let mut chooser = Chooser { key: 5, connection: 2, ..Chooser::new() };
            chooser.tried.add(candidates[3].endpoint.id);
            chooser
        };
        for method in every_method() {
            let picker = picker(&method, &candidates);
            let Chooser { tried, cursor, mut rng, key, connection } = chooser();
            let mut choice = Choice { tried: &tried, cursor: &cursor, key, connection, rng: &mut rng };
            let chances = picker.chances(&candidates, &mut choice);
            let mut counts = vec![0.0; candidates.len()];
            let mut picking = chooser();
            for _ in 0..PICKS {
                picking.cursor = AtomicUsize::new(0);
                counts[picking.pick(&picker, &candidates).unwrap()] += 1.0;
            }
            assert!((chances.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{method:?}: {chances:?}");
            for (chance, count) in chances.iter().zip(counts) {
                let (n, p) = (PICKS as f64, *chance);
                assert!((count - n * p).abs() <= 4.0 * (n * p * (1.0 - p)).sqrt(), "{method:?}: {count}, {chance}");
            }
        }
    }

    #[test]
    fn c1_no_candidates_is_no_choice() {
        for method in every_method() {
            assert_eq!(Chooser::new().pick(&picker(&method, &[]), &[]), None, "{method:?}");
        }
    }
}
