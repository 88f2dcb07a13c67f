//! A chain ends in Pools that nobody can serve: when those before are down, or if there are none, clients get a 503.

use std::collections::BTreeSet;

use weir_proto::model::Pool;

use super::{Hit, Lint, Resources, chains};

pub(super) const LINT: Lint = Lint {
    id: "chain-without-backends",
    about: "the last Pool of a chain has no Backend that can take a request",
    look,
};

fn look(resources: &Resources) -> Vec<Hit> {
    let ends = chains::of(resources);
    let ends = ends.iter().filter_map(|chain| Some(chain.last_key_value()?.1));
    let dead = ends.filter(|pools| !pools.iter().any(|pool| can_serve(resources, pool)));
    // A Pool may be the end of many chains.
    let hits: BTreeSet<Hit> = dead.flatten().map(|pool| hit(resources, pool)).collect();
    hits.into_iter().collect()
}

fn can_serve(resources: &Resources, pool: &Pool) -> bool {
    resources.backends(pool).iter().any(|backend| backend.enabled && backend.weight > 0)
        || resources.may_answer_all(pool)
}

fn hit(resources: &Resources, pool: &Pool) -> Hit {
    let why = match resources.backends(pool).len() {
        0 => "it has no Backends".to_owned(),
        1 => "its only Backend is disabled or has weight 0".to_owned(),
        count => format!("all of its {count} Backends are disabled or have weight 0"),
    };
    Hit::pool(&pool.name, "spec", format!("nobody can take its requests, and no Pool comes after it: {why}"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{backend, hits, pool};
    use super::*;

    #[test]
    fn a_chain_that_ends_without_backends_is_found() {
        let found = hits(LINT, &[&pool("a", "")]);
        assert_eq!(
            found,
            ["Pool default/a: spec: nobody can take its requests, and no Pool comes after it: it has no Backends"]
        );
        let found =
            hits(LINT, &[&pool("a", ""), &backend("a", ""), &pool("b", "priority: 1"), &backend("b", "weight: 0")]);
        assert!(
            found.len() == 1 && found[0].contains("Pool default/b") && found[0].contains("only Backend"),
            "{found:?}"
        );
    }

    #[test]
    fn one_that_ends_with_a_backend_or_an_answer_is_not() {
        let sorry = "priority: 1, plugins: [{type: Respond, param: {status: 503, body: sorry}}]";
        for (name, spec, serves) in [("b", "priority: 1", true), ("b", sorry, false), ("b", "", true)] {
            let last =
                if serves { backend(name, "") } else { pool("other", "match: [{hosts: [x.y]}], enabled: false") };
            assert_eq!(hits(LINT, &[&pool("a", ""), &pool(name, spec), &last]), [""; 0], "{spec}");
        }
        // Nobody knows what a script answers.
        let script = "kind: Plugin\nmetadata: {name: quit}\n\
                      spec: {type: Lua, lua: {source: 'return {}'}}\n";
        assert_eq!(hits(LINT, &[&pool("a", "plugins: [{name: quit}]"), script]), [""; 0]);
        for base in ["enabled: false", "match: [{hosts: [base.invalid]}]"] {
            assert_eq!(hits(LINT, &[&pool("base", base)]), [""; 0]);
        }
    }
}
