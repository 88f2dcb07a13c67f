//! Plugins in Lua, on a proxy whose control plane the test plays.

use std::fs;

use serde::Deserialize;
use serde_json::Value;
use weir_proto::pb::{self, FailurePolicy, PluginUse, Resource};
use weir_tests::load::bodies;
use weir_tests::manifest::example;
use weir_tests::metrics::samples;
use weir_tests::scripted::{Session, backend, plugin, plugin_use, pool};
use weir_tests::{Backend, Behaviour, Client, DataPlane, Response, Scripted, eventually, get, within};

/// A proxy and its control plane.
struct Proxy {
    proxy: DataPlane,
    session: Session,
    _control: Scripted,
}

impl Proxy {
    /// With these resources, of which it refuses none.
    async fn start(resources: Vec<Resource>) -> Self {
        let mut control = Scripted::start().await;
        let proxy = DataPlane::builder(control.address()).workers(1).start_unready();
        let (mut session, _) = control.accept().await;
        let refused = session.deliver(resources).await;
        assert!(refused.is_empty(), "{refused:?}");
        Self { proxy, session, _control: control }
    }

    async fn get(&self, path: &str) -> Response {
        get(self.proxy.address(), path).await.unwrap()
    }

    /// The sample of a metric whose labels hold all of these.
    async fn sample(&self, name: &str, labels: &[&str]) -> f64 {
        let text = get(self.proxy.admin(), "/metrics").await.unwrap().text();
        let found = samples(&text, name).into_iter().find(|(has, _)| labels.iter().all(|label| has.contains(label)));
        found.map_or(0.0, |(_, value)| value)
    }
}

fn lua(name: &str, source: &str) -> Resource {
    policed(name, source, FailurePolicy::Closed)
}

fn policed(name: &str, source: &str, policy: FailurePolicy) -> Resource {
    let code = pb::plugin::Code::Lua(pb::Lua { source: source.to_owned(), memory_limit: 2 << 20 });
    plugin(name, pb::Plugin { code: Some(code), failure_policy: policy.into(), timeout_ms: 100 })
}

fn uses(name: &str, plugins: Vec<PluginUse>) -> Resource {
    pool(name, |pool| pool.plugins = plugins)
}

