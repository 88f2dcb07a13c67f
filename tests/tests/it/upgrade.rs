//! An upgrade in place: a new process takes over the sockets of the one that runs, and nobody notices.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use weir_tests::manifest::web;
use weir_tests::port::free_address;
use weir_tests::program::{self, Program};
use weir_tests::{Backend, Behaviour, Client, Load, RawClient, Replica, eventually, get};

/// A proxy that runs by a link to its program, with the number of its process in a file.
struct Proxy {
    folder: TempDir,
    program: Program,
    address: SocketAddr,
    admin: SocketAddr,
    server: Backend,
    control: Replica,
}

impl Proxy {
    async fn start(more: &[&str]) -> Self {
        Self::listening("--listen=http=127.0.0.1:0", more).await
    }

    /// With this flag for its listeners, the first of which is `http`.
    async fn listening(listen: &str, more: &[&str]) -> Self {
        let (folder, server) = (tempfile::tempdir().unwrap(), Backend::start("web-1").await);
        let manifests = folder.path().join("manifests");
        fs::create_dir(&manifests).unwrap();
        fs::write(manifests.join("web.yaml"), web("", &[server.address()])).unwrap();
        let control = Replica::start(&manifests, "127.0.0.1:0", &[]).await;
        let link = folder.path().join("weir-data-plane");
        symlink(program::program("weir-data-plane"), &link).unwrap();
        let flags = [
            format!("--control-plane=http://{}", control.grpc()),
            listen.to_owned(),
            "--admin=127.0.0.1:0".to_owned(),
            "--drain-timeout=20s".to_owned(),
            format!("--pid-file={}", folder.path().join("pid").display()),
        ];
        let flags: Vec<&str> = flags.iter().map(String::as_str).chain(more.iter().copied()).collect();
        let program = Program::start_file(&link, &flags);
        let line = program.line("data plane listens").await;
        let address_after = |label: &str| {
            let rest = line.split_once(label).unwrap().1;
            rest.split([')', ' ']).next().unwrap().parse().unwrap()
        };
        let (address, admin) = (address_after("\"http\", "), address_after("admin="));
        let proxy = Self { folder, program, address, admin, server, control };
        eventually("it serves", async || (get(address, "/").await.ok()?.status == 200).then_some(())).await;
        proxy
    }

    fn pid(&self) -> Option<u32> {
        fs::read_to_string(self.folder.path().join("pid")).ok()?.trim().parse().ok()
    }

    fn link(&self) -> PathBuf {
        self.folder.path().join("weir-data-plane")
    }

    /// Tells the process that serves to let another one take over, and waits until that is done and the first has ended.
    async fn upgrade(&self) {
        let old = self.pid().unwrap();
        program::signal("USR2", old);
        eventually("another process serves", async || self.pid().filter(|pid| *pid != old)).await;
        eventually("the first one has ended", async || has_ended(old).then_some(())).await;
    }
}

impl Drop for Proxy {
    /// The process that serves is not the one that was started here.
    fn drop(&mut self) {
        if let Some(pid) = self.pid().filter(|pid| !has_ended(*pid)) {
            program::signal("KILL", pid);
        }
    }
}

/// Whether a process is gone, or about to be.
fn has_ended(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
}

/// Replaces what the link names.
fn point(link: &Path, to: &Path) {
    fs::remove_file(link).unwrap();
    symlink(to, link).unwrap();
}

