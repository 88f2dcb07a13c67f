//! Promises of matching as a whole, and the matcher against a reference that knows no index.

mod reference;

use std::cell::Cell;
use std::collections::BTreeSet;

use http::HeaderValue;
use weir_proto::model::{PathMatch, Pattern, ResourceName, Rule, ValueMatch, ValueTest};

use super::*;

fn pool(name: &str, rules: Vec<Rule>) -> Pool {
    Pool { rules, ..Pool::new(ResourceName::new("shop", name).unwrap()) }
}

fn hosts(hosts: &[&str]) -> Rule {
    Rule { hosts: hosts.iter().map(|host| HostPattern::parse(host).unwrap()).collect(), ..Rule::default() }
}

fn path(path: PathMatch) -> Rule {
    Rule { path: Some(path), ..Rule::default() }
}

fn exact(value: &str) -> PathMatch {
    PathMatch::exact(value).unwrap()
}

fn prefix(value: &str) -> PathMatch {
    PathMatch::prefix(value).unwrap()
}

fn regex(text: &str, order: i32) -> PathMatch {
    PathMatch::Regex { pattern: Pattern::new(text, false).unwrap(), order }
}

fn value(name: &str, test: ValueTest) -> ValueMatch {
    ValueMatch { name: name.to_owned(), test }
}

fn is(name: &str, text: &str) -> ValueMatch {
    value(name, ValueTest::Exact(text.to_owned()))
}

/// A request that owns its parts.
#[derive(Debug, Clone, Default)]
struct Request {
    host: String,
    path: String,
    query: Option<String>,
    method: Method,
    headers: HeaderMap,
}

impl Request {
    /// `GET` of `host/path?query`.
    fn get(url: &str) -> Self {
        let (url, query) = url.split_once('?').map_or((url, None), |(url, query)| (url, Some(query.to_owned())));
        let (host, path) = url.split_at(url.find('/').unwrap_or(url.len()));
        Self { host: host.to_owned(), path: path.to_owned(), query, ..Self::default() }
    }

    fn header(mut self, name: &'static str, value: &[u8]) -> Self {
        self.headers.append(name, HeaderValue::from_bytes(value).unwrap());
        self
    }

    fn head(&self) -> Head<'_> {
        let Self { host, path, query, method, headers } = self;
        Head { host, path, query: query.as_deref(), method, headers }
    }
}

fn found<'m>(matcher: &'m Matcher, request: &Request) -> Option<&'m RuleChain> {
    matcher.find(&request.head()).and_then(|place| matcher.chain(place)).map(|chain| &**chain)
}

/// The rules of each host, each with its holders; whatever their numbers.
fn hosts_of(matcher: &Matcher) -> BTreeSet<BTreeMap<Arc<str>, BTreeSet<ResourceName>>> {
    let chain = |(_, chain): (usize, &Arc<RuleChain>)| (chain.key.clone(), chain.pools.clone());
    matcher.groups.iter().flatten().map(|group| group.chains.iter().map(chain).collect()).collect()
}

/// The matcher after these pools, all there were, have become those.
fn changed(matcher: &Matcher, before: &[Pool], after: &[Pool]) -> Matcher {
    let names: BTreeSet<&ResourceName> = before.iter().chain(after).map(|pool| &pool.name).collect();
    let of = |name: &ResourceName, pools: &'_ [Pool]| pools.iter().position(|pool| pool.name == *name);
    let change = |name| Change {
        before: of(name, before).map(|place| &before[place]),
        after: of(name, after).map(|place| &after[place]),
    };
    matcher.changed(names.into_iter().map(change)).0
}

/// Names of the pools that take the request, each without its namespace.
fn taken(pools: &[Pool], request: &Request) -> Vec<String> {
    let matcher = Matcher::compile(pools);
    let chain = found(&matcher, request);
    chain.map(|chain| chain.pools.iter().map(|pool| pool.name().to_owned()).collect()).unwrap_or_default()
}

/// Whether a pool with this rule alone takes the request.
fn matches(rule: Rule, request: &Request) -> bool {
    !taken(&[pool("p", vec![rule])], request).is_empty()
}

/// Which of the pools, made of one rule each and named `a`, `b` and so on, takes a GET of `url`.
fn best(rules: &[Rule], url: &str) -> String {
    let named = ('a'..).zip(rules).map(|(name, rule)| pool(&name.to_string(), vec![rule.clone()]));
    let mut pools: Vec<Pool> = named.collect();
    let taken_in_order = taken(&pools, &Request::get(url));
    pools.reverse();
    assert_eq!(taken(&pools, &Request::get(url)), taken_in_order, "depends on the order of pools");
    taken_in_order.concat()
}