/// The source of a Plugin of an example.
fn source(file: &str, name: &str) -> String {
    let text = fs::read_to_string(example("plugins/lua").join(file)).unwrap();
    let documents = serde_yaml::Deserializer::from_str(&text).map(|document| Value::deserialize(document).unwrap());
    let mut plugins = documents.filter(|resource| resource["kind"] == "Plugin" && resource["metadata"]["name"] == name);
    plugins.next().unwrap()["spec"]["lua"]["source"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn p2_redx_quits_if_its_parameter_says_so() {
    let server = Backend::start("web-1").await;
    let quit = |param| uses("web", vec![plugin_use("quit", param)]);
    let source = source("quit.yaml", "quit");
    let resources = vec![lua("quit", &source), quit("\"call it quits\""), backend("web-1", "web", server.address())];
    let mut proxy = Proxy::start(resources).await;
    let answer = proxy.get("/").await;
    assert_eq!((answer.status, answer.header("content-type")), (500, "text/plain"));
    assert_eq!((answer.text(), server.requests()), ("I'm calling it quits".to_owned(), 0));
    assert!(proxy.session.deliver(vec![quit("\"go on\"")]).await.is_empty());
    assert_eq!(proxy.get("/").await.text(), "web-1");
}

/// Three of five are busy: the others are tied, and share what comes.
#[tokio::test]
async fn p3_redx_takes_the_least_connections_then_one_by_chance() {
    let servers: [Backend; 5] = Backend::start_many("web").await;
    let file = "least-connections-random.yaml";
    let mut resources: Vec<Resource> =
        ["least-connections", "random"].map(|name| lua(name, &source(file, name))).to_vec();
    resources.push(uses("web", vec![plugin_use("least-connections", ""), plugin_use("random", "")]));
    let named = servers.iter().enumerate();
    resources.extend(named.map(|(i, server)| backend(&format!("web-{}", i + 1), "web", server.address())));
    let proxy = Proxy::start(resources).await;
    servers.iter().for_each(Backend::hold);
    let address = proxy.proxy.address();
    let busy = tokio::spawn(async move { tokio::join!(get(address, "/"), get(address, "/"), get(address, "/")) });
    let taken = || servers.iter().map(Backend::requests).sum::<u64>() == 3;
    eventually("three requests in flight", async || taken().then_some(())).await;
    let idle: Vec<&Backend> = servers.iter().filter(|server| server.requests() == 0).collect();
    assert_eq!(idle.len(), 2, "no server got two");
    idle.iter().for_each(|server| server.release());
    let answers = bodies(address, "/", 2_000, 1).await.unwrap();
    // Of n, a fair coin is within four sigma: 2 * sqrt(n).
    let counts: Vec<usize> = answers.into_values().collect();
    assert_eq!(counts.len(), 2, "{counts:?}");
    assert!(counts.iter().all(|count| count.abs_diff(1_000) < 90), "{counts:?}");
    servers.iter().for_each(Backend::release);
    busy.await.unwrap().0.unwrap();
}

#[tokio::test]
async fn p4_post_sees_the_choice_and_changes_request_and_response() {
    let server = Backend::start("web-1").await;
    server.set(Behaviour::Echo);
    let source = "return {
        pre = function(request, session) session.set_request_header('x-path', request.path) end,
        post = function(request, session)
            if not session.server then return {status = 503, message = 'nobody'} end
            session.set_request_header('x-server', session.server.name .. request.headers['x-path'])
            session.add_response_header('x-rule', session.pool)
            session.set_cookie('server', session.server.name, {path = '/', http_only = true})
        end,
    }";
    let resources =
        vec![lua("post", source), uses("web", vec![plugin_use("post", "")]), backend("web-1", "web", server.address())];
    let mut proxy = Proxy::start(resources.clone()).await;
    let answer = proxy.get("/a/b").await;
    assert!(answer.text().contains("web-1/a/b"), "{}", answer.text());
    assert_eq!(answer.header("x-rule"), "test/web");
    assert!(answer.header("set-cookie").starts_with("server=web-1; "), "{:?}", answer.headers);
    proxy.session.remove(&resources[2..]).await;
    let answer = proxy.get("/").await;
    assert_eq!((answer.status, answer.text()), (503, "nobody".to_owned()));
}

#[tokio::test]
async fn p5_done_counts_what_became_of_requests() {
    let server = Backend::start("web-1").await;
    let source = "return { done = function(request, session)
        count('bytes', session.bytes, {status = session.status, server = session.server.name})
        count('late', if session.duration > 0 then 1 else 0)
    end }";
    let resources =
        vec![lua("done", source), uses("web", vec![plugin_use("done", "")]), backend("web-1", "web", server.address())];
    let proxy = Proxy::start(resources).await;
    for _ in 0..3 {
        assert_eq!(proxy.get("/").await.status, 200);
    }
    let labels = ["name=\"bytes\"", "plugin=\"test/done\"", "server=\"web-1\"", "status=\"200\""];
    let all = 3.0 * "web-1".len() as f64;
    let counted = async || (proxy.sample("weir_plugin_count_total", &labels).await == all).then_some(());
    eventually("all bytes are counted", counted).await;
    assert_eq!(proxy.sample("weir_plugin_count_total", &["late"]).await, 3.0);
}

#[tokio::test]
async fn p6_a_pools_free_values_are_seen() {
    let server = Backend::start("web-1").await;
    let source = "return { pre = function(_, session) return {message = session.config.tier .. session.pool} end }";
    let web = pool("web", |pool| {
        pool.plugins = vec![plugin_use("config", "")];
        pool.config = r#"{"tier": "gold"}"#.into();
    });
    let proxy = Proxy::start(vec![lua("config", source), web, backend("web-1", "web", server.address())]).await;
    assert_eq!(proxy.get("/").await.text(), "goldtest/web");
}

/// What goes wrong, and the word for it.
const FAULTS: [(&str, &str); 7] = [
    ("while true do end", "timeout"),
    ("local t = {} while true do t[#t + 1] = {} end", "memory"),
    ("local s = ('x'):rep(1e9)", "memory"),
    ("local function f() return 1 + f() end f()", "memory"),
    ("error('no')", "error"),
    ("local x = nil + 1", "error"),
    ("if session.servers then return 'x' end session.add_response_header('a', 'b\\r\\nc: d')", "bad_answer"),
];

#[tokio::test]
async fn p7_a_script_harms_only_its_own_request_in_each_hook() {
    let server = Backend::start("web-1").await;
    let endpoint = backend("web-1", "web", server.address());
    let mut proxy = Proxy::start(vec![endpoint]).await;
    for hook in ["pre", "balance", "post", "done"] {
        for (number, (fault, reason)) in FAULTS.iter().enumerate() {
            let source = format!(
                "return {{ {hook} = function(request, session) if request.path == '/bad' then {fault} end end }}"
            );
            let name = format!("{hook}-{number}");
            let resources = vec![lua(&name, &source), uses("web", vec![plugin_use(&name, "")])];
            assert!(proxy.session.deliver(resources).await.is_empty(), "{source}");
            let bad = within("an answer", proxy.get("/bad")).await.status;
            assert_eq!(bad, if hook == "done" { 200 } else { 500 }, "{source}");
            assert_eq!(proxy.get("/good").await.status, 200, "{source}");
            let labels = [format!("test/{name}"), format!("reason=\"{reason}\"")];
            let labels = labels.each_ref().map(String::as_str);
            let counted = async || (proxy.sample("weir_plugin_failures_total", &labels).await == 1.0).then_some(());
            eventually(&source, counted).await;
        }
    }
}

