//! Plugins in WebAssembly, from a Plugin that a control plane sends to what its hooks do to requests.

use std::time::Duration;

use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::time::Instant;
use weir_proto::pb::{FailurePolicy, Plugin, WasmInstance};
use weir_tests::component::{Stand, file, fixture, inline, url, with};
use weir_tests::scripted::plugin;
use weir_tests::{Backend, DataPlane, Load, Reply, Response, eventually, get};

/// The first letter of a path tells this component what to do, see there.
fn hooks() -> Plugin {
    inline(fixture("hooks"))
}

fn calls(response: &Response) -> String {
    response.header("x-calls").to_owned()
}

#[tokio::test]
async fn p2_a_component_halts_with_its_answer_or_with_the_default() {
    let stand = Stand::start(hooks(), "").await;
    let answer = stand.get("/h").await;
    let shown = (answer.status, answer.header("content-type"), answer.header("x-halt"));
    assert_eq!(shown, (418, "text/tea", "yes"));
    assert_eq!(answer.text(), "short and stout");
    let answer = stand.get("/g").await;
    assert_eq!((answer.status, answer.header("content-type")), (500, "text/plain"));
    assert!(!answer.text().is_empty());
    assert_eq!(stand.servers.iter().map(Backend::requests).sum::<u64>(), 0);
}

#[tokio::test]
async fn p3_a_component_keeps_some_of_the_candidates_or_none() {
    let stand = Stand::start(hooks(), "").await;
    for _ in 0..4 {
        assert_eq!(stand.get("/keep-the-last").await.text(), "web-3");
    }
    assert_eq!(stand.get("/empty").await.status, 503);
    let mut seen: Vec<String> = Vec::new();
    for _ in 0..3 {
        seen.push(stand.get("/x").await.text());
    }
    seen.sort();
    assert_eq!(seen, ["web-1", "web-2", "web-3"], "a plugin that does not apply leaves all");
}

