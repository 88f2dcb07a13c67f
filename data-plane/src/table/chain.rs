//! The pools that hold an equal rule, in the order in which they back each other up (M7).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::balance::round_robin::Schedule;
use crate::pool::Pool;

/// Pools of one rule, lowest priority first. Pools are given as indexes into the table's list.
#[derive(Debug)]
pub struct Chain {
    /// Canonical text of the rule.
    pub rule: Arc<str>,
    /// Position in the weighted order of equal priorities; carried from table to table.
    pub cursor: Arc<AtomicUsize>,
    tiers: Box<[Tier]>,
}

/// Pools of equal priority.
#[derive(Debug)]
struct Tier {
    pools: Box<[usize]>,
    /// Turns of those that have weight, as indexes of `pools`.
    turns: Box<[u32]>,
}

impl Chain {
    /// Orders `members` (indexes into `pools`) by priority and works out the shares of equal ones.
    #[must_use]
    pub fn new(rule: Arc<str>, cursor: Arc<AtomicUsize>, mut members: Vec<usize>, pools: &[Arc<Pool>]) -> Self {
        let priority = |index: &usize| pools[*index].config.priority;
        members.sort_by_key(priority);
        let tiers = members.chunk_by(|a, b| priority(a) == priority(b)).map(|tier| Tier::new(tier, pools)).collect();
        Self { rule, cursor, tiers }
    }

    /// The pools in the order of this request's choices: within a priority, first the one whose turn it
    /// is, then the others. A turn is taken only when a priority is reached.
    pub fn order(&self) -> impl Iterator<Item = usize> + '_ {
        self.tiers.iter().flat_map(|tier| tier.order(&self.cursor))
    }

    /// Whether a pool of it has an endpoint that may be chosen.
    #[must_use]
    pub fn has_candidates(&self, pools: &[Arc<Pool>]) -> bool {
        let mut members = self.tiers.iter().flat_map(|tier| &tier.pools).map(|index| &pools[*index]);
        members.any(|pool| pool.config.enabled && !pool.runtime.view.load().candidates.is_empty())
    }
}

impl Tier {
    fn new(members: &[usize], pools: &[Arc<Pool>]) -> Self {
        let weight = |index: usize| pools[index].config.weight;
        let with_weight: Vec<(u32, u32)> =
            (0_u32..).zip(members).map(|(place, index)| (place, weight(*index))).filter(|(_, w)| *w > 0).collect();
        let schedule = Schedule::new(with_weight.iter().map(|(_, weight)| *weight));
        let turns = schedule.turns().iter().map(|turn| with_weight[*turn as usize].0).collect();
        Self { pools: members.into(), turns }
    }

    fn order(&self, cursor: &AtomicUsize) -> impl Iterator<Item = usize> + '_ {
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
    use crate::health::{HealthClock, TransitionSink};
    use crate::pool::PoolRuntime;
    use crate::pool::runtime::Environment;

    fn pools(settings: &[(i32, u32)]) -> Vec<Arc<Pool>> {
        let environment = Environment { clock: HealthClock::new().0, transitions: TransitionSink::new().0, workers: 1 };
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
        Chain::new("rule".into(), Arc::default(), (0..pools.len()).collect(), &pools)
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
