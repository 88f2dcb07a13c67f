//! The pools that hold an equal rule, in the order in which they back each other up (M7).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::Pools;
use crate::balance::round_robin::Schedule;
use crate::matcher::RuleChain;

/// Pools of one rule, lowest priority first. Pools are given by their numbers.
#[derive(Debug)]
pub struct Chain {
    holders: Arc<RuleChain>,
    /// Position in the weighted order of equal priorities; carried from table to table.
    pub cursor: Arc<AtomicUsize>,
    tiers: Box<[Tier]>,
}

/// Pools of equal priority.
#[derive(Debug)]
struct Tier {
    pools: Box<[usize]>,
    /// Turns of those that have weight, as places in `pools`.
    turns: Box<[u32]>,
}

impl Chain {
    /// Orders the holders of a rule by priority and works out the shares of equal ones.
    #[must_use]
    pub fn new(holders: Arc<RuleChain>, cursor: Arc<AtomicUsize>, pools: &Pools) -> Self {
        let member = |name| {
            let (number, pool) = (pools.number(name)?, pools.get(name)?);
            Some(Member { number, priority: pool.config.priority, weight: pool.config.weight })
        };
        let mut members: Vec<Member> = holders.pools.iter().filter_map(member).collect();
        members.sort_by_key(|member| member.priority);
        let tiers = members.chunk_by(|a, b| a.priority == b.priority).map(Tier::new).collect();
        Self { holders, cursor, tiers }
    }

    /// Whether there is only one pool.
    #[must_use]
    pub fn is_single(&self) -> bool {
        self.holders.pools.len() == 1
    }

    /// Canonical text of the rule.
    #[must_use]
    pub fn rule(&self) -> &Arc<str> {
        &self.holders.key
    }

    /// The pools in the order of this request's choices: within a priority, first the one whose turn it
    /// is, then the others. A turn is taken only when a priority is reached.
    pub fn order(&self) -> impl Iterator<Item = usize> + '_ {
        self.order_by(&self.cursor)
    }

    /// The same with the turns of another position than that of the requests.
    pub fn order_by<'a>(&'a self, cursor: &'a AtomicUsize) -> impl Iterator<Item = usize> + 'a {
        self.tiers.iter().flat_map(move |tier| tier.order(cursor))
    }

    /// Every pool, lowest priority first; nobody's turn is taken.
    pub fn pools(&self) -> impl Iterator<Item = usize> + '_ {
        self.tiers.iter().flat_map(|tier| tier.pools.iter().copied())
    }

    /// Whether a pool of it has an endpoint that may be chosen.
    #[must_use]
    pub fn has_candidates(&self, pools: &Pools) -> bool {
        let mut members = self.tiers.iter().flat_map(|tier| &tier.pools).filter_map(|number| pools.at(*number));
        members.any(|pool| pool.config.enabled && !pool.runtime.view.load().tiers.is_empty())
    }
}

/// What counts of a pool here.
struct Member {
    number: usize,
    priority: i32,
    weight: u32,
}

impl Tier {
    fn new(members: &[Member]) -> Self {
        let with_weight: Vec<(u32, u32)> =
            (0_u32..).zip(members).map(|(place, member)| (place, member.weight)).filter(|(_, w)| *w > 0).collect();
        let schedule = Schedule::new(with_weight.iter().map(|(_, weight)| *weight));
        let turns = schedule.turns().iter().map(|turn| with_weight[*turn as usize].0).collect();
        Self { pools: members.iter().map(|member| member.number).collect(), turns }
    }

    fn order<'a>(&'a self, cursor: &AtomicUsize) -> impl Iterator<Item = usize> + use<'a> {
        let n = self.pools.len();
        let start = match self.turns.len() {
            // Nobody to share with: the cursor's cache line is left alone.
            0 | 1 => 0,
            turns => self.turns[cursor.fetch_add(1, Relaxed) % turns] as usize,
        };
        (0..n).map(move |offset| self.pools[(start + offset) % n])
    }
}

#[cfg(test)]
mod tests {
    use weir_proto::model;

    use super::*;
    use crate::matcher::{Matcher, Place};
    use crate::pool::runtime::Environment;
    use crate::pool::{Pool, PoolRuntime};

    fn pools(settings: &[(i32, u32)]) -> Pools {
        let environment = Environment::without_tasks(1);
        let pool = |(i, (priority, weight)): (usize, &(i32, u32))| {
            let mut config = model::Pool::new(format!("a/p{i}").parse().unwrap());
            (config.priority, config.weight) = (*priority, *weight);
            let config = Arc::new(config);
            Arc::new(Pool::new(config.clone(), PoolRuntime::new(config, environment.clone())))
        };
        settings.iter().enumerate().map(pool).collect()
    }

    fn chain(settings: &[(i32, u32)]) -> Chain {
        let pools = pools(settings);
        let matcher = Matcher::compile(pools.iter().map(|pool| &*pool.config));
        let holders = matcher.chain(Place { group: 0, rule: 0 }).unwrap();
        Chain::new(holders.clone(), Arc::default(), &pools)
    }

    #[test]
    fn m7_lowest_priority_first() {
        assert_eq!(chain(&[(10, 1), (-5, 1), (0, 1)]).order().collect::<Vec<_>>(), [1, 2, 0]);
    }

    #[test]
    fn m7_equal_priorities_share_by_weight_and_back_each_other_up() {
        let chain = chain(&[(0, 1), (0, 3), (0, 0), (9, 1)]);
        let mut firsts = [0; 4];
        for _ in 0..400 {
            let order: Vec<usize> = chain.order().collect();
            firsts[order[0]] += 1;
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3]);
            assert_eq!(order[3], 3);
        }
        assert_eq!(firsts, [100, 300, 0, 0]);
    }

    #[test]
    fn a_tier_without_any_weight_keeps_its_order() {
        assert_eq!(chain(&[(0, 0), (0, 0)]).order().collect::<Vec<_>>(), [0, 1]);
    }
}