#[test]
fn m1_any_rule_of_a_pool_is_enough() {
    let pools = [pool("p", vec![path(exact("/a")), path(exact("/b"))])];
    for (url, expected) in [("h/a", 1), ("h/b", 1), ("h/c", 0)] {
        assert_eq!(taken(&pools, &Request::get(url)).len(), expected, "{url}");
    }
}

#[test]
fn m1_a_pool_without_rules_matches_every_request() {
    let pools = [pool("p", vec![])];
    for url in ["", "h/", "a.b.c/x/y?z", "h*"] {
        assert_eq!(taken(&pools, &Request::get(url)), ["p"], "{url:?}");
    }
    let options = Request { path: "*".into(), method: Method::OPTIONS, ..Request::default() };
    assert_eq!(taken(&pools, &options), ["p"]);
}

#[test]
fn m2_all_conditions_of_a_rule_must_hold() {
    let rule = Rule {
        hosts: hosts(&["h"]).hosts,
        path: Some(prefix("/a")),
        methods: vec!["GET".into(), "PUT".into()],
        headers: vec![is("x-env", "canary")],
        query: vec![is("v", "2")],
    };
    let good = Request::get("h/a/b?v=2").header("x-env", b"canary");
    assert!(matches(rule.clone(), &good));
    let bad = [
        Request { host: "i".into(), ..good.clone() },
        Request { path: "/b".into(), ..good.clone() },
        Request { method: Method::POST, ..good.clone() },
        Request { headers: HeaderMap::new(), ..good.clone() },
        Request { query: Some("v=3".into()), ..good.clone() },
        Request { query: None, ..good },
    ];
    for request in bad {
        assert!(!matches(rule.clone(), &request), "{request:?}");
    }
}

#[test]
fn m2_methods_may_be_any_token() {
    let rule = Rule { methods: vec!["PURGE".into()], ..Rule::default() };
    let purge = Request { method: Method::from_bytes(b"PURGE").unwrap(), ..Request::get("h/") };
    assert!(matches(rule.clone(), &purge) && !matches(rule, &Request::get("h/")));
}

#[test]
fn m2_one_of_several_header_values_is_enough() {
    let rule = |test| Rule { headers: vec![value("x-a", test)], ..Rule::default() };
    let request = Request::get("h/").header("x-a", b"1").header("x-a", b"two").header("x-b", b"3");
    let found = Pattern::new("^w|wo$", false).unwrap();
    assert!(matches(rule(ValueTest::Exact("two".into())), &request));
    assert!(matches(rule(ValueTest::Regex(found)), &request));
    assert!(matches(rule(ValueTest::Present), &request));
    assert!(!matches(rule(ValueTest::Exact("3".into())), &request));
    assert!(!matches(rule(ValueTest::Present), &Request::get("h/")));
}

#[test]
fn m2_header_values_that_are_no_text_match_no_pattern() {
    let rule = |test| Rule { headers: vec![value("x-a", test)], ..Rule::default() };
    let request = Request::get("h/").header("x-a", b"\xff");
    assert!(!matches(rule(ValueTest::Regex(Pattern::new("", false).unwrap())), &request));
    assert!(!matches(rule(ValueTest::Exact("\u{ff}".into())), &request));
    assert!(matches(rule(ValueTest::Present), &request));
}

#[test]
fn m2_query_values_compare_decoded() {
    let rule = |test| Rule { query: vec![value("a b", test)], ..Rule::default() };
    let request = Request::get("h/?x=1&a+b=no&a%20b=c%2Bd&%61+b");
    let found = Pattern::new(r"^c\+d$", false).unwrap();
    assert!(matches(rule(ValueTest::Exact("c+d".into())), &request));
    assert!(matches(rule(ValueTest::Exact(String::new())), &request));
    assert!(matches(rule(ValueTest::Regex(found)), &request));
    assert!(matches(rule(ValueTest::Present), &request));
    assert!(!matches(rule(ValueTest::Exact("c%2Bd".into())), &request));
}

