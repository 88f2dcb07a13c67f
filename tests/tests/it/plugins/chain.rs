//! Several plugins in one Pool, and several Pools in one chain.

use http::Request;
use serde_json::json;
use tokio::task::JoinHandle;
use weir_proto::pb::{self, Plugin, PluginUse, Pool, Resource, resource};
use weir_tests::client::full;
use weir_tests::scripted::{backend, plugin, plugin_use, pool};
use weir_tests::stand::built_in;
use weir_tests::{Behaviour, Reply, Response, Stand, eventually, get, send};

use super::kind::Kind;

/// A proxy whose Pool uses these Plugins, which are called `p0`, `p1` and so on.
async fn stand(codes: Vec<(Plugin, String)>, change: impl FnOnce(&mut Pool)) -> Stand {
    let mut stand = Stand::empty().await;
    let names: Vec<String> = (0..codes.len()).map(|number| format!("p{number}")).collect();
    let uses: Vec<PluginUse> = names.iter().zip(&codes).map(|(name, (_, param))| plugin_use(name, param)).collect();
    let mut resources: Vec<_> = names.iter().zip(codes).map(|(name, (code, _))| plugin(name, code)).collect();
    resources.extend(stand.pool_with(|pool| {
        pool.plugins = uses;
        change(pool);
    }));
    assert_eq!(stand.session.deliver(resources).await, []);
    stand
}

/// A plugin that adds its parameter as `x-trail`, in `pre` and, if it is not built in, in `post` too.
fn marking(kind: Kind, mark: &str) -> (Plugin, String) {
    match kind {
        Kind::BuiltIn => (built_in("ResponseHeaders"), json!({"add": {"x-trail": format!("\"{mark}\"")}}).to_string()),
        written => (written.written("hooks"), json!(mark).to_string()),
    }
}

async fn trail(stand: &Stand) -> Vec<String> {
    let answer = stand.get("/leaves-a-mark").await;
    assert_eq!(answer.status, 200);
    let marks = answer.headers.get_all("x-trail").iter();
    marks.map(|mark| mark.to_str().unwrap().trim_matches('"').to_owned()).collect()
}

#[tokio::test]
async fn p1_plugins_run_in_the_order_of_the_list_in_each_phase() {
    for kind in Kind::ALL {
        let stand = stand(["a", "b", "c"].map(|mark| marking(kind, mark)).into(), |_| ()).await;
        let twice = ["a", "b", "c", "a", "b", "c"];
        assert_eq!(trail(&stand).await, if kind == Kind::BuiltIn { &twice[..3] } else { &twice }, "{kind:?}");
    }
}

#[tokio::test]
async fn p1_plugins_of_all_kinds_are_one_chain() {
    let kinds = [Kind::Wasm, Kind::BuiltIn, Kind::Lua, Kind::WasmPerRequest];
    let marks = kinds.into_iter().zip(["a", "b", "c", "d"]).map(|(kind, mark)| marking(kind, mark)).collect();
    let stand = stand(marks, |_| ()).await;
    assert_eq!(trail(&stand).await, ["a", "b", "c", "d", "a", "c", "d"]);
}

#[tokio::test]
async fn p2_after_an_answer_nothing_later_runs_but_done() {
    let respond = ("Respond", json!({"status": 418}));
    for kind in Kind::ALL {
        let halting = kind.doing(Some(&respond)).unwrap();
        let stand = stand(vec![halting, marking(Kind::Lua, "later")], |_| ()).await;
        assert_eq!(stand.get("/halts").await.status, 418, "{kind:?}");
        eventually("done", async || (stand.calls("p1", "done").await == 1.0).then_some(())).await;
        for hook in ["pre", "balance", "post"] {
            assert_eq!(stand.calls("p1", hook).await, 0.0, "{kind:?} {hook}");
        }
        assert_eq!(stand.served(), 0);
    }
}