#[tokio::test]
async fn p4_a_component_halts_after_the_choice_and_adds_headers() {
    let stand = Stand::start(inline(fixture("greet")), r#""hello""#).await;
    let answer = stand.get("/").await;
    assert_eq!((answer.status, answer.header("x-greeting")), (200, r#""hello""#));
    let stand = Stand::start(hooks(), "").await;
    let answer = stand.get("/q").await;
    assert_eq!((answer.status, answer.header("x-halt")), (418, "yes"));
}

#[tokio::test]
async fn p5_done_runs_after_the_response_and_cannot_change_it() {
    let stand = Stand::start(hooks(), "").await;
    assert_eq!(stand.get("/u").await.status, 200);
    eventually("the failure of done", async || (stand.failures("error").await == 1.0).then_some(())).await;
    assert_eq!(stand.get("/v").await.status, 200);
    assert_eq!(stand.failures("error").await, 1.0);
}

#[tokio::test]
async fn p7_a_shared_instance_keeps_its_state_and_one_per_request_has_none() {
    let stand = Stand::start(hooks(), "").await;
    for number in ["1", "2", "3"] {
        assert_eq!(calls(&stand.get("/x").await), number);
    }
    let alone = with(hooks(), |wasm| wasm.instance = WasmInstance::PerRequest.into());
    let stand = Stand::start(alone, "").await;
    for _ in 0..3 {
        assert_eq!(calls(&stand.get("/x").await), "1");
    }
}

/// What goes wrong, by path, and as what it is counted.
const FAILURES: [(&str, &str); 14] = [
    ("/spins", "timeout"),
    ("/recursion", "error"),
    ("/trap", "error"),
    ("/memory", "memory"),
    ("/body-of-2-MiB", "error"),
    ("/amplified-strings", "error"),
    ("/changes-without-end", "bad_answer"),
    ("/injected-header", "bad_answer"),
    ("/framing-header", "bad_answer"),
    ("/no-status", "bad_answer"),
    ("/out-of-range", "bad_answer"),
    ("/double", "bad_answer"),
    ("/post-traps", "error"),
    ("/x-then-nothing", ""),
];

#[tokio::test]
async fn p7_whatever_a_component_does_only_its_own_request_fails() {
    let stand = Stand::start(hooks(), "").await;
    for (path, reason) in FAILURES.into_iter().filter(|(_, reason)| !reason.is_empty()) {
        let before = stand.failures(reason).await;
        let answer = stand.get(path).await;
        assert_eq!((answer.status, answer.header("set-cookie")), (500, ""), "{path}");
        assert_eq!(stand.failures(reason).await, before + 1.0, "{path} counts as {reason}");
        for number in ["1", "2"] {
            let next = stand.get("/x").await;
            assert_eq!((next.status, calls(&next).as_str()), (200, number), "after {path}");
        }
    }
}

#[tokio::test]
async fn p7_with_the_policy_open_the_request_goes_on() {
    let open = Plugin { failure_policy: FailurePolicy::Open.into(), ..hooks() };
    let stand = Stand::start(open, "").await;
    for (path, _) in FAILURES {
        assert_eq!(stand.get(path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn r4_a_component_that_spins_is_stopped_at_its_deadline() {
    let mut stand = Stand::start(hooks(), "").await;
    let deadline = Duration::from_millis(300);
    let slow = Plugin { timeout_ms: 300, ..hooks() };
    assert_eq!(stand.session.deliver(vec![plugin("code", slow)]).await, []);
    let began = Instant::now();
    assert_eq!(stand.get("/spins").await.status, 500);
    let took = began.elapsed();
    assert!(took >= deadline && took < 2 * deadline, "{took:?}");
}

#[tokio::test]
async fn wasi_is_there_and_grants_nothing() {
    let stand = Stand::start(hooks(), "").await;
    assert_eq!(stand.get("/wasi").await.status, 200, "the environment is empty");
}

#[tokio::test]
async fn s1_what_is_no_plugin_is_refused_and_the_last_good_version_stays() {
    let mut stand = Stand::start(hooks(), "").await;
    let missing = file("/nowhere/plugin.wasm".into());
    let small = with(inline(fixture("large_start")), |wasm| wasm.memory_limit = 64 << 10);
    for (code, reason) in [
        (inline(b"no component".to_vec()), "spec.wasm: is no component"),
        (inline(fixture("no_hook")), "spec.wasm: exports none of the hooks"),
        (inline(fixture("other_version")), "spec.wasm: was made for weir:plugin/done@9.0.0"),
        (inline(fixture("other_type")), "spec.wasm: cannot be instantiated"),
        (inline(fixture("unknown_import")), "spec.wasm: does not fit the contract"),
        (small, "spec.wasm: cannot be instantiated: it asked for 1048576 bytes of memory"),
        (missing, "spec.wasm.file: "),
    ] {
        let rejected = stand.session.deliver(vec![plugin("code", code)]).await;
        assert!(rejected.len() == 1 && rejected[0].reason.contains(reason), "{rejected:?}, not {reason}");
        assert_eq!(stand.get("/x").await.status, 200);
    }
}

#[tokio::test]
async fn a_component_comes_from_a_file_or_a_url_of_the_content_it_names() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("greet.wasm");
    std::fs::write(&path, fixture("greet")).unwrap();
    let mut stand = Stand::start(file(path), "1").await;
    assert_eq!(stand.get("/").await.header("x-greeting"), "1");

    let server = Backend::start("files").await;
    let bytes = fixture("hooks");
    server.set(Reply { body: bytes.clone().into(), ..Reply::text("") });
    let address = format!("http://{}/hooks.wasm", server.address());
    let rejected = stand.session.deliver(vec![plugin("code", url(address.clone(), [7; 32]))]).await;
    assert!(rejected[0].reason.contains("spec.wasm.sha256: "), "{rejected:?}");
    let good = url(address, Sha256::digest(&bytes).into());
    assert_eq!(stand.session.deliver(vec![plugin("code", good)]).await, []);
    assert_eq!(calls(&stand.get("/x").await), "1");

    server.set(Reply::status(404));
    let gone = url(format!("http://{}/gone.wasm", server.address()), [7; 32]);
    let rejected = stand.session.deliver(vec![plugin("code", gone)]).await;
    assert!(rejected[0].reason.contains("spec.wasm.url: ") && rejected[0].reason.contains("404"), "{rejected:?}");
}

#[tokio::test]
async fn s2_a_proxy_starts_with_its_components_from_the_cache_folder() {
    let folder = TempDir::new().unwrap();
    let server = Backend::start("files").await;
    let bytes = fixture("hooks");
    server.set(Reply { body: bytes.clone().into(), ..Reply::text("") });
    let address = format!("http://{}/hooks.wasm", server.address());
    let stand = Stand::start(hooks(), "").await;
    let mut control = weir_tests::Scripted::start().await;
    let proxy = DataPlane::builder(control.address()).cache(folder.path()).start_unready();
    let (mut session, _) = control.accept().await;
    let mut resources = vec![plugin("code", url(address, Sha256::digest(&bytes).into()))];
    resources.extend(stand.pool(""));
    assert_eq!(session.deliver(resources).await, []);
    proxy.stop().await;
    drop((session, control));
    server.stop().await;

    let proxy = DataPlane::builder(weir_tests::program::free_address()).cache(folder.path()).start().await;
    assert_eq!(get(proxy.address(), "/x").await.unwrap().header("x-calls"), "1");
}

#[tokio::test]
async fn r1_a_component_changes_under_load_and_no_request_is_lost() {
    let mut stand = Stand::start(inline(fixture("greet")), "0").await;
    let load = Load::start(stand.proxy.address(), 4);
    for round in 0..10 {
        let code = if round % 2 == 0 { hooks() } else { inline(fixture("greet")) };
        assert_eq!(stand.session.deliver(vec![plugin("code", code)]).await, []);
        let header = if round % 2 == 0 { "x-calls" } else { "x-greeting" };
        assert_ne!(stand.get("/load").await.header(header), "", "round {round}");
    }
    let tally = load.stop().await;
    assert_eq!(tally.failures, Vec::<String>::new());
    assert!(tally.answered > 0);
}