#[test]
fn m3_hosts_match_exactly_or_by_wildcard() {
    let rule = hosts(&["*.example.com", "localhost", "[::1]"]);
    for host in ["a.example.com", "a.b.example.com", "localhost", "[::1]"] {
        assert!(matches(rule.clone(), &Request::get(&format!("{host}/"))), "{host}");
    }
    for host in ["example.com", "xexample.com", "a.localhost", ""] {
        assert!(!matches(rule.clone(), &Request::get(&format!("{host}/"))), "{host}");
    }
}

#[test]
fn m4_prefixes_go_by_whole_segments() {
    for (rule, url, expected) in [
        ("/api", "h/api", true),
        ("/api", "h/api/", true),
        ("/api", "h/api/x", true),
        ("/api/", "h/api", true),
        ("/api", "h/apix", false),
        ("/api", "h/", false),
        ("/api", "h/x/api", false),
        ("/a", "h/a//b", true),
        ("/a/b", "h/a//b", false),
        ("/", "h/any", true),
    ] {
        assert_eq!(matches(path(prefix(rule)), &Request::get(url)), expected, "{rule} {url}");
    }
}

#[test]
fn m4_exact_is_the_whole_path() {
    for (rule, url, expected) in [
        ("/api", "h/api", true),
        ("/api", "h/api/", false),
        ("/api", "h/api/x", false),
        ("/api/", "h/api/", true),
        ("/api/", "h/api", false),
        ("/", "h/", true),
        ("/", "h/a", false),
        ("/", "h*", false),
    ] {
        assert_eq!(matches(path(exact(rule)), &Request::get(url)), expected, "{rule} {url}");
    }
}

#[test]
fn m4_regexes_are_searched_unanchored_in_the_path_without_query() {
    assert!(matches(path(regex("b/.", 0)), &Request::get("h/ab/c")));
    assert!(!matches(path(regex("^b", 0)), &Request::get("h/b")));
    assert!(!matches(path(regex("q", 0)), &Request::get("h/a?q")));
    assert!(!matches(path(regex("PHP$", 0)), &Request::get("h/a.php")));
    let pattern = Pattern::new("PHP$", true).unwrap();
    assert!(matches(path(PathMatch::Regex { pattern, order: 0 }), &Request::get("h/a.php")));
}

#[test]
fn m5_rules_may_be_written_in_any_form_of_their_path() {
    assert!(matches(path(exact("/%61/./caf%c3%a9")), &Request::get("h/a/caf%C3%A9")));
    assert!(matches(path(prefix("/b/../é")), &Request::get("h/%C3%A9/x")));
    assert!(matches(path(prefix("/a/.")), &Request::get("h/a")));
    assert!(!matches(path(exact("/%zz")), &Request::get("h/")));
}

#[test]
fn m6_hosts_go_before_everything_else() {
    let plain = hosts(&["a.b.c"]);
    let wildcard = Rule { path: Some(exact("/x")), ..hosts(&["*.b.c"]) };
    let shorter = Rule { path: Some(exact("/x")), methods: vec!["GET".into()], ..hosts(&["*.c"]) };
    let none = Rule { path: Some(exact("/x")), methods: vec!["GET".into()], ..Rule::default() };
    let rules = [none, shorter, wildcard, plain];
    for (url, expected) in [("a.b.c/x", "d"), ("d.b.c/x", "c"), ("b.c/x", "b"), ("c/x", "a")] {
        assert_eq!(best(&rules, url), expected, "{url}");
    }
}

#[test]
fn m6_a_host_whose_rules_do_not_hold_leaves_the_request_to_the_next() {
    let rules = [
        Rule { path: Some(exact("/x")), ..hosts(&["a.b"]) },
        Rule { methods: vec!["PUT".into()], ..hosts(&["*.b"]) },
        Rule::default(),
    ];
    assert_eq!(best(&rules, "a.b/x"), "a");
    assert_eq!(best(&rules, "a.b/y"), "c");
}

#[test]
fn m6_exact_goes_before_regex_before_prefix() {
    let rules = [path(prefix("/a/b")), path(regex("/a/b", 0)), path(exact("/a/b")), path(prefix("/a"))];
    assert_eq!(best(&rules, "h/a/b"), "c");
    assert_eq!(best(&rules[..2], "h/a/b"), "b");
    assert_eq!(best(&rules, "h/a/c"), "d");
}

