//! M1-M8: which pool takes a request.

use http::Request;
use weir_tests::client::full;
use weir_tests::manifest::{backend, pool};
use weir_tests::{Backend, Weir, send};

/// Pools that each answer with their own name; a spec is the inside of a flow mapping.
struct Pools {
    weir: Weir,
    servers: Vec<Backend>,
}

impl Pools {
    async fn start(specs: &[(&str, &str)]) -> Self {
        let (mut text, mut backends) = (String::new(), Vec::new());
        for (name, spec) in specs {
            let server = Backend::start(name).await;
            text += &pool(name, spec);
            text += &backend(&format!("{name}-1"), name, server.address(), "");
            backends.push(server);
        }
        Self { weir: Weir::start(&text).await, servers: backends }
    }

    /// The name of the pool that answered, or the status if none did.
    async fn ask(&self, request: http::request::Builder) -> String {
        let response = send(self.weir.address(), request.body(full("")).unwrap()).await.unwrap();
        if response.status == 200 { response.text() } else { response.status.to_string() }
    }

    async fn path(&self, path: &str) -> String {
        self.ask(Request::get(path)).await
    }

    async fn host(&self, host: &str) -> String {
        self.ask(Request::get("/").header("host", host)).await
    }
}

#[tokio::test]
async fn m1_any_rule_of_a_pool_is_enough_and_a_pool_without_rules_takes_the_rest() {
    let pools = Pools::start(&[
        ("some", "match: [{path: {type: Exact, value: /a}}, {path: {type: Exact, value: /b}}]"),
        ("rest", ""),
    ])
    .await;
    assert_eq!(pools.path("/a").await, "some");
    assert_eq!(pools.path("/b").await, "some");
    assert_eq!(pools.path("/c").await, "rest");
}

#[tokio::test]
async fn m2_all_conditions_of_a_rule_must_hold() {
    let rule = "match: [{hosts: [a.test], path: {type: Prefix, value: /api}, methods: [POST], \
                headers: [{name: x-env, type: Exact, value: canary}], query: [{name: v, type: Exact, value: '2'}]}]";
    let pools = Pools::start(&[("one", rule)]).await;
    let ask = |method: &str, target: &str, host: &str, env: &str| {
        pools.ask(Request::builder().method(method).uri(target).header("host", host).header("x-env", env))
    };
    assert_eq!(ask("POST", "/api/x?v=2", "a.test", "canary").await, "one");
    assert_eq!(ask("GET", "/api/x?v=2", "a.test", "canary").await, "404");
    assert_eq!(ask("POST", "/x?v=2", "a.test", "canary").await, "404");
    assert_eq!(ask("POST", "/api/x?v=3", "a.test", "canary").await, "404");
    assert_eq!(ask("POST", "/api/x?v=2", "b.test", "canary").await, "404");
    assert_eq!(ask("POST", "/api/x?v=2", "a.test", "live").await, "404");
}

#[tokio::test]
async fn m3_hosts_ignore_port_and_case_and_a_wildcard_needs_a_label() {
    let pools = Pools::start(&[
        ("exact", "match: [{hosts: [a.example.com]}]"),
        ("wild", "match: [{hosts: ['*.example.com']}]"),
    ])
    .await;
    assert_eq!(pools.host("A.Example.COM:81").await, "exact");
    assert_eq!(pools.host("b.example.com").await, "wild");
    assert_eq!(pools.host("c.b.example.com").await, "wild");
    assert_eq!(pools.host("example.com").await, "404");
}

#[tokio::test]
async fn m4_prefixes_go_by_segments_and_regexes_are_searched() {
    let pools = Pools::start(&[
        ("prefix", "match: [{path: {type: Prefix, value: /api}}]"),
        ("regex", r"match: [{path: {type: Regex, value: '\.PHP$', caseInsensitive: true}}]"),
    ])
    .await;
    for path in ["/api", "/api/", "/api/x", "/api?q"] {
        assert_eq!(pools.path(path).await, "prefix", "{path}");
    }
    assert_eq!(pools.path("/apix").await, "404");
    assert_eq!(pools.path("/a/b.php?x=1").await, "regex");
    assert_eq!(pools.path("/a/b.txt?x=.php").await, "404");
}

#[tokio::test]
async fn m5_matching_and_upstream_see_one_normalised_path() {
    let upstream = Backend::start("web-1").await;
    upstream.set(weir_tests::Behaviour::Echo);
    let text =
        pool("web", "match: [{path: {type: Prefix, value: /api}}]") + &backend("b", "web", upstream.address(), "");
    let weir = Weir::start(&text).await;
    for (sent, seen) in
        [("/x/../api/./a", "/api/a"), ("/%61pi/%7Eb?q=%61", "/api/~b?q=%61"), ("/api/a%2Fb", "/api/a%2Fb")]
    {
        let told = weir.get(sent).await;
        assert_eq!(told.status, 200, "{sent}");
        assert_eq!(told.json()["target"], seen, "{sent}");
    }
    assert_eq!(weir.get("/api/../secret").await.status, 404);
}

#[tokio::test]
async fn m6_the_most_specific_rule_wins_whatever_the_order_of_files() {
    let pools = Pools::start(&[
        ("z-host", "match: [{hosts: [a.test]}]"),
        ("y-exact", "match: [{path: {type: Exact, value: /p/q}}]"),
        ("x-regex", "match: [{path: {type: Regex, value: ^/p}}]"),
        ("w-long", "match: [{path: {type: Prefix, value: /r/s}}]"),
        ("v-short", "match: [{path: {type: Prefix, value: /r}}]"),
        ("u-header", "match: [{path: {type: Prefix, value: /r}, headers: [{name: x-a, type: Present}]}]"),
    ])
    .await;
    assert_eq!(pools.ask(Request::get("/p/q").header("host", "a.test")).await, "z-host");
    assert_eq!(pools.path("/p/q").await, "y-exact");
    assert_eq!(pools.path("/p/r").await, "x-regex");
    assert_eq!(pools.path("/r/s/t").await, "w-long");
    assert_eq!(pools.path("/r/t").await, "v-short");
    assert_eq!(pools.ask(Request::get("/r/t").header("x-a", "")).await, "u-header");
}

#[tokio::test]
async fn m7_pools_with_an_equal_rule_back_each_other_up_by_priority() {
    let pools = Pools::start(&[("second", "priority: 2"), ("first", "priority: 1")]).await;
    assert_eq!(pools.path("/").await, "first");
    pools.servers[1].stop().await;
    assert_eq!(pools.path("/").await, "second");
}

#[tokio::test]
async fn m7_pools_of_equal_priority_share_by_weight() {
    let pools = Pools::start(&[("heavy", "weight: 3"), ("light", "weight: 1")]).await;
    let bodies = weir_tests::load::bodies(pools.weir.address(), "/", 400, 4).await.unwrap();
    assert_eq!(bodies.values().sum::<usize>(), 400);
    assert!((250..350).contains(&bodies["heavy"]), "{bodies:?}");
}

#[tokio::test]
async fn m8_no_rule_is_404_and_an_empty_chain_is_503() {
    let text = pool("web", "match: [{path: {type: Prefix, value: /empty}}]");
    let weir = Weir::start(&text).await;
    assert_eq!(weir.get("/empty").await.status, 503);
    assert_eq!(weir.get("/other").await.status, 404);
}
