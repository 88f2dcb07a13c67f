//! A Backend has a weight, but its Pool chooses by a method that does not look at weights, and no plugin does either.

use weir_proto::model::{Balance, Pool};

use super::{Hit, Lint, Resources};

pub(super) const LINT: Lint = Lint {
    id: "backend-weight-without-effect",
    about: "a Backend has a weight, and the method of its Pool looks at none",
    look,
};

fn look(resources: &Resources) -> Vec<Hit> {
    let blind = resources.pools().filter_map(|pool| Some((pool, blind_method(pool)?)));
    let hits = blind.flat_map(|(pool, method)| {
        let weighed = resources.backends(pool).iter().filter(|backend| backend.weight > 1);
        let message = format!("has no effect: the method of {} is {method}, which knows only 0 and more", pool.name);
        weighed.map(move |backend| Hit::backend(&backend.name, "spec.weight", message.clone()))
    });
    hits.collect()
}

/// The method of a Pool, if nothing there looks at weights: a plugin might.
fn blind_method(pool: &Pool) -> Option<&'static str> {
    if !pool.plugins.is_empty() {
        return None;
    }
    match pool.balance {
        Balance::FirstAlive => Some("FirstAlive"),
        Balance::Fill => Some("Fill"),
        Balance::Rotate => Some("Rotate"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{backend, hits, pool};
    use super::*;

    fn weighed(spec: &str, weight: u32) -> Vec<String> {
        hits(LINT, &[&pool("a", spec), &backend("a", &format!("weight: {weight}"))])
    }

    #[test]
    fn a_weight_that_no_method_reads_is_found() {
        for method in ["FirstAlive", "Fill", "Rotate"] {
            let found = weighed(&format!("balance: {{method: {method}}}"), 3);
            assert!(found.len() == 1 && found[0].starts_with("Backend default/a-1: spec.weight: has no effect"));
        }
    }

    #[test]
    fn one_that_counts_is_not() {
        assert_eq!(weighed("", 3), [""; 0]);
        assert_eq!(weighed("balance: {method: Fill}", 1), [""; 0]);
        assert_eq!(weighed("balance: {method: Fill}", 0), [""; 0], "it is taken out");
        assert_eq!(weighed("balance: {method: Fill}, plugins: [{type: Random}]", 3), [""; 0]);
    }
}
