//! A plugin comes after one that answers every request, so that no request ever reaches it. Only what looks at the end
//! of requests still does.

use weir_proto::model::{BuiltIn, Pool};

use super::{Hit, Lint, Resources};

pub(super) const LINT: Lint =
    Lint { id: "plugin-after-answer", about: "a plugin comes after one that answers every request", look };

fn look(resources: &Resources) -> Vec<Hit> {
    resources.pools().flat_map(|pool| of_pool(resources, pool)).collect()
}

fn of_pool(resources: &Resources, pool: &Pool) -> Vec<Hit> {
    let Some((answer, built_in)) = resources.answers_all(pool) else { return Vec::new() };
    let after = pool.plugins.iter().enumerate().skip(answer + 1);
    // A script may have a hook for the end, as metrics do.
    let unreached = after.filter_map(|(place, used)| Some((place, resources.type_of(used)?)));
    let unreached = unreached.filter(|(_, own)| *own != BuiltIn::Metrics);
    let message = |own| format!("no request reaches {own}: plugins[{answer}], {built_in}, answers them all");
    unreached.map(|(place, own)| Hit::pool(&pool.name, format!("spec.plugins[{place}]"), message(own))).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::of_pool as found;
    use super::*;

    const RESPOND: &str = "{type: Respond, param: {status: 200, body: hello}}";
    const KEY: &str = "{type: RateLimit, param: {rate: 5}}";

    #[test]
    fn what_no_request_reaches_is_found() {
        let hits = found(LINT, &format!("plugins: [{RESPOND}, {KEY}]"));
        let expected =
            "Pool default/a: spec.plugins[1]: no request reaches RateLimit: plugins[0], Respond, answers them all";
        assert_eq!(hits, [expected]);
        let redirect = "{type: Redirect, param: {location: 'https://a.b/'}}";
        assert_eq!(found(LINT, &format!("plugins: [{redirect}, {KEY}]")).len(), 1);
        let fault = "{type: Fault, param: {abort: {status: 500, percent: 100}}}";
        assert_eq!(found(LINT, &format!("plugins: [{fault}, {KEY}]")).len(), 1);
    }

    #[test]
    fn what_comes_before_or_counts_the_end_is_not() {
        let metrics = "{type: Metrics, param: {name: seen_total, help: Seen., type: counter}}";
        let some = "{type: Fault, param: {abort: {status: 500, percent: 50}}}";
        for plugins in [format!("{KEY}, {RESPOND}"), format!("{some}, {KEY}"), format!("{RESPOND}, {metrics}")] {
            assert_eq!(found(LINT, &format!("plugins: [{plugins}]")), [""; 0], "{plugins}");
        }
    }
}
