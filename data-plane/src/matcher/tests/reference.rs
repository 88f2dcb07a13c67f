//! What M1 to M7 say, one rule after the other: slow, and without any index that could be wrong.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;

/// The chains that M6 allows for the request: one, unless a pool holds several rules that are equally good.
fn reference(pools: &[Pool], request: &Request) -> Vec<Vec<ResourceName>> {
    let rules: Vec<(&ResourceName, Rule)> = pools
        .iter()
        .flat_map(|pool| rules_or_any(pool).into_iter().flat_map(one_per_host).map(|rule| (&pool.name, rule)))
        .collect();
    let chain = |rule: &Rule| {
        let equal = rules.iter().filter(|(_, other)| same(rule, other));
        equal.map(|(name, _)| (*name).clone()).collect::<BTreeSet<_>>()
    };
    let holding = rules.iter().filter(|(_, rule)| holds(rule, request));
    let ranked: Vec<_> = holding.map(|(_, rule)| (specificity(rule), chain(rule))).collect();
    let place = |(rank, chain): &(Specificity, BTreeSet<ResourceName>)| (*rank, chain.first().cloned());
    let best = ranked.iter().map(place).min();
    let equally_good = ranked.iter().filter(|ranked| Some(place(ranked)) == best);
    equally_good.map(|(_, chain)| chain.iter().cloned().collect()).collect()
}

fn rules_or_any(pool: &Pool) -> Vec<Rule> {
    if pool.rules.is_empty() { vec![Rule::default()] } else { pool.rules.clone() }
}

fn one_per_host(rule: Rule) -> Vec<Rule> {
    let with = |host: &HostPattern| Rule { hosts: vec![host.clone()], ..rule.clone() };
    if rule.hosts.is_empty() { vec![rule] } else { rule.hosts.iter().map(with).collect() }
}

fn same(a: &Rule, b: &Rule) -> bool {
    let all_in = |a: &[ValueMatch], b: &[ValueMatch]| a.iter().all(|value| b.contains(value));
    let equal = |a: &[ValueMatch], b: &[ValueMatch]| all_in(a, b) && all_in(b, a);
    let methods = |rule: &Rule| rule.methods.iter().cloned().collect::<BTreeSet<_>>();
    a.hosts == b.hosts
        && path_or_root(a) == path_or_root(b)
        && methods(a) == methods(b)
        && equal(&a.headers, &b.headers)
        && equal(&a.query, &b.query)
}

fn path_or_root(rule: &Rule) -> PathMatch {
    rule.path.clone().unwrap_or_else(|| prefix("/"))
}

/// The least is the best.
type Specificity = (Reverse<(bool, usize)>, u8, i32, Reverse<usize>, Reverse<usize>);

fn specificity(rule: &Rule) -> Specificity {
    let host = match rule.hosts.first() {
        Some(HostPattern::Exact(_)) => (true, 0),
        Some(HostPattern::Wildcard(suffix)) => (false, suffix.len()),
        None => (false, 0),
    };
    let (kind, order, length) = match path_or_root(rule) {
        PathMatch::Exact(_) => (0, 0, 0),
        PathMatch::Regex { pattern, order } => (1, order, pattern.as_str().len()),
        PathMatch::Prefix(prefix) => (2, 0, prefix.len()),
    };
    let distinct =
        |values: &[ValueMatch]| (1..=values.len()).filter(|i| !values[*i..].contains(&values[i - 1])).count();
    let conditions = usize::from(!rule.methods.is_empty()) + distinct(&rule.headers) + distinct(&rule.query);
    (Reverse(host), kind, order, Reverse(length), Reverse(conditions))
}

fn holds(rule: &Rule, request: &Request) -> bool {
    let host = rule.hosts.is_empty()
        || rule.hosts.iter().any(|pattern| match pattern {
            HostPattern::Exact(host) => *host == request.host,
            HostPattern::Wildcard(suffix) => request.host.ends_with(&format!(".{suffix}")),
        });
    let method = rule.methods.is_empty() || rule.methods.iter().any(|method| method == request.method.as_str());
    let header = |test: &ValueMatch| {
        let values = request.headers.get_all(&test.name).iter();
        values.into_iter().any(|value| value_holds(&test.test, value.to_str().unwrap()))
    };
    let parameter = |test: &ValueMatch| {
        let pairs = request.query.as_deref().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
        pairs.into_iter().any(|(name, value)| name == test.name && value_holds(&test.test, value))
    };
    host && path_holds(&path_or_root(rule), &request.path)
        && method
        && rule.headers.iter().all(header)
        && rule.query.iter().all(parameter)
}

fn path_holds(rule: &PathMatch, path: &str) -> bool {
    match rule {
        PathMatch::Exact(exact) => exact == path,
        PathMatch::Prefix(prefix) => path == prefix || path.starts_with(&format!("{prefix}/")),
        PathMatch::Regex { pattern, order: _ } => pattern.regex().is_match(path),
    }
}

fn value_holds(test: &ValueTest, value: &str) -> bool {
    match test {
        ValueTest::Exact(exact) => exact == value,
        ValueTest::Regex(pattern) => pattern.regex().is_match(value),
        ValueTest::Present => true,
    }
}

const HOSTS: [&str; 6] = ["a.b.c", "b.c", "x.b.c", "x.a.b.c", "c", "y"];
const PATHS: [&str; 9] = ["/", "/a", "/a/", "/a/b", "/a/b/c", "/ab", "/b", "/b/a", "/c/a"];
const PATTERNS: [&str; 10] = ["^/a", "^/a/b", "^/a/b$", "^/b", "b", "a$", "^/a|^/c", "^/[ab]/", "", "/c"];

