//! The examples of plugins in other languages, built with their own tools and driven by requests. All do the same.

use std::process::Command;

use http::Request;
use tempfile::TempDir;
use weir_proto::pb::Plugin;
use weir_tests::client::full;
use weir_tests::component::{Stand, file};
use weir_tests::manifest::repository;
use weir_tests::send;

/// Builds the example in this language and sends it requests with and without the header that it wants.
async fn a_gate_in(language: &str) {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("gate.wasm");
    let mut build = Command::new(repository().join("deploy/examples/plugins/build"));
    assert!(build.arg(language).arg(&out).status().unwrap().success(), "the build in {language}");
    // A first call on a machine that runs other tests takes its time.
    let stand = Stand::start(Plugin { timeout_ms: 1_000, ..file(out) }, r#"{"header": "x-key"}"#).await;
    for _ in 0..3 {
        let denied = stand.get("/").await;
        assert_eq!((denied.status, denied.text().as_str()), (403, "x-key is missing\n"));
        let request = Request::get("/").header("x-key", "1").body(full("")).unwrap();
        let passed = send(stand.proxy.address(), request).await.unwrap();
        assert_eq!((passed.status, passed.header("x-gate")), (200, language));
    }
    let failures = stand.failures("error").await + stand.failures("timeout").await;
    assert_eq!(failures, 0.0);
}

#[tokio::test]
#[ignore = "fetches the compiler with npm"]
async fn p1_a_plugin_in_javascript_runs() {
    a_gate_in("javascript").await;
}

#[tokio::test]
#[ignore = "fetches tools with cargo and npm, and needs Debian's clang, lld and wasi-libc"]
async fn p1_a_plugin_in_c_runs() {
    a_gate_in("c").await;
}

#[tokio::test]
#[ignore = "fetches the compiler with pip"]
async fn p1_a_plugin_in_python_runs() {
    a_gate_in("python").await;
}

#[test]
#[ignore = "fetches crates that are not the workspace's"]
fn a_plugin_in_rust_type_checks() {
    let target = repository().join("target/plugins/rust");
    let mut check = Command::new(env!("CARGO"));
    check.args(["check", "--quiet", "--locked", "--manifest-path"]);
    check.arg(repository().join("deploy/examples/plugins/rust/Cargo.toml")).arg("--target-dir").arg(target);
    assert!(check.status().unwrap().success());
}
