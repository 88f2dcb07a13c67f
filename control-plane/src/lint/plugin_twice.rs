//! A Pool uses the same plugin with the same parameter twice: hooks of the second that would run before the choice of a
//! backend do not run again (P8), and the others do the same once more.

use weir_proto::model::Pool;

use super::{Hit, Lint, Resources};

pub(super) const LINT: Lint =
    Lint { id: "plugin-twice", about: "a Pool has the same plugin with the same parameter twice", look };

fn look(resources: &Resources) -> Vec<Hit> {
    resources.pools().flat_map(of_pool).collect()
}

fn of_pool(pool: &Pool) -> impl Iterator<Item = Hit> {
    pool.plugins.iter().enumerate().filter_map(|(place, used)| {
        let first = pool.plugins[..place].iter().position(|before| before == used)?;
        let message = format!("is the same as plugins[{first}]");
        Some(Hit::pool(&pool.name, format!("spec.plugins[{place}]"), message))
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::of_pool as found;
    use super::*;

    #[test]
    fn an_equal_use_is_found_and_another_parameter_is_not() {
        let limit = |rate: u32| format!("{{type: RateLimit, param: {{rate: {rate}}}}}");
        let hits = found(LINT, &format!("plugins: [{}, {}, {}]", limit(5), limit(6), limit(5)));
        assert_eq!(hits, ["Pool default/a: spec.plugins[2]: is the same as plugins[0]"]);
        assert_eq!(found(LINT, &format!("plugins: [{}, {}]", limit(5), limit(6))), [""; 0]);
    }
}
