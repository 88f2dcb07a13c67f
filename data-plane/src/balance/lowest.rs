//! The lowest cost; ties are drawn by weight.

use rand::RngExt;

use super::{Choice, Tried, random};
use crate::pool::Candidate;

/// The untried candidate of the lowest cost. Each cost is read once: other workers change them meanwhile.
pub fn lowest<C: PartialOrd>(
    candidates: &[Candidate],
    choice: &mut Choice<'_>,
    cost: impl Fn(&Candidate) -> C,
) -> Option<usize> {
    let mut best: Option<(C, usize)> = None;
    let mut tied_weight = 0_u64;
    for (index, candidate) in candidates.iter().enumerate() {
        if choice.tried.has(candidate) {
            continue;
        }
        let (cost, weight) = (cost(candidate), u64::from(candidate.weight));
        match &best {
            Some((lowest, _)) if cost > *lowest => continue,
            // Equal costs come from the same division, or from zero: they compare equal to the bit.
            Some((lowest, _)) if cost >= *lowest => tied_weight += weight,
            _ => tied_weight = weight,
        }
        if tied_weight == weight || choice.rng.random_range(0..tied_weight) < weight {
            best = Some((cost, index));
        }
    }
    best.map(|(_, index)| index)
}

/// How likely each is picked.
pub fn chances<C: PartialOrd + Copy>(
    candidates: &[Candidate],
    tried: &Tried,
    cost: impl Fn(&Candidate) -> C,
) -> Vec<f64> {
    let costs: Vec<Option<C>> =
        candidates.iter().map(|candidate| (!tried.has(candidate)).then(|| cost(candidate))).collect();
    let lowest = costs.iter().flatten().copied().reduce(|a, b| if b < a { b } else { a });
    let mut others = tried.clone();
    let is_other = |own: &Option<C>| own.is_none() || *own > lowest;
    let beside = candidates.iter().zip(&costs).filter(|(_, own)| is_other(own));
    beside.for_each(|(candidate, _)| others.add(candidate.endpoint.id));
    random::chances(candidates, &others)
}
