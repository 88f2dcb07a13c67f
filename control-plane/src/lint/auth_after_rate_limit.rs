//! A `RateLimit` counts by what a request carries before anybody has checked who sends it: a client without credentials
//! makes up keys as it likes, and takes up those of others.

use weir_proto::model::plugin::param::RateKey;
use weir_proto::model::{Param, Pool};

use super::{Hit, Lint, Resources};

pub(super) const LINT: Lint = Lint {
    id: "auth-after-rate-limit",
    about: "a RateLimit by header or cookie comes before the plugin that checks who the client is",
    look,
};

fn look(resources: &Resources) -> Vec<Hit> {
    resources.pools().flat_map(|pool| of_pool(resources, pool)).collect()
}

fn of_pool(resources: &Resources, pool: &Pool) -> Vec<Hit> {
    let last_check = resources.plugins(pool).rev().find_map(|(place, param)| Some((place, authenticates(&param)?)));
    let Some((check, name)) = last_check else { return Vec::new() };
    let early = resources.plugins(pool).filter(|(place, param)| *place < check && is_by_client(param));
    let message = format!("counts by what clients make up: {name} checks them later, at plugins[{check}]");
    early.map(|(place, _)| Hit::pool(&pool.name, format!("spec.plugins[{place}]"), message.clone())).collect()
}

fn authenticates(param: &Param) -> Option<&'static str> {
    match param {
        Param::ApiKey(_) => Some("ApiKey"),
        Param::BasicAuth(_) => Some("BasicAuth"),
        Param::Jwt(_) => Some("Jwt"),
        Param::ExternalAuth(_) => Some("ExternalAuth"),
        _ => None,
    }
}

fn is_by_client(param: &Param) -> bool {
    matches!(param, Param::RateLimit(limit) if matches!(limit.key, RateKey::Header(_) | RateKey::Cookie(_)))
}

#[cfg(test)]
mod tests {
    use super::super::tests::of_pool as found;
    use super::*;

    const AUTH: &str = "{type: ExternalAuth, param: {url: 'http://10.0.0.9/auth', responseHeaders: [x-user]}}";

    fn limit(key: &str) -> String {
        format!("{{type: RateLimit, param: {{rate: 5, key: {key}}}}}")
    }

    #[test]
    fn a_limit_by_a_header_that_is_not_checked_yet_is_found() {
        let hits = found(LINT, &format!("plugins: [{}, {AUTH}]", limit("{header: x-user}")));
        let expected = "Pool default/a: spec.plugins[0]: counts by what clients make up: ExternalAuth checks them later, at plugins[1]";
        assert_eq!(hits, [expected]);
        assert_eq!(found(LINT, &format!("plugins: [{}, {AUTH}]", limit("{cookie: session}"))).len(), 1);
    }

    #[test]
    fn one_that_comes_later_or_counts_by_address_is_not() {
        assert_eq!(found(LINT, &format!("plugins: [{AUTH}, {}]", limit("{header: x-user}"))), [""; 0]);
        assert_eq!(found(LINT, &format!("plugins: [{}, {AUTH}]", limit("address"))), [""; 0]);
        assert_eq!(found(LINT, &format!("plugins: [{}]", limit("{header: x-user}"))), [""; 0]);
    }
}
