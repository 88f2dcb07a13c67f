//! The examples of plugins in other languages, built with their own tools and driven by requests. All do the same.

use std::process::Command;

use http::Request;
use tempfile::TempDir;
use weir_proto::pb::Plugin;
use weir_tests::client::full;
use weir_tests::component::file;
use weir_tests::manifest::repository;
use weir_tests::program::program;
use weir_tests::{Stand, send};

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
    let shown = commands_of_the_page(language);
    assert!(shown.contains("post: goes on") && shown.contains(&format!("x-gate: {language}")), "{shown}");
}

/// What the commands of a language's page show, run in a copy of its folder, with the tools that the build has installed.
fn commands_of_the_page(language: &str) -> String {
    let folder = TempDir::new().unwrap();
    let copies = ["deploy/examples/plugins", "proto/wit"];
    for path in copies {
        let copy = folder.path().join(path);
        std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
        assert!(Command::new("cp").arg("-r").arg(repository().join(path)).arg(copy).status().unwrap().success());
    }
    let page = folder.path().join("deploy/examples/plugins").join(language);
    let text = std::fs::read_to_string(page.join("README.md")).unwrap();
    let commands = text.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    let tools = repository().join("target/plugins").join(language);
    let weir = program("weir").parent().unwrap().to_owned();
    let mut path = vec![weir, tools.join("bin"), tools.join("venv/bin"), tools.join("node_modules/.bin")];
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
    let mut shell = Command::new("bash");
    shell.args(["-euo", "pipefail", "-c", commands]).current_dir(page);
    let output = shell.env("PATH", std::env::join_paths(path).unwrap()).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{shown}{}", String::from_utf8_lossy(&output.stderr));
    shown
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
