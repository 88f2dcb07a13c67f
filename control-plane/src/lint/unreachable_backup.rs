//! A Backend of role `Backup` waits for the others to go down, but nothing ever takes them down: there is neither a limit
//! of failures nor a probe.

use weir_proto::model::{Pool, Role};

use super::{Hit, Lint, Resources};

pub(super) const LINT: Lint = Lint {
    id: "unreachable-backup",
    about: "a Backup never gets a request: no health setting takes the others down",
    look,
};

fn look(resources: &Resources) -> Vec<Hit> {
    let pools = resources.pools().filter(|pool| never_goes_down(pool));
    let hits = pools.flat_map(|pool| {
        let backends = resources.backends(pool);
        let has_others = backends.iter().any(|b| b.role != Role::Backup && b.enabled && b.weight > 0);
        let backups =
            backends.iter().filter(move |b| has_others && b.role == Role::Backup && b.enabled && b.weight > 0);
        let message = format!(
            "never gets a request: nothing takes the other Backends of {} down, as health.passive.maxFails is 0 and \
             there is no health.active",
            pool.name
        );
        backups.map(move |backend| Hit::backend(&backend.name, "spec.role", message.clone()))
    });
    hits.collect()
}

fn never_goes_down(pool: &Pool) -> bool {
    pool.health.passive.max_fails == 0 && pool.health.active.is_none()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{backend, hits, pool};
    use super::*;

    fn with_backup(health: &str) -> Vec<String> {
        let active = backend("a", "").replace("name: a-1", "name: a-0");
        hits(LINT, &[&pool("a", health), &active, &backend("a", "role: Backup")])
    }

    #[test]
    fn a_backup_of_what_never_goes_down_is_found() {
        let found = with_backup("health: {passive: {maxFails: 0}}");
        assert!(found.len() == 1 && found[0].starts_with("Backend default/a-1: spec.role: never gets"), "{found:?}");
    }

    #[test]
    fn one_of_what_may_go_down_is_not() {
        assert_eq!(with_backup(""), [""; 0]);
        assert_eq!(with_backup("health: {passive: {maxFails: 0}, active: {type: TCP}}"), [""; 0]);
        let alone = [pool("a", "health: {passive: {maxFails: 0}}"), backend("a", "role: Backup")];
        assert_eq!(hits(LINT, &alone.each_ref().map(String::as_str)), [""; 0]);
    }
}