/// Clients that make a new connection for each request, until told to stop; gives how many were answered, and what
/// went wrong.
fn newcomers(address: SocketAddr, clients: usize, stop: &CancellationToken) -> JoinSet<(u64, Vec<String>)> {
    let mut tasks = JoinSet::new();
    for _ in 0..clients {
        let stop = stop.clone();
        tasks.spawn(async move {
            let (mut answered, mut failures) = (0, Vec::new());
            while !stop.is_cancelled() {
                match get(address, "/").await {
                    Ok(response) if response.status == 200 => answered += 1,
                    Ok(response) => failures.push(response.text()),
                    Err(error) => failures.push(format!("{error:#}")),
                }
            }
            (answered, failures)
        });
    }
    tasks
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s5_an_upgrade_in_place_fails_no_request_and_another_follows() {
    let mut proxy = Proxy::start(&["--workers=2"]).await;
    let (load, stop) = (Load::start(proxy.address, 8), CancellationToken::new());
    let newcomers = newcomers(proxy.address, 4, &stop);
    for _ in 0..2 {
        let served = proxy.server.requests();
        eventually("requests go on", async || (proxy.server.requests() > served + 200).then_some(())).await;
        proxy.upgrade().await;
        let served = proxy.server.requests();
        eventually("requests go on", async || (proxy.server.requests() > served + 200).then_some(())).await;
        assert_eq!(get(proxy.admin, "/readyz").await.unwrap().status, 200, "the admin server has moved, too");
    }
    stop.cancel();
    assert_eq!(load.stop().await.failures, Vec::<String>::new());
    for (answered, failures) in newcomers.join_all().await {
        assert!(answered > 0);
        assert_eq!(failures, Vec::<String>::new());
    }
    assert_eq!(proxy.program.exit_code().await, 0, "{}", proxy.program.output());
    proxy.control.has_proxies(1.0).await;
}

#[tokio::test]
async fn a_request_that_runs_finishes_in_the_old_process() {
    let proxy = Proxy::start(&["--workers=1"]).await;
    let mut client = Client::connect(proxy.address).await.unwrap();
    client.get("/").await.unwrap();
    proxy.server.hold();
    let held = tokio::spawn(async move { client.get("/").await.unwrap() });
    eventually("a request is upstream", async || (proxy.server.counts().in_flight() == 1).then_some(())).await;
    let old = proxy.pid().unwrap();
    proxy.program.signal("USR2");
    proxy.program.line("leaving").await;
    assert!(!held.is_finished() && !has_ended(old));
    proxy.server.release();
    let response = held.await.unwrap();
    assert_eq!((response.status, response.header("connection")), (200, "close"));
    eventually("the first one has ended", async || has_ended(old).then_some(())).await;
    assert_eq!(get(proxy.address, "/").await.unwrap().status, 200);
}

/// Asks over HTTP/2 until told to stop, on a new connection after each that the proxy has ended before a request was sent;
/// gives how many were answered.
async fn asks_over_http2(address: SocketAddr, stop: CancellationToken) -> anyhow::Result<u64> {
    let (mut client, mut answered) = (Client::connect_http2(address).await?, 0);
    while !stop.is_cancelled() {
        match client.get("/").await {
            Ok(response) => {
                anyhow::ensure!(response.status == 200, "{}", response.text());
                answered += 1;
            }
            Err(error) if error.downcast_ref().is_some_and(was_not_sent) => {
                client = Client::connect_http2(address).await?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(answered)
}

fn was_not_sent(error: &hyper::Error) -> bool {
    error.is_canceled() || error.is_closed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r1_an_upgrade_in_place_loses_no_stream_and_breaks_no_tunnel() {
    let proxy = Proxy::start(&["--workers=2"]).await;
    let old = proxy.pid().unwrap();
    proxy.server.set(Behaviour::Echo);
    let mut tunnel = RawClient::tunnel(proxy.address).await.unwrap();
    let (before, stop, mut tasks) = (proxy.server.requests(), CancellationToken::new(), JoinSet::new());
    (0..8).for_each(|_| drop(tasks.spawn(asks_over_http2(proxy.address, stop.clone()))));
    let goes_on = async || {
        let served = proxy.server.requests();
        eventually("requests go on", async || (proxy.server.requests() > served + 200).then_some(())).await;
    };
    goes_on().await;
    program::signal("USR2", old);
    eventually("another process serves", async || proxy.pid().filter(|pid| *pid != old)).await;
    goes_on().await;
    tunnel.send("still here").await.unwrap();
    assert_eq!(tunnel.read_until("here").await.unwrap(), "still here");
    assert!(!has_ended(old), "it waits for the tunnel");
    drop(tunnel);
    eventually("the first one has ended", async || has_ended(old).then_some(())).await;
    stop.cancel();
    let mut answered = 0;
    while let Some(asked) = tasks.join_next().await {
        answered += asked.unwrap().unwrap();
    }
    assert_eq!(proxy.server.requests() - before, answered, "each that a server saw was answered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listeners_come_move_and_go_and_the_others_do_not_notice() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("listeners");
    fs::write(&file, "http=127.0.0.1:0\n").unwrap();
    let proxy = Proxy::listening(&format!("--listen-file={}", file.display()), &["--workers=2"]).await;
    let load = Load::start(proxy.address, 4);
    let (first, second) = (free_address(), free_address());
    for (more, there, gone) in [
        (format!("extra={first}  # one more\n"), Some(first), None),
        (format!("extra={second}\n"), Some(second), Some(first)),
        (String::new(), None, Some(second)),
    ] {
        fs::write(&file, format!("http={}\n{more}", proxy.address)).unwrap();
        proxy.upgrade().await;
        if let Some(address) = there {
            assert_eq!(get(address, "/").await.unwrap().status, 200, "{more}");
        }
        if let Some(address) = gone {
            assert!(get(address, "/").await.is_err(), "{address} after {more:?}");
        }
    }
    assert_eq!(load.stop().await.failures, Vec::<String>::new());
}

#[tokio::test]
async fn a_new_program_that_fails_changes_nothing_and_the_next_one_may_do_better() {
    let proxy = Proxy::start(&[]).await;
    let (old, good) = (proxy.pid().unwrap(), fs::read_link(proxy.link()).unwrap());
    let broken = proxy.folder.path().join("broken");
    fs::write(&broken, "#!/bin/sh\nexit 7\n").unwrap();
    fs::set_permissions(&broken, fs::Permissions::from_mode(0o755)).unwrap();
    for (bad, said) in
        [(broken.as_path(), "no new process has taken over"), (Path::new("/nowhere"), "cannot be started")]
    {
        point(&proxy.link(), bad);
        proxy.program.signal("USR2");
        proxy.program.line(said).await;
        assert_eq!((proxy.pid(), get(proxy.address, "/").await.unwrap().status), (Some(old), 200));
    }
    point(&proxy.link(), &good);
    proxy.upgrade().await;
    assert_eq!(get(proxy.address, "/").await.unwrap().status, 200);
}

#[tokio::test]
async fn the_pid_file_goes_with_the_process() {
    let mut proxy = Proxy::start(&["--drain-delay=0s"]).await;
    assert_eq!(proxy.pid(), Some(proxy.program.id()));
    proxy.program.signal("TERM");
    assert_eq!(proxy.program.exit_code().await, 0);
    assert_eq!(proxy.pid(), None);
}

#[tokio::test]
async fn sockets_of_systemd_are_taken_by_name() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let server = Backend::start("web-1").await;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("web.yaml"), web("", &[server.address()])).unwrap();
    let control = Replica::start(folder.path(), "127.0.0.1:0", &[]).await;
    // As systemd does it: the socket is the first after standard error, and the variables are about this process.
    let as_systemd = "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_FDNAMES=http LISTEN_PID=$$ exec \"$0\" \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", as_systemd]).arg(program::program("weir-data-plane"));
    command.args(["--listen=http=127.0.0.1:1", "--admin=127.0.0.1:0", "--workers=3", "--drain-delay=0s"]);
    command.arg(format!("--control-plane=http://{}", control.grpc()));
    command.stdin(Stdio::from(OwnedFd::from(socket)));
    let mut program = Program::spawn(command);
    eventually("it serves", async || (get(address, "/").await.ok()?.status == 200).then_some(())).await;
    program.signal("TERM");
    assert_eq!(program.exit_code().await, 0, "{}", program.output());
}

#[tokio::test]
async fn weir_run_says_that_it_cannot() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--listen=http=127.0.0.1:0", "--admin=127.0.0.1:0", "--grpc=127.0.0.1:0", "--api=127.0.0.1:0"];
    let mut program = Program::start("weir", &[&["run", folder.path().to_str().unwrap()], &flags[..]].concat());
    program.line("listener http at").await;
    program.signal("USR2");
    program.line("SIGUSR2 changes nothing here").await;
    program.signal("TERM");
    assert_eq!(program.exit_code().await, 0, "{}", program.output());
}
