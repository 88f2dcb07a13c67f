//! The program as users start it.

use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

use super::world::{Folder, pool};

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir-control-plane"));
    command.args(arguments).env_remove("WEIR_FOLDER");
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
    assert_eq!(run(&[]).0, Some(2));
    assert_eq!(run(&["--folder", ".", "--grpc", "nowhere"]).0, Some(2));
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

#[test]
fn a_broken_resource_is_one_line_of_the_log_and_sigterm_ends_the_program() {
    use std::io::{BufRead, BufReader};
    let folder = Folder::new(&[("a.yaml", &pool("a", 70_000))]);
    let path = folder.path("").display().to_string();
    let mut child = program(&["--folder", &path, "--grpc", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let line = lines.find(|line| line.contains("WARN")).unwrap();
    assert!(line.ends_with("a.yaml:5: Pool default/a: spec.weight: must be from 0 to 65535"), "{line}");
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    assert!(child.wait().unwrap().success());
}
