//! What the README shows is true: its manifests pass, its commands run, its tables name what exists.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use weir_tests::manifest::repository;
use weir_tests::port::free_address;
use weir_tests::program::{Program, program, run};
use weir_tests::{Backend, Kube, Kubelet};

/// The blocks of a language, in order.
fn blocks(language: &str) -> Vec<String> {
    let text = fs::read_to_string(repository().join("README.md")).unwrap();
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).map(|rest| rest.split_once("```").unwrap().0.to_owned()).collect()
}

#[test]
fn every_manifest_of_the_readme_passes_check() {
    let folder = tempfile::tempdir().unwrap();
    let manifests = blocks("yaml");
    assert!(!manifests.is_empty());
    for (i, text) in manifests.iter().enumerate() {
        let file = folder.path().join(format!("{i}.yaml"));
        fs::write(&file, text).unwrap();
        let output = run("weir", &["check", file.to_str().unwrap()]);
        assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stdout));
    }
}

/// Runs all commands of the README in one shell, in a folder that holds its first manifest. `cargo run --release --` is
/// the program that these tests have built; addresses are free ones.
#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_readme_runs() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = Backend::start_many("web").await;
    let manifest = blocks("yaml")[0]
        .replace("127.0.0.1:9001", &one.address().to_string())
        .replace("127.0.0.1:9002", &two.address().to_string());
    fs::create_dir(folder.path().join("shop")).unwrap();
    fs::write(folder.path().join("shop/web.yaml"), manifest).unwrap();
    let script = blocks("sh").concat();
    assert!(script.lines().count() >= 4, "{script}");

    let folder = folder.path().to_owned();
    let output = tokio::task::spawn_blocking(move || shell(&script, &folder)).await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("failed    0"), "the demo's summary: {text}");
    assert!(text.contains("\nweb-1"), "the answer to curl: {text}");
    assert!(text.contains("response: add x-greeting: hello, Eve"), "what the script does: {text}");
    assert!(text.contains("\ngoes to web-"), "what explain says: {text}");
}

/// As [`every_command_of_the_readme_runs`], those of kubectl in file mode: with a real one, and `weir run` of the first
/// manifest.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the kubectl of the test cluster: tests/run starts it"]
async fn every_command_of_kubectl_in_file_mode_runs() {
    let kube = Kube::shared().await;
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("shop")).unwrap();
    fs::write(folder.path().join("shop/web.yaml"), &blocks("yaml")[0]).unwrap();
    let api = free_address().to_string();
    let script = blocks("shell").concat().replace("127.0.0.1:9801", &api);
    assert!(script.matches("kubectl").count() >= 4, "{script}");
    let others = ["--listen=http=127.0.0.1:0", "--admin=127.0.0.1:0", "--grpc=127.0.0.1:0", "--workers=1"];
    let shop = folder.path().join("shop").display().to_string();
    let weir = Program::start("weir", &[&["run", &shop, "--api", &api], &others[..]].concat());
    weir.line("control plane at http://").await;
    let output = cluster_shell(&kube, &script, folder.path()).await;
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("backend.weir.dev/web-1 patched") && text.contains("\"name\":\"web-3\""), "{text}");
    assert!(fs::read_to_string(folder.path().join("shop/web.yaml")).unwrap().contains("weight: 3, enabled: false}"));
}

/// As [`every_command_of_the_readme_runs`], those that need a cluster: with real helm and kubectl, and running pods.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts a cluster of its own: tests/run builds it"]
async fn every_cluster_command_of_the_readme_runs() {
    let kube = Kube::start().await;
    let _kubelet = Kubelet::start(&kube, "weir-system").await;
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("shop")).unwrap();
    fs::write(folder.path().join("shop/web.yaml"), &blocks("yaml")[0]).unwrap();
    symlink(repository().join("deploy"), folder.path().join("deploy")).unwrap();
    let output = cluster_shell(&kube, &blocks("bash").concat(), folder.path()).await;
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    for resource in ["pool.weir.dev/web ", "backend.weir.dev/web-1 ", "backend.weir.dev/web-2 "] {
        assert!(text.lines().any(|line| line.starts_with(resource)), "no {resource}in {text}");
    }
}

/// With the cluster's own helm and kubectl, and nothing of the user's set-up.
async fn cluster_shell(kube: &Kube, script: &str, folder: &Path) -> Output {
    let kubectl = kube.program("kubectl");
    let programs = AsRef::<Path>::as_ref(&kubectl).parent().unwrap().display();
    tokio::process::Command::new("bash")
        .args(["-euo", "pipefail", "-c", script])
        .current_dir(folder)
        .env("PATH", format!("{programs}:{}", std::env::var("PATH").unwrap()))
        .env("KUBECONFIG", kube.kubeconfig())
        .env("HOME", folder)
        .output()
        .await
        .unwrap()
}

fn shell(script: &str, folder: &Path) -> Output {
    let weir = program("weir");
    let [listen, admin] = [free_address(), free_address()].map(|address| address.to_string());
    let script = script.replace("cargo run --release --", weir.to_str().unwrap()).replace("127.0.0.1:8080", &listen);
    let other = |script: String, port: &str| script.replace(port, &free_address().to_string());
    let script = ["127.0.0.1:8081", "127.0.0.1:8082"].into_iter().fold(script, other);
    // The one whose state is shown.
    let script = script.replace("run shop &", &format!("run shop --admin {admin} &"));
    let script = format!("set -euo pipefail\ntrap 'kill $(jobs -p) && wait' EXIT\n{script}");
    Command::new("bash")
        .args(["-c", &script])
        .current_dir(folder)
        .env("WEIR_LISTEN", format!("http={listen}"))
        .env("WEIR_EXIT_AFTER", "2s")
        .envs(["WEIR_ADMIN", "WEIR_GRPC", "WEIR_API"].map(|name| (name, "127.0.0.1:0")))
        .env("WEIR_ADMIN_URL", &admin)
        .env("WEIR_BACKEND_PORT", "0")
        .output()
        .unwrap()
}

/// Names in backticks that begin with `prefix`.
pub(super) fn described(prefix: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(repository().join("README.md")).unwrap();
    text.split('`').filter(|part| part.starts_with(prefix)).map(str::to_owned).collect()
}

#[test]
fn every_field_of_the_kinds_is_in_the_readme() {
    let crds = String::from_utf8(run("weir", &["crds"]).stdout).unwrap();
    let names = described("");
    for field in spec_fields(&crds) {
        let known = names.iter().any(|name| name == &field || name.starts_with(&format!("{field}.")));
        assert!(known, "the README lacks `{field}`");
    }
}

/// The names directly below `spec` of each CustomResourceDefinition.
fn spec_fields(crds: &str) -> Vec<String> {
    let mut fields = Vec::new();
    for document in serde_yaml::Deserializer::from_str(crds) {
        let crd: serde_yaml::Value = serde::Deserialize::deserialize(document).unwrap();
        let spec = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
        fields.extend(spec.as_mapping().unwrap().keys().map(|key| key.as_str().unwrap().to_owned()));
    }
    fields
}