#[tokio::test]
async fn p3_exactly_one_left_ends_the_chain() {
    let random = ("Random", json!(null));
    for kind in Kind::ALL {
        let keeping = kind.doing(Some(&random)).unwrap();
        let stand = stand(vec![keeping, marking(Kind::Lua, "later")], |_| ()).await;
        assert_eq!(stand.get("/keep-the-last").await.status, 200, "{kind:?}");
        assert_eq!((stand.calls("p0", "balance").await, stand.calls("p1", "balance").await), (1.0, 0.0), "{kind:?}");
    }
}

#[tokio::test]
async fn p4_what_an_abandoned_attempt_added_is_discarded() {
    let header = ("ResponseHeaders", json!({"add": {"x-server": "{backend.name}"}}));
    for kind in Kind::ALL {
        let stand = stand(vec![kind.doing(Some(&header)).unwrap()], |_| ()).await;
        stand.servers[..2].iter().for_each(|server| server.set(Behaviour::CloseEarly));
        for _ in 0..3 {
            let answer = stand.get("/y").await;
            let told = answer.headers.get_all("x-server").iter().count();
            assert_eq!((answer.text().as_str(), answer.header("x-server"), told), ("web-3", "web-3", 1), "{kind:?}");
        }
        assert!(stand.served() > 3, "others were tried");
    }
}

/// What is seen: by the plugin `sees`, and as far as they can by built-in types, of which the first keeps the best score.
fn seeing(kind: Kind) -> Vec<(Plugin, String)> {
    let seen = json!({"add": {
        "x-method": "{request.method}", "x-scheme": "{request.scheme}", "x-host": "{request.host}",
        "x-path": "{request.path}", "x-client": "{client.address}", "x-pool": "{pool.name}",
        "x-server": "{backend.name}", "x-address": "{backend.address}",
    }});
    match kind {
        Kind::BuiltIn => vec![
            (built_in("Score"), json!({"order": "most"}).to_string()),
            (built_in("ResponseHeaders"), seen.to_string()),
        ],
        written => vec![(written.written("sees"), String::new())],
    }
}

/// A server for whom `sees` looks: of weight 3, score 9 and one label.
fn wanted(resource: &mut Resource) {
    if let Some(resource::Body::Backend(backend)) = &mut resource.body {
        (backend.weight, backend.score) = (3, 9);
        backend.labels = [("zone".to_owned(), "a".to_owned())].into();
    }
}

/// A proxy with one request in flight at `web-2`, which is the one that `sees` looks for.
async fn stand_with_one_in_flight(kind: Kind) -> (Stand, JoinHandle<anyhow::Result<Response>>) {
    let mut stand = Stand::empty().await;
    let mut resources = stand.pool_with(|_| ());
    wanted(&mut resources[1]);
    assert_eq!(stand.session.deliver(resources[1..].iter().filter(|r| !is(r, "web-3")).cloned().collect()).await, []);
    stand.servers[1].hold();
    let address = stand.proxy.address();
    let busy = tokio::spawn(async move { get(address, "/").await });
    eventually("a request in flight", async || (stand.servers[1].requests() == 1).then_some(())).await;
    let codes = seeing(kind);
    resources.pop();
    let uses = codes.iter().enumerate().map(|(number, (_, param))| plugin_use(&format!("p{number}"), param)).collect();
    resources.extend(codes.into_iter().enumerate().map(|(number, (code, _))| plugin(&format!("p{number}"), code)));
    resources.push(pool("web", |pool| {
        pool.plugins = uses;
        pool.config = r#"{"tier": "gold"}"#.into();
    }));
    assert_eq!(stand.session.deliver(resources).await, []);
    (stand, busy)
}

fn is(resource: &Resource, name: &str) -> bool {
    resource.key.as_ref().is_some_and(|key| key.name == name)
}

