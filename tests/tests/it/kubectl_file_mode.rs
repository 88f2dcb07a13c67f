//! The real kubectl against file mode: the same script as against the API server of the test cluster, with the same
//! outputs.
//!
//! What is made equal before they are compared: times, ages, uids and versions of resources, which are each side's own;
//! temporary paths of `kubectl diff`; the order in which kinds of a category are listed, which a cluster does not promise
//! either; Events, which are the cluster's alone; the text of a refusal after the field, for which each side has its own
//! words; server-side apply in the list of patches that there are.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use regex::Regex;
use tempfile::TempDir;
use tokio::process::Command;
use weir_tests::manifest::repository;
use weir_tests::{Kube, Replica};

/// What is made equal, line by line: a pattern and what stands in its place.
const EQUAL: [(&str, &str); 9] = [
    (r#""?\d{4}-\d\d-\d\d[T ][\d:.]+(Z| \+0000)"?"#, "TIME"),
    (r#"(resourceVersion"?: )"\d+""#, "${1}VERSION"),
    (r"(Resource Version: +)\d+", "${1}VERSION"),
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UID"),
    (r" +\d+s( +|$)", " AGE "),
    (r"(LIVE|MERGED)-\d+", "${1}"),
    (r"(is invalid: [a-zA-Z.]+: ).*", "${1}"),
    (r", application/apply-patch\+yaml", ""),
    (r" +$", ""),
];

async fn script(kubectl: &str, namespace: &str, home: &Path) -> String {
    let folder = repository().join("tests/testdata/kubectl");
    let mut command = Command::new("bash");
    command.arg(folder.join("script")).current_dir(&folder).stdin(Stdio::null()).kill_on_drop(true);
    command.env("KUBECTL", kubectl).env("NAMESPACE", namespace).env("HOME", home).env_remove("KUBECONFIG");
    let output = command.output().await.unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !errors.contains("rror"), "{errors}");
    equal(&String::from_utf8(output.stdout).unwrap())
}

/// The parts that are compared, each a command with what it said.
fn equal(output: &str) -> String {
    let patterns = EQUAL.map(|(pattern, place)| (Regex::new(pattern).unwrap(), place));
    let mut is_in_events = false;
    let mut lines = Vec::new();
    // Several mistakes are several lines.
    for line in output.replace("is invalid: \n* ", "is invalid: ").lines() {
        is_in_events = line.starts_with("Events:") || is_in_events && !line.starts_with("exit status");
        if !is_in_events && !line.starts_with("* <nil>") {
            lines.push(
                patterns
                    .iter()
                    .fold(line.to_owned(), |line, (pattern, place)| pattern.replace_all(&line, *place).into()),
            );
        }
    }
    let commands = lines.join("\n");
    let commands = commands
        .split("$ kubectl ")
        .map(|command| if command.starts_with("get weir") { sorted(command) } else { command.to_owned() });
    commands.collect::<Vec<_>>().join("$ kubectl ")
}

fn sorted(text: &str) -> String {
    let mut parts: Vec<&str> = text.lines().collect();
    parts.sort_unstable();
    parts.join("\n")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the test cluster: tests/run starts it"]
async fn kubectl_says_the_same_of_a_folder_and_of_a_cluster() {
    let kube = Kube::shared().await;
    kube.crds().await;
    let (namespace, home, folder) = (kube.namespace().await, TempDir::new().unwrap(), TempDir::new().unwrap());
    let in_cluster = Replica::in_cluster(&kube, &namespace, "one").await;
    let of_folder = Replica::start(folder.path(), "127.0.0.1:0", &[]).await;
    let kubectl = kube.program("kubectl").display().to_string();
    let to_cluster = format!("{kubectl} --kubeconfig {}", kube.kubeconfig().display());
    let to_folder = format!("{kubectl} --server http://{}", of_folder.admin());
    let (cluster, file) =
        tokio::join!(script(&to_cluster, &namespace, home.path()), script(&to_folder, &namespace, home.path()));
    assert!(cluster.matches("exit status 0").count() > 40, "{cluster}");
    for (cluster, file) in cluster.split("$ kubectl ").zip(file.split("$ kubectl ")) {
        assert_eq!(cluster, file, "the cluster, then file mode");
    }
    assert_eq!(cluster.len(), file.len());
    assert_eq!(fs::read_dir(folder.path().join(&*namespace)).unwrap().count(), 0, "all is deleted");
    drop((in_cluster, of_folder));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the kubectl of the test cluster: tests/run starts it"]
async fn server_side_apply_is_refused_and_the_token_is_asked_for() {
    let kube = Kube::shared().await;
    let (home, folder) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let token = folder.path().join("token");
    fs::write(&token, "s3cret\n").unwrap();
    fs::create_dir(folder.path().join("conf")).unwrap();
    let flags = ["--api-token-file", token.to_str().unwrap()];
    let replica = Replica::start(&folder.path().join("conf"), "127.0.0.1:0", &flags).await;
    let kubectl = async |arguments: &[&str]| {
        let server = format!("http://{}", replica.admin());
        let mut command = Command::new(kube.program("kubectl"));
        command.args(["--server", &server]).args(arguments).env("HOME", home.path()).env_remove("KUBECONFIG");
        let output = command.stdin(Stdio::null()).output().await.unwrap();
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let pool = repository().join("tests/testdata/kubectl/pool.yaml").display().to_string();
    assert_eq!(kubectl(&["get", "pools"]).await.0, Some(1), "no token");
    // kubectl sends a token over TLS only, as it should; a proxy before Weir takes care of that.
    let (_, said) = kubectl(&["get", "--raw", "/apis"]).await;
    assert!(said.contains("Unauthorized"), "{said}");
    replica.kill().await;

    let replica = Replica::start(&folder.path().join("conf"), "127.0.0.1:0", &[]).await;
    let server = format!("http://{}", replica.admin());
    let mut command = Command::new(kube.program("kubectl"));
    command.args(["--server", &server, "apply", "--server-side", "--filename", &pool]).env("HOME", home.path());
    let output = command.env_remove("KUBECONFIG").stdin(Stdio::null()).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("accepted media types include: application/json-patch+json"),
        "{said}"
    );
}
