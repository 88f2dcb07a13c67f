//! A cluster of one test, and what can happen to its API server.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::Kube;
use crate::eventually;
use crate::manifest::repository;

/// The program that runs it, and its folder. The program ends the cluster when its standard input is closed, so even
/// a test that is killed leaves nothing behind.
#[derive(Debug)]
pub(super) struct Cluster {
    program: Child,
    dir: TempDir,
}

impl Cluster {
    pub(super) async fn start() -> Self {
        tokio::task::spawn_blocking(start).await.expect("a thread that starts a cluster")
    }

    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }
}

fn start() -> Cluster {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut program = Command::new("go")
        .args(["run", "-C"])
        .arg(repository().join("tests/cluster"))
        .args([".", "up", "--dir"])
        .arg(dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("go, which tests with a cluster need");
    let lines = BufReader::new(program.stdout.take().expect("piped")).lines();
    let ready = lines.map_while(Result::ok).any(|line| line == "ready");
    assert!(ready, "the cluster did not start: see above");
    Cluster { program, dir }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.program.stdin.take());
        // Its folder can only be removed when nothing writes to it any more.
        let _ = self.program.wait();
    }
}

impl Kube {
    /// Kills the API server with -9; it is started again at once, on its port.
    ///
    /// # Panics
    /// If others share it, or it does not come back.
    pub async fn kill_apiserver(&self) {
        assert!(self.place.private.is_some(), "other tests use the shared API server: start a cluster of your own");
        let old = self.apiserver();
        let status = Command::new("kill").args(["-9", &old]).status().expect("kill");
        assert!(status.success(), "kill -9 {old}");
        eventually("the API server is started again", async || (self.apiserver() != old).then_some(())).await;
    }

    /// Waits until the API server serves.
    pub async fn ready(&self) {
        eventually("the API server is ready", async || {
            let request = http::Request::get("/readyz").body(Vec::new()).ok()?;
            self.client.request_text(request).await.ok()
        })
        .await;
    }

    /// The id of the API server's process.
    fn apiserver(&self) -> String {
        fs::read_to_string(self.place.dir.join("kube-apiserver.pid")).expect("the id of a process")
    }
}