#[tokio::test]
async fn p7_with_an_open_policy_the_request_goes_on() {
    let server = Backend::start("web-1").await;
    let source = "return { pre = function(_, session) session.add_response_header('x', '1') error('no') end }";
    let open = policed("open", source, FailurePolicy::Open);
    let resources = vec![open, uses("web", vec![plugin_use("open", "")]), backend("web-1", "web", server.address())];
    let proxy = Proxy::start(resources).await;
    let answer = proxy.get("/").await;
    assert_eq!((answer.status, answer.text(), answer.header("x")), (200, "web-1".to_owned(), ""));
}

#[tokio::test]
async fn p7_a_script_that_is_none_is_nacked_by_line_and_the_one_before_stays() {
    let server = Backend::start("web-1").await;
    let good = "return { pre = function() return {status = 403} end }";
    let resources =
        vec![lua("gate", good), uses("web", vec![plugin_use("gate", "")]), backend("web-1", "web", server.address())];
    let mut proxy = Proxy::start(resources).await;
    for (bad, reason) in [
        ("return {\n  pre = function(\n}", "spec.lua.source: test/gate:3: "),
        ("return 5", "spec.lua.source: test/gate: returns a "),
        ("return {\nprae = function() end}", "spec.lua.source: test/gate:2: there is no hook \"prae\""),
    ] {
        let refused = proxy.session.deliver(vec![lua("gate", bad)]).await;
        assert_eq!(refused.len(), 1, "{bad}");
        assert!(refused[0].reason.starts_with(reason), "{}", refused[0].reason);
        assert_eq!(proxy.get("/").await.status, 403);
    }
}

/// Requests of which every 50th fails; what the others got.
async fn every_50th_fails(address: std::net::SocketAddr, stop: tokio_util::sync::CancellationToken) -> (u64, u64) {
    let mut client = Client::connect(address).await.unwrap();
    let (mut good, mut bad) = (0, 0);
    while !stop.is_cancelled() || good < 50 {
        for _ in 0..49 {
            assert_eq!(client.get("/").await.unwrap().status, 200);
            good += 1;
        }
        assert_eq!(client.get("/?fail=1").await.unwrap().status, 500);
        bad += 1;
    }
    (good, bad)
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_under_load_and_100_changes_only_the_requests_that_fail_see_it() {
    let server = Backend::start("web-1").await;
    let version = |number: u32| {
        let fault = FAULTS[number as usize % FAULTS.len()].0;
        lua(
            "gate",
            &format!(
                "return {{ pre = function(request, session) -- {number}\n
            if request.query.fail then {fault} end end }}"
            ),
        )
    };
    let resources =
        vec![version(0), uses("web", vec![plugin_use("gate", "")]), backend("web-1", "web", server.address())];
    let mut proxy = Proxy::start(resources).await;
    let stop = tokio_util::sync::CancellationToken::new();
    let load: Vec<_> = (0..2).map(|_| tokio::spawn(every_50th_fails(proxy.proxy.address(), stop.clone()))).collect();
    for number in 1..=100 {
        assert!(proxy.session.deliver(vec![version(number)]).await.is_empty());
    }
    stop.cancel();
    let mut failures = 0;
    for client in load {
        let (good, bad) = client.await.unwrap();
        assert_eq!(good, bad * 49);
        failures += bad;
    }
    let text = get(proxy.proxy.admin(), "/metrics").await.unwrap().text();
    let counted: f64 = samples(&text, "weir_plugin_failures_total").into_iter().map(|(_, count)| count).sum();
    assert_eq!(counted, failures as f64);
}

#[tokio::test]
async fn p8_in_the_next_pool_of_the_chain_pre_does_not_run_twice() {
    let server = Backend::start("web-1").await;
    let source = "return { pre = function(_, session, param) count('pre', 1, {param = param}) end }";
    let at = |name, priority, param| {
        pool(name, |pool| {
            pool.priority = priority;
            pool.plugins = vec![plugin_use("pre", "\"same\""), plugin_use("pre", param)];
        })
    };
    let resources = vec![
        lua("pre", source),
        at("first", 0, "\"one\""),
        at("second", 1, "\"two\""),
        backend("web-1", "second", server.address()),
    ];
    let proxy = Proxy::start(resources).await;
    assert_eq!(proxy.get("/").await.text(), "web-1");
    for param in ["same", "one", "two"] {
        let label = format!("param=\"{param}\"");
        assert_eq!(proxy.sample("weir_plugin_count_total", &[&label]).await, 1.0, "{param}");
    }
}