fn any_rule() -> impl Strategy<Value = Rule> {
    let host = select(vec!["a.b.c", "b.c", "*.b.c", "*.c", "*.a.b.c"]);
    let path = prop_oneof![
        select(&PATHS[..]).prop_map(exact),
        select(&PATHS[..]).prop_map(prefix),
        (select(&PATTERNS[..]), any::<bool>(), -1..1_i32).prop_map(|(text, case_insensitive, order)| {
            PathMatch::Regex { pattern: Pattern::new(text, case_insensitive).unwrap(), order }
        }),
    ];
    let hosts = prop::collection::btree_set(host, 0..3).prop_map(|names| hosts(&Vec::from_iter(names)).hosts);
    let methods = subsequence(vec!["GET", "PUT"], 0..=2).prop_shuffle();
    (hosts, prop::option::of(path), methods, values("x-"), values("q")).prop_map(
        |(hosts, path, methods, headers, query)| Rule {
            hosts,
            path,
            methods: methods.into_iter().map(str::to_owned).collect(),
            headers,
            query,
        },
    )
}

/// Few conditions, with repetitions, on things of which requests have some.
fn values(names: &'static str) -> impl Strategy<Value = Vec<ValueMatch>> {
    let test = prop_oneof![
        select(vec!["1", "2"]).prop_map(|text| ValueTest::Exact(text.to_owned())),
        Just(ValueTest::Present),
        Just(ValueTest::Regex(Pattern::new("[12]", false).unwrap())),
    ];
    let one = (select(vec!["a", "b"]), test).prop_map(move |(name, test)| value(&format!("{names}{name}"), test));
    prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(one, 1..3)]
}

fn any_pools() -> impl Strategy<Value = Vec<Pool>> {
    let rules = prop::collection::vec(prop::collection::vec(any_rule(), 0..5), 1..8);
    rules.prop_map(|rules| ('a'..).zip(rules).map(|(name, rules)| pool(&name.to_string(), rules)).collect())
}

fn any_request() -> impl Strategy<Value = Request> {
    let pairs = |names: &'static str| {
        let name = select(vec!["a", "b"]).prop_map(move |name| format!("{names}{name}"));
        prop::collection::vec((name, select(vec!["1", "2", "3", ""])), 0..3)
    };
    let method = select(vec![Method::GET, Method::PUT, Method::POST]);
    (select(&HOSTS[..]), select(&PATHS[..]), method, pairs("x-"), pairs("q")).prop_map(
        |(host, path, method, headers, query)| {
            let query = query.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
            let pairs = headers.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
            let query = (!query.is_empty()).then_some(query);
            Request {
                host: host.to_owned(),
                path: path.to_owned(),
                query,
                method,
                headers: HeaderMap::from_iter(pairs),
            }
        },
    )
}

proptest! {
    #[test]
    fn m6_the_matcher_agrees_with_the_reference_in_any_order(
        (pools, shuffled) in any_pools().prop_flat_map(|pools| (Just(pools.clone()), Just(pools).prop_shuffle())),
        requests in prop::collection::vec(any_request(), 1..20),
    ) {
        let (matcher, other) = (Matcher::compile(&pools), Matcher::compile(&shuffled));
        prop_assert_eq!(hosts_of(&matcher), hosts_of(&other));
        for request in requests {
            let (allowed, found) = (reference(&pools, &request), found(&matcher, &request));
            prop_assert_eq!(super::found(&other, &request).map(|chain| &chain.key), found.map(|chain| &chain.key));
            match found.map(|chain| chain.pools.iter().cloned().collect()) {
                Some(chain) => prop_assert!(allowed.contains(&chain), "{:?}: {:?}, not {:?}", request, allowed, chain),
                None => prop_assert!(allowed.is_empty(), "{:?}: {:?}, not nothing", request, allowed),
            }
        }
    }

    #[test]
    fn c5_a_matcher_after_changes_is_the_one_of_what_is_left(
        (before, after) in (any_pools(), any_pools()),
        requests in prop::collection::vec(any_request(), 1..20),
    ) {
        let fresh = Matcher::compile(&after);
        let renewed = changed(&Matcher::compile(&before), &before, &after);
        prop_assert_eq!(hosts_of(&fresh), hosts_of(&renewed));
        for request in requests {
            let key = |matcher| found(matcher, &request).map(|chain| chain.key.clone());
            prop_assert_eq!(key(&fresh), key(&renewed));
        }
    }
}

proptest! {
    #[test]
    fn m8_what_a_rule_lacks_is_nothing_of_all_that_hold_and_something_of_all_others(
        pools in any_pools(),
        requests in prop::collection::vec(any_request(), 1..20),
    ) {
        let matcher = Matcher::compile(&pools);
        for request in requests {
            let nearest = matcher.nearest(&request.head(), usize::MAX);
            let all: usize = matcher.groups.iter().flatten().map(|group| group.chains.len()).sum();
            prop_assert_eq!(nearest.len(), all);
            let holding: Vec<&Arc<str>> =
                nearest.iter().take_while(|near| near.misses.is_empty()).map(|near| &near.chain.key).collect();
            prop_assert!(nearest[holding.len()..].iter().all(|near| !near.misses.is_empty()), "those that hold go first");
            match found(&matcher, &request) {
                Some(chain) => prop_assert_eq!(holding.first(), Some(&&chain.key), "{:?}", request),
                None => prop_assert!(holding.is_empty(), "{:?}: {:?}", request, holding),
            }
        }
    }
}
