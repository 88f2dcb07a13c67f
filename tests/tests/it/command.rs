//! The programs as people use them.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::process::Output;

use weir_tests::manifest::{example, web};
use weir_tests::program::{Program, run};
use weir_tests::{Backend, Load, Replica, eventually, get};

/// Flags that let a command choose free ports.
const FREE_PORTS: [&str; 6] = [
    "--listen=http=127.0.0.1:0",
    "--admin=127.0.0.1:0",
    "--grpc=127.0.0.1:0",
    "--api=127.0.0.1:0",
    "--workers=1",
    "--log-format=json",
];

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn weir(command: &str, more: &[&str]) -> Output {
    run("weir", &[&[command], more].concat())
}

/// The first number after `label` in a text.
fn number_after(text: &str, label: &str) -> u64 {
    let rest = text.split_once(label).unwrap_or_else(|| panic!("no {label:?} in {text}")).1;
    rest.trim_start().split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
}

#[test]
fn demo_ends_by_itself_with_figures_that_add_up() {
    let output = weir("demo", &[&FREE_PORTS[..], &["--backend-port=0", "--exit-after=5s"]].concat());
    let text = text(&output);
    assert!(output.status.success(), "{text}");
    let (sent, answered) = (number_after(&text, "\nsent "), number_after(&text, "\nanswered "));
    let parts = ["+ web-2 ", "+ web-3 "].map(|label| number_after(&text, label));
    let first = number_after(text.split_once("\nanswered ").unwrap().1, "= web-1");
    assert!(sent > 50, "{text}");
    assert_eq!((answered, first + parts.iter().sum::<u64>()), (sent, sent), "{text}");
    assert_eq!(number_after(&text, "\nfailed "), 0);
    assert!(parts.iter().all(|n| *n > 0) && first > parts[1], "web-3 was away for a while: {text}");
    assert!(text.contains("web-3 is taken down") && text.contains("web-3 is back"), "{text}");
    assert!(text.contains("web-3 Ejected"), "{text}");
}

#[tokio::test]
async fn demo_ends_cleanly_on_ctrl_c() {
    let mut demo = Program::start("weir", &[&["demo", "--backend-port=0"], &FREE_PORTS[..]].concat());
    demo.line("web-1 Up").await;
    demo.signal("INT");
    assert_eq!(demo.exit_code().await, 0, "{}", demo.output());
    demo.line("failed    0").await;
}

#[test]
fn a_taken_port_is_an_error_that_names_the_flag() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let folder = example("demo");
    let folder = folder.to_str().unwrap();
    for (flag, value) in [
        ("--listen", format!("http={address}")),
        ("--admin", address.to_string()),
        ("--grpc", address.to_string()),
        ("--api", address.to_string()),
    ] {
        let free = FREE_PORTS.iter().copied().filter(|f| !f.starts_with(flag)).collect::<Vec<_>>();
        let output = weir("run", &[&[folder, flag, &value], &free[..]].concat());
        let text = text(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(flag) && text.contains(&address.to_string()), "{text}");
    }
    let port = address.port().min(65_533).to_string();
    let output = weir("demo", &[&["--backend-port", &port], &FREE_PORTS[..]].concat());
    assert!(text(&output).contains("--backend-port"), "{}", text(&output));
}

#[tokio::test]
async fn run_serves_a_folder_until_a_signal() {
    let server = Backend::start("web-1").await;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("web.yaml"), web("", &[server.address()])).unwrap();
    let mut program = Program::start("weir", &[&["run", folder.path().to_str().unwrap()], &FREE_PORTS[..]].concat());
    let line = program.line("listener http at http://").await;
    let address: SocketAddr = line.rsplit_once('/').unwrap().1.parse().unwrap();
    eventually("it serves", async || (get(address, "/").await.ok()?.text() == "web-1").then_some(())).await;
    program.signal("TERM");
    assert_eq!(program.exit_code().await, 0, "{}", program.output());
}

