//! A plugin takes a header out of each request in which a later one looks for credentials, so that nobody gets in.

use http::HeaderName;
use http::header::AUTHORIZATION;
use weir_proto::model::plugin::param::{Carrier, HeaderEdit};
use weir_proto::model::{Param, Pool};

use super::{Hit, Lint, Resources};

pub(super) const LINT: Lint = Lint {
    id: "credentials-removed",
    about: "RequestHeaders removes the header in which a later plugin looks for credentials",
    look,
};

fn look(resources: &Resources) -> Vec<Hit> {
    resources.pools().flat_map(|pool| of_pool(resources, pool)).collect()
}

fn of_pool(resources: &Resources, pool: &Pool) -> Vec<Hit> {
    let mut removed: Vec<(usize, HeaderName)> = Vec::new();
    let mut hits = Vec::new();
    for (place, param) in resources.plugins(pool) {
        if let Param::RequestHeaders(edits) = &param {
            edits.iter().for_each(|edit| note(&mut removed, place, edit));
        }
        let Some(header) = credentials(&param) else { continue };
        if let Some((by, _)) = removed.iter().find(|(_, name)| *name == header) {
            let message = format!("lets nobody in: plugins[{by}] removes {header}, where it looks for credentials");
            hits.push(Hit::pool(&pool.name, format!("spec.plugins[{place}]"), message));
        }
    }
    hits
}

/// What is removed and not set again.
fn note(removed: &mut Vec<(usize, HeaderName)>, place: usize, edit: &HeaderEdit) {
    match edit {
        HeaderEdit::Remove(name) => removed.push((place, name.clone())),
        HeaderEdit::Set(name, _) | HeaderEdit::Add(name, _) => removed.retain(|(_, gone)| gone != name),
    }
}

/// The header in which a plugin looks for credentials.
fn credentials(param: &Param) -> Option<HeaderName> {
    match param {
        Param::BasicAuth(_) => Some(AUTHORIZATION),
        Param::ApiKey(key) => Some(key.header.clone()),
        Param::Jwt(jwt) => match &jwt.token {
            Carrier::Header(name) => Some(name.clone()),
            Carrier::Cookie(_) => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{backend, hits, pool};
    use super::*;

    const SECRET: &str = "kind: Secret\nmetadata: {name: keys}\nstringData: {one: letmein}";

    fn found(plugins: &str) -> Vec<String> {
        let secret = SECRET.to_owned();
        hits(LINT, &[&pool("a", &format!("plugins: [{plugins}]")), &backend("a", ""), &secret])
    }

    const REMOVE: &str = "{type: RequestHeaders, param: {remove: [x-api-key]}}";
    const KEY: &str = "{type: ApiKey, param: {secretName: keys}}";

    #[test]
    fn a_header_that_is_gone_when_it_is_looked_for_is_found() {
        let expected = "Pool default/a: spec.plugins[1]: lets nobody in: plugins[0] removes x-api-key, where it looks for credentials";
        assert_eq!(found(&format!("{REMOVE}, {KEY}")), [expected]);
    }

    #[test]
    fn one_that_is_removed_later_or_set_again_is_not() {
        assert_eq!(found(&format!("{KEY}, {REMOVE}")), [""; 0]);
        let set = "{type: RequestHeaders, param: {set: {x-api-key: '{client.address}'}}}";
        assert_eq!(found(&format!("{REMOVE}, {set}, {KEY}")), [""; 0]);
    }
}