#[test]
fn m6_regexes_go_by_order_then_length() {
    let rules = [path(regex("^/a", 0)), path(regex("^/a[b-d]", 0)), path(regex("c", -1)), path(regex("abcdef", 1))];
    assert_eq!(best(&rules, "h/abcdef"), "c");
    assert_eq!(best(&rules, "h/abd"), "b");
    assert_eq!(best(&rules, "h/a"), "a");
}

#[test]
fn m6_longer_prefixes_go_first() {
    let rules = [path(prefix("/a")), path(prefix("/a/b")), path(prefix("/"))];
    for (url, expected) in [("h/a/b/c", "b"), ("h/a/bc", "a"), ("h/ab", "c")] {
        assert_eq!(best(&rules, url), expected, "{url}");
    }
}

#[test]
fn m6_more_conditions_go_first_and_the_next_best_takes_what_they_leave() {
    for at in [exact("/a"), regex("/a", 0), prefix("/a")] {
        let get = Rule { methods: vec!["GET".into(), "PUT".into()], ..path(at.clone()) };
        let header = Rule { headers: vec![value("x", ValueTest::Present)], ..get.clone() };
        let query = Rule { query: vec![is("v", "2")], ..header.clone() };
        let rules = [path(at), get, header, query];
        assert_eq!(best(&rules, "h/a?v=2"), "b");
        let pools: Vec<Pool> = ('a'..).zip(rules).map(|(name, rule)| pool(&name.to_string(), vec![rule])).collect();
        let with_header = Request::get("h/a").header("x", b"");
        assert_eq!(taken(&pools, &with_header), ["c"]);
        assert_eq!(taken(&pools, &Request { query: Some("v=2".into()), ..with_header }), ["d"]);
        assert_eq!(taken(&pools, &Request { method: Method::POST, ..Request::get("h/a") }), ["a"]);
    }
}

#[test]
fn m6_equally_good_rules_go_by_namespace_and_name() {
    let rules = [
        Rule { query: vec![is("a", "1")], ..Rule::default() },
        Rule { headers: vec![], query: vec![is("b", "1")], ..Rule::default() },
    ];
    assert_eq!(best(&rules, "h/?a=1&b=1"), "a");
    let mut pools = [pool("a", vec![rules[0].clone()]), pool("b", vec![rules[1].clone()])];
    pools[1].name = ResourceName::new("earlier", "b").unwrap();
    assert_eq!(taken(&pools, &Request::get("h/?a=1&b=1")), ["b"]);
}

#[test]
fn m7_pools_with_an_equal_rule_form_one_chain() {
    let one = Rule {
        path: Some(prefix("/")),
        methods: vec!["GET".into(), "PUT".into()],
        headers: vec![is("x", "1"), is("y", "2")],
        ..hosts(&["a", "b"])
    };
    let same = Rule {
        path: None,
        methods: vec!["PUT".into(), "GET".into()],
        headers: vec![is("y", "2"), is("x", "1"), is("y", "2")],
        ..hosts(&["b", "a"])
    };
    let pools = [pool("two", vec![same.clone(), same]), pool("one", vec![one])];
    let request = Request::get("b/").header("x", b"1").header("y", b"2");
    assert_eq!(taken(&pools, &request), ["one", "two"]);
    let hosts = hosts_of(&Matcher::compile(&pools));
    assert_eq!(hosts.iter().map(BTreeMap::len).collect::<Vec<_>>(), [1, 1], "one a host");
}

#[test]
fn m7_rules_that_differ_form_chains_of_their_own() {
    let quoted = [is("a", "1\" header \"b\" Exact \"2")];
    let rules = [
        Rule { headers: vec![is("a", "1"), is("b", "2")], ..Rule::default() },
        Rule { headers: quoted.to_vec(), ..Rule::default() },
        Rule { query: quoted.to_vec(), ..Rule::default() },
        Rule { headers: vec![value("a", ValueTest::Present)], ..Rule::default() },
        path(exact("/a")),
        path(prefix("/a")),
        path(regex("/a", 0)),
        path(regex("/a", 1)),
        path(PathMatch::Regex { pattern: Pattern::new("/a", true).unwrap(), order: 0 }),
        hosts(&["a.b"]),
        hosts(&["*.a.b"]),
    ];
    let hosts = hosts_of(&Matcher::compile(&[pool("p", rules.to_vec())]));
    let keys: BTreeSet<&str> = hosts.iter().flatten().map(|(key, _)| &**key).collect();
    assert_eq!(keys.len(), rules.len());
}

