//! The candidates of one role, with the pool's method, and the share that new ones get of it (C6).

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use rand::RngExt;
use tokio::time::Instant;
use weir_proto::model::{self, Role};

use super::{Candidate, Member};
use crate::balance::{Choice, Picker, Tried, hash};

/// Share of its share that an endpoint has at first.
const FIRST_SHARE: f64 = 0.1;

/// How often chances are tried out.
const DRAWS: u32 = 1_000;

/// The candidates of one role.
#[derive(Debug)]
pub struct Tier {
    /// Which one.
    pub role: Role,
    /// In the order of backend name and address.
    pub candidates: Box<[Candidate]>,
    /// The pool's method, prepared for these candidates.
    picker: Picker,
    warming: Box<[Warming]>,
    slow_start: Duration,
    /// Whether all of them have their whole share by now.
    warm: AtomicBool,
}

/// A candidate that came up a short while ago.
#[derive(Debug)]
struct Warming {
    place: usize,
    since: Instant,
}

impl Tier {
    /// Of the `members` of this role, which are in order with what each is a candidate by, if it is one. `None` without
    /// candidates.
    #[must_use]
    pub fn build(config: &model::Pool, role: Role, members: &[(&Member, bool)], now: Instant) -> Option<Self> {
        let mut places = Vec::with_capacity(members.len());
        let mut candidates = Vec::with_capacity(members.len());
        for (member, chosen) in members.iter().filter(|(member, _)| member.origin.backend.role == role) {
            places.push(chosen.then_some(candidates.len()));
            if *chosen {
                candidates.push(Candidate::of(member));
            }
        }
        let slow_start = config.health.slow_start;
        let warming = (0..).zip(&candidates).filter_map(|(place, candidate)| {
            let since = (*candidate.endpoint.came_up.lock())?;
            (now.saturating_duration_since(since) < slow_start).then_some(Warming { place, since })
        });
        let warming: Box<[Warming]> = warming.collect();
        let (warm, picker) = (warming.is_empty().into(), Picker::new(&config.balance, &candidates, &places));
        (!candidates.is_empty()).then(|| Self {
            role,
            picker,
            warming,
            slow_start,
            warm,
            candidates: candidates.into(),
        })
    }

    /// The place of the candidate that the method picks. One that warms up is left out as often as its share says, if
    /// there is another.
    pub fn pick(&self, choice: &mut Choice<'_>) -> Option<usize> {
        if self.warm.load(Relaxed) {
            return self.picker.pick(&self.candidates, choice);
        }
        let spared = self.spared(choice);
        let picked = self.picker.pick(&self.candidates, &mut Choice { tried: &spared, ..choice.again() });
        picked.or_else(|| self.picker.pick(&self.candidates, choice))
    }

    /// With what probability each candidate is picked; estimated while one of them warms up.
    pub fn chances(&self, choice: &mut Choice<'_>) -> Vec<f64> {
        if self.warm.load(Relaxed) {
            return self.picker.chances(&self.candidates, choice);
        }
        let turn = choice.cursor.load(Relaxed);
        let mut counts = vec![0_u32; self.candidates.len()];
        for _ in 0..DRAWS {
            let cursor = AtomicUsize::new(turn);
            let picked = self.pick(&mut Choice { cursor: &cursor, ..choice.again() });
            picked.into_iter().for_each(|place| counts[place] += 1);
        }
        counts.into_iter().map(|count| f64::from(count) / f64::from(DRAWS)).collect()
    }

    /// What is out of the question, and with it those that are spared this time.
    fn spared(&self, choice: &mut Choice<'_>) -> Tried {
        let mut spared = choice.tried.clone();
        let now = Instant::now();
        if self.warming.iter().all(|warming| now.saturating_duration_since(warming.since) >= self.slow_start) {
            self.warm.store(true, Relaxed);
        }
        for Warming { place, since } in &self.warming {
            let candidate = &self.candidates[*place];
            // By the key, so that it moves once and not to and fro.
            let draw = match &self.picker {
                Picker::Hash(_) => hash::uniform(candidate, choice.key),
                _ => choice.rng.random(),
            };
            if draw >= share(now.saturating_duration_since(*since), self.slow_start) {
                spared.add(candidate.endpoint.id);
            }
        }
        spared
    }
}

