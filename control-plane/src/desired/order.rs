//! The order in which Pools are judged: what a Pool inherits from comes before it. No recursion, so that a
//! chain may be as long as it likes.

use std::collections::{BTreeMap, BTreeSet};

use weir_proto::model::ResourceName;

use crate::index::Index;

/// Pools in order, and those that can have none.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Order {
    /// Bases first.
    pub(super) straight: Vec<ResourceName>,
    /// Pools in a circle of `inherit`, or inheriting from one, each with what to say about it.
    pub(super) circular: Vec<(ResourceName, String)>,
}

/// Orders `names`; a base outside of them is settled already.
pub(super) fn bases_first(index: &Index, names: &BTreeSet<ResourceName>) -> Order {
    let mut waiting: BTreeMap<ResourceName, Vec<ResourceName>> = BTreeMap::new();
    let mut ready = Vec::new();
    for name in names {
        match base(index, name).filter(|base| names.contains(base)) {
            Some(base) => waiting.entry(base).or_default().push(name.clone()),
            None => ready.push(name.clone()),
        }
    }
    let mut straight = Vec::new();
    while let Some(name) = ready.pop() {
        ready.extend(waiting.remove(&name).into_iter().flatten());
        straight.push(name);
    }
    let circular = waiting.into_values().flatten().map(|name| (name.clone(), circle(index, name))).collect();
    Order { straight, circular }
}

fn base(index: &Index, name: &ResourceName) -> Option<ResourceName> {
    index.pool(name)?.inherit.as_ref().and_then(|base| name.sibling(base).ok())
}

/// Longest way that is written out.
const SHOWN: usize = 8;

/// The way from a Pool around its circle, for people.
fn circle(index: &Index, name: ResourceName) -> String {
    let mut seen = BTreeSet::new();
    let mut way = Vec::new();
    let mut next = Some(name);
    while let Some(name) = next {
        way.push(name.name().to_owned());
        next = base(index, &name);
        if !seen.insert(name) {
            break;
        }
    }
    if way.len() > SHOWN {
        way.splice(SHOWN / 2..way.len() - SHOWN / 2, ["...".to_owned()]);
    }
    format!("goes round in a circle: {}", way.join(" -> "))
}
