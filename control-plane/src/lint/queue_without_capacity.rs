//! A Pool says how requests wait, but none ever does: no Backend has a capacity, and nobody waits for recovery.

use weir_proto::model::{Pool, Queue};

use super::{Hit, Lint, Resources};

pub(super) const LINT: Lint = Lint {
    id: "queue-without-capacity",
    about: "a Pool has a queue, and no Backend a capacity that a request would wait for",
    look,
};

fn look(resources: &Resources) -> Vec<Hit> {
    let idle = resources.pools().filter(|pool| sets_queue(pool) && !may_wait(resources, pool));
    let message = "has no effect: none of its Backends has a capacity, and queue.whenUnavailable is false";
    idle.map(|pool| Hit::pool(&pool.name, "spec.queue", message)).collect()
}

fn sets_queue(pool: &Pool) -> bool {
    pool.enabled && pool.queue != Queue::default()
}

/// A Pool without Backends is no mistake of its queue.
fn may_wait(resources: &Resources, pool: &Pool) -> bool {
    let backends = resources.backends(pool);
    pool.queue.when_unavailable || backends.is_empty() || backends.iter().any(|backend| backend.capacity > 0)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{backend, hits, of_pool, pool};
    use super::*;

    #[test]
    fn a_queue_that_nobody_enters_is_found() {
        let found = of_pool(LINT, "queue: {limit: 5}");
        assert!(found.len() == 1 && found[0].starts_with("Pool default/a: spec.queue: has no effect"), "{found:?}");
    }

    #[test]
    fn one_that_somebody_may_enter_is_not() {
        assert_eq!(of_pool(LINT, ""), [""; 0]);
        assert_eq!(of_pool(LINT, "queue: {whenUnavailable: true, timeout: 5s}"), [""; 0]);
        assert_eq!(hits(LINT, &[&pool("a", "queue: {limit: 5}"), &backend("a", "capacity: 2")]), [""; 0]);
    }
}
