//! The command that issues certificates, into a folder and into Secrets of a real API server.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, ResourceExt};
use weir_tests::Kube;
use weir_tests::program::{program, run};

const PLANES: [&str; 3] = ["ca", "control-plane", "data-plane"];

fn issue(dir: &Path, more: &[&str]) -> String {
    let dir = dir.to_str().unwrap();
    let output = run("weir-control-plane", &[&["issue-certificates", "--dir", dir], more].concat());
    let text = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    text
}

/// Every file below a folder but the lock.
fn files(dir: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for plane in PLANES {
        for entry in fs::read_dir(dir.join(plane)).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("{plane}/{}", path.file_name().unwrap().to_str().unwrap());
            files.insert(name, fs::read_to_string(path).unwrap());
        }
    }
    files
}

const FOR_A: [&str; 4] = ["--dns-name", "a.test", "--allow-namespace", "shop"];

#[test]
fn a_second_run_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    issue(dir.path(), &FOR_A);
    let before = files(dir.path());
    assert_eq!(before.len(), 9, "{:?}", before.keys());
    assert_eq!(issue(dir.path(), &FOR_A), "");
    assert_eq!(files(dir.path()), before);
}

#[test]
fn keys_are_their_owners_only_and_in_no_log() {
    let dir = tempfile::tempdir().unwrap();
    let log = issue(dir.path(), &FOR_A);
    for plane in PLANES {
        let key = dir.path().join(plane).join("tls.key");
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600, "{}", key.display());
        let key = fs::read_to_string(key).unwrap();
        assert!(!log.contains(key.lines().nth(1).unwrap()) && !log.contains("PRIVATE"), "{log}");
    }
}

#[test]
fn other_names_and_namespaces_renew_only_whose_they_are() {
    let dir = tempfile::tempdir().unwrap();
    issue(dir.path(), &FOR_A);
    let first = files(dir.path());
    issue(dir.path(), &["--dns-name", "b.test", "--allow-namespace", "shop"]);
    let second = files(dir.path());
    assert_ne!(second["control-plane/tls.crt"], first["control-plane/tls.crt"]);
    assert_eq!(second["data-plane/tls.crt"], first["data-plane/tls.crt"]);
    issue(dir.path(), &["--dns-name", "b.test", "--allow-namespace", "shop", "--allow-namespace", "blog"]);
    let third = files(dir.path());
    assert_eq!(third["control-plane/tls.crt"], second["control-plane/tls.crt"]);
    assert_ne!(third["data-plane/tls.crt"], second["data-plane/tls.crt"]);
    assert_eq!(third["ca/tls.crt"], first["ca/tls.crt"]);
}

#[test]
fn certificates_near_their_end_are_renewed() {
    let dir = tempfile::tempdir().unwrap();
    // They begin five minutes ago, as clocks differ: two thirds of six minutes are over.
    issue(dir.path(), &[&FOR_A[..], &["--valid-for", "1m"]].concat());
    let before = files(dir.path());
    let log = issue(dir.path(), &FOR_A);
    assert_eq!(log.matches("two thirds of its life are over").count(), 2, "{log}");
    let after = files(dir.path());
    for file in ["control-plane/tls.crt", "control-plane/tls.key", "data-plane/tls.crt", "data-plane/tls.key"] {
        assert_ne!(after[file], before[file], "{file}");
    }
    assert_eq!(issue(dir.path(), &FOR_A), "");
}

#[test]
fn runs_at_the_same_time_end_with_the_same() {
    let dir = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        (0..4).for_each(|_| drop(scope.spawn(|| issue(dir.path(), &FOR_A))));
    });
    assert_eq!(issue(dir.path(), &FOR_A), "", "all of it fits");
}

/// Runs the command against a cluster, with the Secrets `ca`, `server` and `client`.
fn issue_in(kube: &Kube, namespace: &str) -> Command {
    let mut command = Command::new(program("weir-control-plane"));
    command.env("KUBECONFIG", kube.kubeconfig()).args(["issue-certificates", "--namespace", namespace]);
    command.args(["--ca-secret=ca", "--control-plane-secret=server", "--data-plane-secret=client"]).args(FOR_A);
    command
}

fn log(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Resource version of each Secret.
async fn versions(secrets: &Api<Secret>) -> Vec<String> {
    let mut versions = Vec::new();
    for name in ["ca", "server", "client"] {
        versions.push(secrets.get(name).await.unwrap().resource_version().unwrap());
    }
    versions
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the test cluster: tests/run starts it"]
async fn secrets_are_made_once_however_many_run() {
    let kube = Kube::shared().await;
    let namespace = kube.namespace().await;
    let secrets: Api<Secret> = Api::namespaced(kube.client(), &namespace);
    let runs: Vec<_> =
        (0..4).map(|_| issue_in(&kube, &namespace).stderr(std::process::Stdio::piped()).spawn()).collect();
    for run in runs {
        let output = run.unwrap().wait_with_output().unwrap();
        assert!(output.status.success(), "{}", log(&output));
    }
    let before = versions(&secrets).await;
    let authority = secrets.get("ca").await.unwrap().data.unwrap();
    for name in ["ca", "server", "client"] {
        let secret = secrets.get(name).await.unwrap();
        assert_eq!(secret.labels()["app.kubernetes.io/managed-by"], "weir-control-plane");
        assert_eq!(secret.type_.as_deref(), Some("kubernetes.io/tls"));
        assert_eq!(secret.data.unwrap()["ca.crt"], authority["tls.crt"], "{name}");
    }
    let again = issue_in(&kube, &namespace).output().unwrap();
    assert!(again.status.success() && log(&again).is_empty(), "{}", log(&again));
    assert_eq!(versions(&secrets).await, before);
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/run starts it"]
async fn a_secret_of_somebody_else_is_left_alone() {
    let kube = Kube::shared().await;
    let namespace = kube.namespace().await;
    let secrets: Api<Secret> = Api::namespaced(kube.client(), &namespace);
    let metadata = ObjectMeta { name: Some("server".to_owned()), ..ObjectMeta::default() };
    let foreign = Secret { metadata, ..Secret::default() };
    let foreign = secrets.create(&PostParams::default(), &foreign).await.unwrap();
    let output = issue_in(&kube, &namespace).output().unwrap();
    assert!(output.status.success(), "{}", log(&output));
    assert!(log(&output).contains("server") && log(&output).contains("left alone"), "{}", log(&output));
    assert_eq!(secrets.get("server").await.unwrap().resource_version(), foreign.resource_version());
    assert!(secrets.get("client").await.unwrap().data.is_some());
}
