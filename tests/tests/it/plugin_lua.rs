//! Plugins in Lua, on a proxy whose control plane the test plays.

use std::fs;

use serde::Deserialize;
use serde_json::Value;
use weir_proto::pb::{self, FailurePolicy, PluginUse, Resource};
use weir_tests::manifest::example;
use weir_tests::metrics::samples;
use weir_tests::scripted::{Session, backend, plugin, plugin_use, pool};
use weir_tests::{Backend, Behaviour, DataPlane, Response, Scripted, eventually, get, within};

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
    plugin(name, pb::Plugin { code: Some(code), failure_policy: policy.into(), timeout_ms: 1_000 })
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