/// The answer of `web-2` to a request that carries what plugins may see.
async fn seen(stand: &Stand) -> Response {
    let request = Request::get("/a/b?a=1").header("host", "shop.example.com:80").header("x-user", "eve");
    let request = request.header("cookie", "b=1; c=crumb").body(full("")).unwrap();
    let arrived = async {
        eventually("it arrives", async || (stand.servers[1].requests() == 2).then_some(())).await;
        stand.servers[1].release();
    };
    tokio::join!(send(stand.proxy.address(), request), arrived).0.unwrap()
}

#[tokio::test]
async fn p6_plugins_see_the_request_the_rule_the_pool_the_candidates_and_the_choice() {
    let everywhere = [
        ("x-method", "GET"),
        ("x-scheme", "http"),
        ("x-host", "shop.example.com:80"),
        ("x-path", "/a/b"),
        ("x-client", "127.0.0.1"),
        ("x-pool", "test/web"),
        ("x-server", "web-2"),
    ];
    let written = [
        ("x-query", "a=1"),
        ("x-user", "eve"),
        ("x-cookie", "crumb"),
        ("x-config", r#"{"tier":"gold"}"#),
        ("x-rule", r#"* Prefix "/""#),
    ];
    for kind in Kind::ALL {
        let (stand, busy) = stand_with_one_in_flight(kind).await;
        let answer = seen(&stand).await;
        let more = if kind == Kind::BuiltIn { &[][..] } else { &written };
        for (name, value) in everywhere.iter().chain(more) {
            assert_eq!(answer.header(name), *value, "{kind:?} {name}");
        }
        assert_eq!(answer.header("x-address"), stand.servers[1].address().to_string(), "{kind:?}");
        assert_eq!((answer.status, busy.await.unwrap().unwrap().status), (200, 200));
    }
}

#[tokio::test]
async fn p8_in_the_next_pool_of_the_chain_pre_runs_too_but_once_with_the_same_parameter() {
    for kind in Kind::ALL {
        let (same, one, two) = (marking(kind, "same"), marking(kind, "one"), marking(kind, "two"));
        let mut stand = Stand::empty().await;
        let at = |name: &str, priority, param: &str| {
            pool(name, |pool| {
                pool.priority = priority;
                pool.plugins = vec![plugin_use("p0", &same.1), plugin_use("p1", param)];
            })
        };
        let resources = vec![
            plugin("p0", same.0.clone()),
            plugin("p1", one.0.clone()),
            at("first", 0, &one.1),
            at("second", 1, &two.1),
            backend("web-1", "second", stand.servers[0].address()),
        ];
        assert_eq!(stand.session.deliver(resources).await, []);
        let marks = trail(&stand).await;
        // What the first pool's plugin `one` marked is undone.
        assert_eq!(marks[..2], ["same", "two"], "{kind:?}");
        assert_eq!((stand.calls("p0", "pre").await, stand.calls("p1", "pre").await), (1.0, 2.0), "{kind:?}");
    }
}

#[tokio::test]
async fn p4_what_plugins_of_a_later_pool_wanted_is_not_done_to_an_earlier_pools_answer() {
    for kind in Kind::ALL {
        let mut stand = Stand::empty().await;
        stand.servers[0].set(Reply::status(503));
        let (code, param) = marking(kind, "later");
        // Its answer is what the client gets in the end, as the second pool has nobody.
        let first = pool("first", |pool| {
            pool.retry = pool.retry.take().map(|retry| pb::Retry { statuses: vec!["503".to_owned()], ..retry });
        });
        let second = pool("second", |pool| {
            pool.priority = 1;
            pool.plugins = vec![plugin_use("p0", &param)];
        });
        let server = backend("web-1", "first", stand.servers[0].address());
        assert_eq!(stand.session.deliver(vec![plugin("p0", code), first, second, server]).await, []);
        let answer = stand.get("/leaves-a-mark").await;
        assert_eq!((answer.status, stand.served()), (503, 1), "{kind:?}");
        assert_eq!(stand.calls("p0", "pre").await, 1.0, "{kind:?}: the second pool was entered");
        assert_eq!((answer.header("x-trail"), answer.header("x-calls")), ("", ""), "{kind:?}");
    }
}
