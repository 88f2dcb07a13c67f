//! The real programs as child processes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command as AsyncCommand};

use crate::{eventually, within};

/// The file of a program of this workspace, built from the present source.
///
/// # Panics
/// If it does not build.
pub fn program(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(build).join(name)
}

/// `cargo test` builds a package's programs only for its own tests, so they are asked for here, with the same features.
fn build() -> PathBuf {
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--workspace", "--bins"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .expect("cargo");
    assert!(status.success(), "the programs do not build");
    let test = std::env::current_exe().expect("the path of this test");
    test.ancestors().nth(2).expect("target/debug/deps/TEST").to_owned()
}

/// Runs a program of this workspace to its end.
///
/// # Panics
/// If it cannot be started.
pub fn run(name: &str, arguments: &[&str]) -> Output {
    Command::new(program(name)).args(arguments).stdin(Stdio::null()).output().expect("a program that starts")
}

/// A program that is running; killed when dropped.
#[derive(Debug)]
pub struct Program {
    child: Child,
    output: Arc<Mutex<String>>,
}

impl Program {
    /// Starts a program of this workspace.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(name: &str, arguments: &[&str]) -> Self {
        Self::start_file(&program(name), arguments)
    }

    /// Starts any program.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start_file(file: &Path, arguments: &[&str]) -> Self {
        Self::start_in(file, arguments, &[])
    }

    /// As [`Program::start_file`], with these variables besides.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start_in(file: &Path, arguments: &[&str], variables: &[(&str, &Path)]) -> Self {
        let mut command = AsyncCommand::new(file);
        command.args(arguments).envs(variables.iter().copied()).stdin(Stdio::null());
        Self::spawn(command)
    }

    /// Starts what a command says, whose output is collected.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn spawn(mut command: AsyncCommand) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("a program that starts");
        let output = Arc::new(Mutex::new(String::new()));
        collect(child.stdout.take().expect("piped"), output.clone());
        collect(child.stderr.take().expect("piped"), output.clone());
        Self { child, output }
    }

    /// All lines it wrote so far, to standard output and error.
    pub fn output(&self) -> String {
        self.output.lock().clone()
    }

    /// Waits for a line in which `text` occurs, and gives it.
    ///
    /// # Panics
    /// If none comes in time.
    pub async fn line(&self, text: &str) -> String {
        let find = || self.output().lines().find(|line| line.contains(text)).map(str::to_owned);
        eventually(&format!("a line with {text:?}"), || std::future::ready(find())).await
    }

    /// Sends a signal, such as `TERM`.
    ///
    /// # Panics
    /// If it has ended already.
    pub fn signal(&self, name: &str) {
        signal(name, self.id());
    }

    /// The number of its process.
    ///
    /// # Panics
    /// If it has ended already.
    pub fn id(&self) -> u32 {
        self.child.id().expect("a running program")
    }

    /// Kills it and waits for its end.
    ///
    /// # Panics
    /// If it cannot be killed.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("a program that can be killed");
    }

    /// Waits for its end and gives the exit code.
    ///
    /// # Panics
    /// If it does not end in time, or by a signal.
    pub async fn exit_code(&mut self) -> i32 {
        let status = within("the end of a program", self.child.wait()).await.expect("a status");
        status.code().unwrap_or_else(|| panic!("ended with {status}"))
    }
}

/// Sends a signal to any process.
///
/// # Panics
/// If there is none of this number.
pub fn signal(name: &str, pid: u32) {
    let status = Command::new("kill").args(["-s", name, &pid.to_string()]).status().expect("kill");
    assert!(status.success(), "kill -s {name} {pid}");
}

/// Collects the lines of a program's output.
pub(crate) fn collect(from: impl AsyncRead + Unpin + Send + 'static, into: Arc<Mutex<String>>) {
    tokio::spawn(async move {
        let mut lines = BufReader::new(from).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let mut all = into.lock();
            all.push_str(&line);
            all.push('\n');
        }
    });
}