/// From [`FIRST_SHARE`] to 1, in proportion to the time.
fn share(age: Duration, slow_start: Duration) -> f64 {
    FIRST_SHARE + (1.0 - FIRST_SHARE) * age.div_duration_f64(slow_start)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;
    use weir_proto::model::{Balance, HashKey};

    use super::*;
    use crate::balance::tests::every_method;
    use crate::pool::runtime::tests::members;

    const SLOW_START: Duration = Duration::from_secs(100);
    const PICKS: usize = 6_000;

    /// Of the third of three, how many of [`PICKS`] it gets when it came up this long ago.
    fn picks(method: &Balance, age: Duration) -> usize {
        let mut config = model::Pool::new("a/pool".parse().unwrap());
        config.balance = method.clone();
        config.health.slow_start = SLOW_START;
        let (members, now) = (members(&[1, 1, 1]), Instant::now());
        *members[2].endpoint.came_up.lock() = Some(now);
        let members: Vec<(&Member, bool)> = members.iter().map(|member| (member, true)).collect();
        let mut tier = Tier::build(&config, Role::Active, &members, now).unwrap();
        tier.warming.iter_mut().for_each(|warming| warming.since = now.checked_sub(age).unwrap());
        let (tried, cursor, mut rng) = (Tried::default(), AtomicUsize::new(0), SmallRng::seed_from_u64(7));
        let mut pick = |number: usize| {
            let key = hash::key_of_bytes(&number.to_le_bytes());
            tier.pick(&mut Choice { tried: &tried, cursor: &cursor, key, connection: number, rng: &mut rng }).unwrap()
        };
        (0..PICKS).filter(|number| pick(*number) == 2).count()
    }

    /// Whether this many of [`PICKS`] are a share, but for four standard deviations.
    fn assert_share(method: &Balance, count: usize, share: f64) {
        let n = PICKS as f64;
        let off = (count as f64 - n * share).abs();
        assert!(off <= 4.0 * (n * share * (1.0 - share)).sqrt(), "{method:?}: {count} of {PICKS}, expected {share}");
    }

    #[tokio::test(start_paused = true)]
    async fn c6_slow_start_gives_a_tenth_of_the_share_at_first_then_more_under_every_method() {
        for method in every_method() {
            let whole = picks(&method, SLOW_START) as f64 / PICKS as f64;
            for (age, part) in [(0, 0.1), (50, 0.55), (90, 0.91), (99, 0.991)] {
                assert_share(&method, picks(&method, Duration::from_secs(age)), whole * part);
            }
        }
        let hash = Balance::Hash(HashKey::Address);
        assert_eq!(picks(&hash, SLOW_START), picks(&hash, Duration::from_hours(1)), "which is the end of it");
    }

    #[tokio::test(start_paused = true)]
    async fn c6_who_is_alone_is_not_spared() {
        let mut config = model::Pool::new("a/pool".parse().unwrap());
        config.health.slow_start = SLOW_START;
        let (members, now) = (members(&[1]), Instant::now());
        *members[0].endpoint.came_up.lock() = Some(now);
        let tier = Tier::build(&config, Role::Active, &[(&members[0], true)], now).unwrap();
        let (tried, cursor, mut rng) = (Tried::default(), AtomicUsize::new(0), SmallRng::seed_from_u64(7));
        let mut choice = Choice { tried: &tried, cursor: &cursor, key: 0, connection: 0, rng: &mut rng };
        assert!((0..100).all(|_| tier.pick(&mut choice) == Some(0)));
    }
}
