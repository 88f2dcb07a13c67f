//! A Pool has a weight, but shares its requests with no other: the weight of a Pool counts among those of equal priority.

use std::collections::BTreeSet;

use super::{Hit, Lint, Resources, chains};

pub(super) const LINT: Lint = Lint {
    id: "pool-weight-without-effect",
    about: "a Pool has a weight, and no other has an equal rule and priority",
    look,
};

fn look(resources: &Resources) -> Vec<Hit> {
    let all = chains::of(resources);
    let groups = all.iter().flat_map(|chain| chain.values());
    let sharing: BTreeSet<_> = groups.filter(|pools| pools.len() > 1).flatten().map(|pool| &pool.name).collect();
    let alone = resources.pools().filter(|pool| pool.enabled && pool.weight != 1 && !sharing.contains(&pool.name));
    alone.map(|pool| Hit::pool(&pool.name, "spec.weight", message(pool.priority))).collect()
}

fn message(priority: i32) -> String {
    format!("has no effect: no other Pool has an equal rule and priority {priority}")
}

#[cfg(test)]
mod tests {
    use super::super::tests::{backend, hits, of_pool, pool};
    use super::*;

    #[test]
    fn a_weight_among_nobody_is_found() {
        let found = of_pool(LINT, "weight: 3");
        assert_eq!(
            found,
            ["Pool default/a: spec.weight: has no effect: no other Pool has an equal rule and priority 0"]
        );
        let rest = [pool("a", "weight: 3"), backend("a", ""), pool("b", "weight: 2, priority: 1"), backend("b", "")];
        assert_eq!(hits(LINT, &rest.each_ref().map(String::as_str)).len(), 2);
    }

    #[test]
    fn a_weight_among_equals_is_not() {
        assert_eq!(of_pool(LINT, "weight: 1"), [""; 0]);
        let rest = [pool("a", "weight: 3"), backend("a", ""), pool("b", "match: [{}]"), backend("b", "")];
        assert_eq!(hits(LINT, &rest.each_ref().map(String::as_str)), [""; 0]);
    }
}