#[test]
fn m7_the_key_of_a_chain_says_its_rule() {
    let rule = Rule {
        path: Some(regex("^/a", 3)),
        methods: vec!["PUT".into(), "GET".into()],
        headers: vec![is("x-env", "canary")],
        query: vec![value("v", ValueTest::Present)],
        ..hosts(&["*.example.com"])
    };
    let hosts = hosts_of(&Matcher::compile(&[pool("a", vec![rule]), pool("b", vec![])]));
    let keys: Vec<&str> = hosts.iter().flatten().map(|(key, _)| &**key).collect();
    let text = r#"*.example.com Regex "^/a" order 3 methods GET,PUT header "x-env" Exact "canary" query "v" Present"#;
    assert_eq!(keys, [r#"* Prefix "/""#, text]);
}

#[test]
fn m8_no_rule_holds_for_a_request_of_nobody() {
    assert_eq!(Matcher::default().find(&Request::get("h/").head()), None);
    assert!(!matches(hosts(&["a"]), &Request::get("b/")));
}

/// Rules of every kind, spread over hosts and gathered at one, in about equal parts.
fn many_rules(count: usize) -> Vec<Pool> {
    let rule = |i: usize| match i % 5 {
        0 => Rule { path: Some(prefix("/api")), ..hosts(&[&format!("h{i}.example.com")]) },
        1 => path(prefix(&format!("/shop/{i}/items"))),
        2 => path(exact(&format!("/page/{i}"))),
        3 => path(regex(&format!("^/user{i}/[0-9]+$"), 0)),
        _ => Rule { methods: vec!["GET".into()], ..hosts(&[&format!("*.w{i}.example.com")]) },
    };
    (0..count).map(|i| pool(&format!("p{i}"), vec![rule(i)])).collect()
}

thread_local! {
    static JUDGED: Cell<usize> = const { Cell::new(0) };
}

/// Called for each rule whose own conditions are looked at.
pub(super) fn count_judged() {
    JUDGED.set(JUDGED.get() + 1);
}

/// Rules that a look-up judges one by one; whatever else it does is a walk along the host and the path.
fn judged(matcher: &Matcher, url: &str) -> usize {
    JUDGED.set(0);
    let _ = matcher.find(&Request::get(url).head());
    JUDGED.get()
}

/// The times themselves are in `benches/match.rs`.
#[test]
fn m9_ten_thousand_rules_are_judged_no_more_than_ten() {
    let (few, many) = (Matcher::compile(&many_rules(10)), Matcher::compile(&many_rules(10_000)));
    for url in ["h5.example.com/api/x", "h/shop/6/items/7", "h/page/7", "h/user8/42", "a.w9.example.com/", "h/none"] {
        let found = |matcher: &Matcher| found(matcher, &Request::get(url)).map(|chain| chain.key.clone());
        assert_eq!(found(&few), found(&many), "{url}");
        assert_eq!(found(&few).is_none(), url == "h/none");
        assert_eq!(judged(&few, url), judged(&many, url), "{url}");
    }
}

#[test]
fn c5_hosts_whose_rules_stay_are_shared_with_the_previous_matcher() {
    let pools = ["g", "h"].map(|host| pool(host, vec![hosts(&[host])]));
    let old = Matcher::compile(&pools);
    let another = pool("a", vec![Rule::default(), Rule { path: Some(exact("/a")), ..hosts(&["g"]) }]);
    let new = changed(&old, &[], std::slice::from_ref(&another));
    let group = |matcher: &Matcher, host: &str| {
        let host = HostPattern::Exact(host.to_owned());
        matcher.hosts.get(Some(&host)).and_then(|number| matcher.groups[*number].clone()).unwrap()
    };
    assert!(Arc::ptr_eq(&group(&old, "h"), &group(&new, "h")), "the change does not concern it");
    let chain = |matcher: &Matcher| found(matcher, &Request::get("g/")).unwrap() as *const RuleChain;
    assert!(chain(&old) == chain(&new), "nor the other rules of a host");
    for (url, expected) in [("h/", "h"), ("g/a", "a"), ("g/", "g"), ("i/", "a")] {
        let chain = found(&new, &Request::get(url)).unwrap();
        assert_eq!(chain.pools.first().unwrap().name(), expected, "{url}");
    }
    let back = changed(&new, &[another], &[]);
    assert_eq!(hosts_of(&back), hosts_of(&old));
    assert!(found(&back, &Request::get("i/")).is_none());
}
