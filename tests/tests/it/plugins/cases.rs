//! The table: one plugin, one request, and what comes of it. `hooks.lua` and `hooks.wat` do the same, told by the path.

use serde_json::{Value, json};
use weir_proto::pb::{FailurePolicy, Plugin, Resource, resource};
use weir_tests::scripted::plugin;
use weir_tests::{Stand, eventually};

use super::kind::Kind;

/// What one request comes to.
#[derive(Debug, Default)]
struct Case {
    path: &'static str,
    /// The built-in type that does the same, and its parameter.
    built_in: Option<(&'static str, Value)>,
    /// Kinds that cannot do it, besides those that are not built in.
    not: &'static [Kind],
    status: u16,
    /// What the body is; empty: anything.
    body: &'static str,
    headers: &'static [(&'static str, &'static str)],
    /// Whether a server gets the request.
    served: bool,
    /// As what a failure is counted, by Lua and by the others; empty: there is none.
    failure: [&'static str; 2],
}

/// A proxy with this plugin; its servers have their numbers as scores.
async fn stand(code: Plugin, param: &str) -> Stand {
    let mut stand = Stand::empty().await;
    let mut resources = stand.pool(param);
    for (score, resource) in (1..).zip(&mut resources) {
        if let Some(resource::Body::Backend(backend)) = &mut resource.body {
            backend.score = score;
        }
    }
    let resources: Vec<Resource> = [plugin("code", code)].into_iter().chain(resources).collect();
    assert_eq!(stand.session.deliver(resources).await, []);
    stand
}

async fn holds(case: &Case) {
    for kind in Kind::ALL.into_iter().filter(|kind| !case.not.contains(kind)) {
        if let Some((code, param)) = kind.doing(case.built_in.as_ref()) {
            holds_for(case, kind, &stand(code, &param).await).await;
        }
    }
}

async fn holds_for(case: &Case, kind: Kind, stand: &Stand) {
    let Case { path, status, body, headers, served, failure, built_in: _, not: _ } = case;
    let answer = stand.get(path).await;
    assert_eq!(answer.status, *status, "{kind:?} {path}: {}", answer.text());
    for (name, value) in *headers {
        assert_eq!(answer.header(name), *value, "{kind:?} {path}");
    }
    assert!(body.is_empty() || answer.text() == *body, "{kind:?} {path}: {}", answer.text());
    assert_eq!(stand.served() > 0, *served, "{kind:?} {path}");
    let reason = failure[usize::from(kind != Kind::Lua)];
    let failures = async || stand.sum("weir_plugin_failures_total", &[]).await;
    if reason.is_empty() {
        assert_eq!(failures().await, 0.0, "{kind:?} {path}");
    } else {
        let what = format!("{kind:?} {path} counts as {reason}");
        eventually(&what, async || (stand.failures(reason).await == 1.0).then_some(())).await;
        assert_eq!(failures().await, 1.0, "{kind:?} {path}");
    }
}

#[tokio::test]
async fn p2_an_answer_of_pre_ends_the_request() {
    let param =
        json!({"status": 418, "body": "short and stout", "contentType": "text/tea", "headers": {"x-halt": "yes"}});
    holds(&Case {
        path: "/halts",
        built_in: Some(("Respond", param)),
        status: 418,
        body: "short and stout",
        headers: &[("content-type", "text/tea"), ("x-halt", "yes")],
        ..Case::default()
    })
    .await;
}

#[tokio::test]
async fn p2_an_answer_that_says_nothing_is_500_and_text() {
    holds(&Case {
        path: "/generic",
        status: 500,
        body: "the request was stopped\n",
        headers: &[("content-type", "text/plain")],
        ..Case::default()
    })
    .await;
}

#[tokio::test]
async fn p3_balance_leaves_one_or_none() {
    let score = Some(("Score", json!({"order": "most"})));
    holds(&Case {
        path: "/keep-the-last",
        built_in: score,
        status: 200,
        body: "web-3",
        served: true,
        ..Case::default()
    })
    .await;
    let nobody = Some(("Subset", json!({"header": "host", "label": "zone", "whenEmpty": "None"})));
    holds(&Case { path: "/empty", built_in: nobody, status: 503, ..Case::default() }).await;
}

#[tokio::test]
async fn p3_a_plugin_that_does_not_apply_leaves_all() {
    let subset = ("Subset", json!({"header": "x-zone", "label": "zone"}));
    for kind in Kind::ALL {
        let (code, param) = kind.doing(Some(&subset)).unwrap();
        let stand = stand(code, &param).await;
        let mut seen = Vec::new();
        for _ in 0..3 {
            seen.push(stand.get("/x").await.text());
        }
        seen.sort();
        assert_eq!(seen, ["web-1", "web-2", "web-3"], "{kind:?}");
    }
}

#[tokio::test]
async fn p4_post_sees_the_choice_and_may_halt() {
    let header = Some(("ResponseHeaders", json!({"add": {"x-server": "{backend.name}"}})));
    for kind in Kind::ALL {
        let (code, param) = kind.doing(header.as_ref()).unwrap();
        let stand = stand(code, &param).await;
        let answer = stand.get("/y").await;
        assert_eq!(answer.header("x-server"), answer.text(), "{kind:?}");
    }
    holds(&Case { path: "/quits", status: 418, body: "short and stout", ..Case::default() }).await;
}

#[tokio::test]
async fn p4_post_runs_also_when_nobody_could_be_chosen() {
    for kind in Kind::WRITTEN {
        let (code, param) = kind.doing(None).unwrap();
        let mut stand = stand(code, &param).await;
        let backends = stand.pool("");
        stand.session.remove(&backends[..3]).await;
        assert_eq!(stand.get("/y").await.status, 418, "{kind:?}");
        assert_eq!(stand.get("/x").await.status, 503, "{kind:?}");
    }
}

#[tokio::test]
async fn p5_done_is_told_what_became_of_the_request_and_changes_nothing() {
    holds(&Case { path: "/judges", status: 200, served: true, ..Case::default() }).await;
    // It fails if it is told of another status.
    for kind in Kind::WRITTEN {
        let (code, param) = kind.doing(None).unwrap();
        let stand = stand(code, &param).await;
        stand.servers.iter().for_each(|server| server.set(weir_tests::Reply::status(404)));
        assert_eq!(stand.get("/judges").await.status, 404);
        eventually("a failure", async || (stand.failures("error").await == 1.0).then_some(())).await;
    }
}

#[tokio::test]
async fn p5_a_failure_of_done_is_nobodys() {
    holds(&Case { path: "/u", status: 200, served: true, failure: ["error", "error"], ..Case::default() }).await;
}

/// What goes wrong before the response. Built in there is one type that can fail for what a client sends.
fn faults() -> Vec<Case> {
    let fault = |path, failure| Case { path, status: 500, failure, ..Case::default() };
    let lua_only = |path| Case { not: &[Kind::Wasm, Kind::WasmPerRequest], ..fault(path, ["bad_answer", ""]) };
    // What is left of the path does not begin with a slash.
    let rewrite = ("Rewrite", json!({"regex": {"pattern": "^/", "with": ""}}));
    vec![
        fault("/spins", ["timeout", "timeout"]),
        fault("/recursion", ["memory", "error"]),
        fault("/trap", ["error", "error"]),
        fault("/memory", ["memory", "memory"]),
        fault("/body-of-2-MiB", ["memory", "error"]),
        fault("/amplified-strings", ["memory", "error"]),
        fault("/changes-without-end", ["bad_answer", "bad_answer"]),
        Case { built_in: Some(rewrite), ..fault("/injected-header", ["bad_answer", "bad_answer"]) },
        fault("/framing-header", ["bad_answer", "bad_answer"]),
        fault("/no-status", ["bad_answer", "bad_answer"]),
        fault("/out-of-range", ["bad_answer", "bad_answer"]),
        fault("/double", ["bad_answer", "bad_answer"]),
        fault("/post-traps", ["error", "error"]),
        lua_only("/0-is-no-answer"),
        lua_only("/1-is-no-field"),
        lua_only("/2-is-no-list"),
    ]
}

#[tokio::test]
async fn p7_whatever_goes_wrong_only_its_own_request_fails_and_the_next_is_fine() {
    for case in &faults() {
        for kind in Kind::ALL.into_iter().filter(|kind| !case.not.contains(kind)) {
            let Some((code, param)) = kind.doing(case.built_in.as_ref()) else { continue };
            let stand = stand(code, &param).await;
            holds_for(case, kind, &stand).await;
            let answer = stand.get(case.path).await;
            assert_eq!((answer.status, answer.header("set-cookie")), (500, ""), "{kind:?} {}", case.path);
            if kind != Kind::BuiltIn {
                let next = stand.get("/x").await;
                assert_eq!(next.status, 200, "{kind:?} after {}", case.path);
                assert!(kind == Kind::Lua || next.header("x-calls") == "1", "a fresh instance after {}", case.path);
            }
        }
    }
}

#[tokio::test]
async fn p7_with_an_open_policy_the_request_goes_on_without_the_plugin() {
    let faults = faults();
    for kind in Kind::ALL {
        for case in faults.iter().filter(|case| !case.not.contains(&kind)) {
            let Some((code, param)) = kind.doing(case.built_in.as_ref()) else { continue };
            let open = Plugin { failure_policy: FailurePolicy::Open.into(), ..code };
            let stand = stand(open, &param).await;
            let answer = stand.get(case.path).await;
            let changed = (answer.header("set-cookie"), answer.header("transfer-encoding"));
            assert_eq!((answer.status, changed), (200, ("", "")), "{kind:?} {}", case.path);
        }
    }
}

#[tokio::test]
async fn p7_a_pool_whose_plugin_is_missing_is_not_served_without_it() {
    let mut stand = Stand::empty().await;
    let resources = stand.pool("");
    assert_eq!(stand.session.deliver(resources).await, []);
    let answer = stand.get("/").await;
    assert_eq!((answer.status, stand.served()), (503, 0));
    assert!(answer.text().contains("a plugin of this service is missing"), "{}", answer.text());
}
