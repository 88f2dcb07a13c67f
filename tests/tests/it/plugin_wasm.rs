//! Plugins in WebAssembly, from a Plugin that a control plane sends to what its hooks do to requests.

use sha2::{Digest, Sha256};
use tempfile::TempDir;
use weir_proto::pb::{Plugin, WasmInstance};
use weir_tests::component::{file, fixture, inline, url, with};
use weir_tests::scripted::plugin;
use weir_tests::{Backend, DataPlane, Load, Reply, Response, Stand, get};

/// The first letter of a path tells this component what to do, see there.
fn hooks() -> Plugin {
    inline(fixture("hooks"))
}

fn calls(response: &Response) -> String {
    response.header("x-calls").to_owned()
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

    let proxy = DataPlane::builder(weir_tests::port::free_address()).cache(folder.path()).start().await;
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
