//! The program as users start it.

use std::io::{BufRead, BufReader, Lines};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use serde_json::Value;

use super::proxy::Proxy;
use super::world::{Folder, pool};

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir-control-plane"));
    command.args(arguments).env_remove("WEIR_FOLDER").env_remove("WEIR_NAMESPACE");
    // No cluster, whatever this machine has.
    command.env_remove("KUBERNETES_SERVICE_HOST").env("KUBECONFIG", "/no/such/file");
    command
}

fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = program(arguments).output().unwrap();
    (status.code(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

#[test]
fn help_has_examples_and_version_is_said() {
    let (code, text) = run(&["--help"]);
    assert_eq!(code, Some(0));
    assert!(text.contains("Examples:") && text.contains("WEIR_GRPC"), "{text}");
    assert_eq!(run(&["--version"]), (Some(0), format!("weir-control-plane {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn wrong_usage_is_exit_code_2() {
    assert_eq!(run(&["--folder", ".", "--grpc", "nowhere"]).0, Some(2));
    let (code, text) = run(&["--folder", ".", "--namespace", "shop"]);
    assert_eq!(code, Some(2));
    assert!(text.contains("'--folder <DIR>' cannot be used with '--namespace <NS>'"), "{text}");
}

#[test]
fn without_a_cluster_it_says_what_to_do() {
    let (code, text) = run(&[]);
    assert_eq!(code, Some(1));
    assert!(text.starts_with("weir-control-plane: there is no Kubernetes cluster to watch: "), "{text}");
    assert!(text.contains("KUBECONFIG") && text.contains("--folder DIR"), "{text}");
}

#[test]
fn a_port_that_is_taken_names_the_flag() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = Folder::new(&[]);
    let path = folder.path("").display().to_string();
    for (flag, other) in [("--grpc", "--admin"), ("--admin", "--grpc")] {
        let (code, text) = run(&["--folder", &path, flag, &address, other, "127.0.0.1:0"]);
        assert_eq!((code, text), (Some(1), format!("weir-control-plane: {flag} {address}: address already in use\n")));
    }
}

#[test]
fn a_folder_that_does_not_exist_is_an_error() {
    let (code, text) = run(&["--folder", "/no/such/folder"]);
    assert_eq!(code, Some(1));
    assert!(text.starts_with("weir-control-plane: folder /no/such/folder: "), "{text}");
}

/// A running program and its log; ended by SIGTERM.
struct Running {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
    grpc: SocketAddr,
}

impl Running {
    fn start(folder: &Folder) -> Self {
        let path = folder.path("").display().to_string();
        let arguments = ["--folder", &path, "--grpc", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--log-format", "json"];
        let mut child = program(&arguments).stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let first: Value = serde_json::from_str(&log.next().unwrap().unwrap()).unwrap();
        let grpc = first["fields"]["grpc"].as_str().unwrap_or_else(|| panic!("{first}")).parse().unwrap();
        Self { child, log, grpc }
    }

    /// The next warning.
    fn warning(&mut self) -> String {
        let line = self.log.by_ref().map(Result::unwrap).find(|line| line.contains("WARN")).unwrap();
        let line: Value = serde_json::from_str(&line).unwrap();
        line["fields"].to_string()
    }

    fn stop(&mut self) {
        assert!(Command::new("kill").arg(self.child.id().to_string()).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Running {
    /// A test that fails leaves nothing behind.
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

#[test]
fn a_broken_resource_is_one_line_of_the_log_and_sigterm_ends_the_program() {
    let folder = Folder::new(&[("a.yaml", &pool("a", 70_000))]);
    let mut program = Running::start(&folder);
    let line = program.warning();
    assert!(line.contains("a.yaml:5: Pool default/a: spec.weight: must be from 0 to 65535"), "{line}");
    program.stop();
}

#[test]
fn sigterm_ends_the_program_though_a_client_never_says_a_word() {
    let folder = Folder::new(&[]);
    let mut program = Running::start(&folder);
    let _silent = TcpStream::connect(program.grpc).unwrap();
    program.stop();
}

#[tokio::test]
async fn two_proxies_of_one_name_are_warned_about() {
    let folder = Folder::new(&[]);
    let mut program = Running::start(&folder);
    let mut one = Proxy::subscribe(program.grpc, "twin").await;
    one.accept().await;
    let mut other = Proxy::subscribe(program.grpc, "twin").await;
    other.accept().await;
    let line = program.warning();
    assert!(line.contains("twin") && line.contains("node id"), "{line}");
    program.stop();
}
