//! A real Prometheus, and its tool.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, ensure};
use http::{Request, header};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::full;
use crate::manifest::repository;
use crate::program::Program;
use crate::{eventually, get, send};

/// Between two scrapes, and two evaluations of the rules: tests look at a second or two.
const INTERVAL: &str = "500ms";

/// A Prometheus that scrapes; ends when dropped.
#[derive(Debug)]
pub struct Prometheus {
    address: SocketAddr,
    _program: Program,
    _folder: TempDir,
}

impl Prometheus {
    /// Starts one that scrapes each target as a job of its own and evaluates the rules of a file, and waits until it
    /// is ready.
    ///
    /// # Panics
    /// If it cannot be started.
    pub async fn start(targets: &[(&str, SocketAddr)], rules: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("prometheus.json");
        // JSON is YAML.
        std::fs::write(&file, configuration(targets, rules).to_string()).expect("a folder to write to");
        let program = Program::start_file(
            &tool("prometheus"),
            &[
                &format!("--config.file={}", file.display()),
                &format!("--storage.tsdb.path={}", folder.path().join("data").display()),
                "--web.listen-address=127.0.0.1:0",
            ],
        );
        let line = program.line("msg=\"Listening on\"").await;
        let address = line.rsplit_once("address=").expect("an address").1.parse().expect("an address");
        eventually("Prometheus is ready", async || (get(address, "/-/ready").await.ok()?.status == 200).then_some(()))
            .await;
        Self { address, _program: program, _folder: folder }
    }

    /// The series that an expression gives now.
    ///
    /// # Errors
    /// If it is not a valid expression.
    pub async fn query(&self, expression: &str) -> anyhow::Result<Vec<Value>> {
        let request = Request::post("/api/v1/query")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(full(format!("query={}", percent_encoded(expression))))?;
        let answer = send(self.address, request).await?.json();
        ensure!(answer["status"] == "success", "{expression}: {}", answer["error"]);
        Ok(answer["data"]["result"].as_array().context("series")?.clone())
    }

    /// The `data` of a page of its API, such as `targets` or `rules`.
    ///
    /// # Panics
    /// If it does not answer.
    pub async fn page(&self, name: &str) -> Value {
        let mut answer = get(self.address, &format!("/api/v1/{name}")).await.expect("a page").json();
        answer["data"].take()
    }
}

fn configuration(targets: &[(&str, SocketAddr)], rules: &Path) -> Value {
    let job = |(name, address): &(&str, SocketAddr)| json!({"job_name": name, "static_configs": [{"targets": [address.to_string()]}]});
    json!({
        "global": {"scrape_interval": INTERVAL, "scrape_timeout": INTERVAL, "evaluation_interval": INTERVAL},
        "rule_files": [rules],
        "scrape_configs": targets.iter().map(job).collect::<Vec<_>>(),
    })
}

fn percent_encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Runs `promtool` in the root of the repository to its end, with `input` on its standard input.
///
/// # Panics
/// If it cannot be started.
pub fn promtool(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(tool("promtool"))
        .args(arguments)
        .current_dir(repository())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("promtool reads");
    child.wait_with_output().expect("the end of promtool")
}

/// The file of `prometheus` or `promtool`.
fn tool(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(fetch).join(name)
}

fn fetch() -> PathBuf {
    let fetched = Command::new(repository().join("tests/prometheus/fetch")).output().expect("tests/prometheus/fetch");
    assert!(fetched.status.success(), "{}", String::from_utf8_lossy(&fetched.stderr));
    PathBuf::from(String::from_utf8_lossy(&fetched.stdout).trim())
}