#[tokio::test]
async fn run_reports_a_broken_file_and_serves_the_rest() {
    let server = Backend::start("web-1").await;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("web.yaml"), web("", &[server.address()])).unwrap();
    fs::write(folder.path().join("bad.yaml"), web("prioritty: 1", &[])).unwrap();
    let program = Program::start("weir", &[&["run", folder.path().to_str().unwrap()], &FREE_PORTS[..]].concat());
    let report = program.line("prioritty").await;
    assert!(report.contains("bad.yaml") && report.contains("priority"), "{report}");
}

#[tokio::test]
async fn h7_up_and_down_are_log_lines() {
    let [a, b] = Backend::start_many("web").await;
    let folder = tempfile::tempdir().unwrap();
    let spec = "balance: {method: FirstAlive}, health: {passive: {maxFails: 1, failTimeout: 200ms}}";
    fs::write(folder.path().join("web.yaml"), web(spec, &[a.address(), b.address()])).unwrap();
    let program = Program::start("weir", &[&["run", folder.path().to_str().unwrap()], &FREE_PORTS[..]].concat());
    let line = program.line("listener http at http://").await;
    let address: SocketAddr = line.rsplit_once('/').unwrap().1.parse().unwrap();
    eventually("it serves", async || (get(address, "/").await.ok()?.text() == "web-1").then_some(())).await;
    a.stop().await;
    get(address, "/").await.unwrap();
    for text in ["endpoint is down", "endpoint is up"] {
        let line = program.line(text).await;
        assert!(line.contains("web-1") && line.contains("test/web"), "{line}");
    }
}

#[test]
fn check_is_silent_about_good_files() {
    let output = weir("check", &[example("demo").to_str().unwrap()]);
    assert!(output.status.success() && output.stdout.is_empty(), "{}", text(&output));
}

#[test]
fn check_of_a_path_that_is_not_there_fails() {
    let output = weir("check", &["/nowhere/at/all"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("/nowhere/at/all"));
}

#[test]
fn crds_prints_both_kinds() {
    let output = weir("crds", &[]);
    let text = text(&output);
    assert!(output.status.success());
    for kind in ["kind: Pool", "kind: Backend", "kind: Plugin"] {
        assert!(text.contains(kind), "{kind}");
    }
}

#[test]
fn every_program_has_help_with_examples_a_version_and_exit_status_2() {
    for program in ["weir", "weir-control-plane", "weir-data-plane"] {
        let help = run(program, &["--help"]);
        assert!(help.status.success() && text(&help).contains("Examples:"), "{program}: {}", text(&help));
        let version = run(program, &["--version"]);
        assert_eq!(text(&version).trim(), format!("{program} {}", env!("CARGO_PKG_VERSION")));
        assert_eq!(run(program, &["--no-such-flag"]).status.code(), Some(2), "{program}");
    }
    for command in ["demo", "run", "check", "crds"] {
        assert!(text(&weir(command, &["--help"])).contains("Examples:"), "{command}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s2_kill_9_of_the_control_plane_fails_no_request_and_a_restart_sends_only_changes() {
    let [a, b] = Backend::start_many("web").await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("web.yaml");
    fs::write(&file, web("", &[a.address(), b.address()])).unwrap();
    let control = Replica::start(folder.path(), "127.0.0.1:0", &[]).await;
    let proxy = weir_tests::DataPlane::builder(control.grpc()).start().await;
    let load = Load::start(proxy.address(), 4);
    let grpc = control.grpc().to_string();
    control.kill().await;
    let served = a.requests();
    eventually("requests go on", async || (a.requests() > served + 500).then_some(())).await;

    fs::write(&file, web("", &[b.address()]).replace("web-1", "web-2")).unwrap();
    let control = Replica::start(folder.path(), &grpc, &[]).await;
    control.has_proxies(1.0).await;
    eventually("web-1 is gone", async || {
        let state = get(proxy.admin(), "/api/v1/pools/test/web").await.ok()?.json();
        (state["backends"].as_array()?.len() == 1).then_some(())
    })
    .await;
    let tally = load.stop().await;
    assert_eq!(tally.failures, Vec::<String>::new());
    assert_eq!(control.metric("weir_sent_resources_total").await, 1.0, "one removal, and nothing else");
    proxy.stop().await;
}
