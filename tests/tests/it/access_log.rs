//! The access log: what a line looks like, which requests have one, and files that are moved away.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use http::Request;
use tempfile::TempDir;
use weir_tests::client::full;
use weir_tests::manifest::{backend, pool, web};
use weir_tests::port::free_address;
use weir_tests::program::{Program, run};
use weir_tests::{Backend, Load, Replica, Reply, Weir, eventually, get, send};

/// The lines of a file, once there are so many.
async fn lines(file: &Path, count: usize) -> Vec<String> {
    eventually(&format!("{count} lines"), async || {
        let text = fs::read_to_string(file).unwrap_or_default();
        (text.lines().count() >= count && text.ends_with('\n')).then(|| text.lines().map(ToOwned::to_owned).collect())
    })
    .await
}

#[tokio::test]
async fn a_template_says_what_a_line_looks_like_and_no_client_ends_it() {
    let (folder, server) = (TempDir::new().unwrap(), Backend::start("web-1").await);
    let log = folder.path().join("access.log");
    let format = r#"{client.ip} "{method} {path} {protocol}" {status} {bytes} {pool} {backend} {reason} {request.header.x-a} "{userAgent}""#;
    let text = web("match: [{path: {type: Prefix, value: /a}}]", &[server.address()]);
    let weir = Weir::builder().access_log_with(&log, format, "sample=100%").file("web.yaml", &text).start().await;
    let agent = b"x\" 200 \xe2\x80\xa8\\".as_slice();
    let request = Request::get("/a?b").header("user-agent", agent).header("x-a", "1 2").body(full("")).unwrap();
    assert_eq!(send(weir.address(), request).await.unwrap().status, 200);
    weir.get("/none").await;
    let expected = [
        r#"127.0.0.1 "GET /a?b HTTP/1.1" 200 5 test/web web-1 - 1\x202 "x\x22 200 \xE2\x80\xA8\x5C""#,
        r#"127.0.0.1 "GET /none HTTP/1.1" 404 29 - - no_route - "-""#,
    ];
    assert_eq!(lines(&log, 2).await, expected);
}

#[tokio::test]
async fn the_filter_keeps_errors_and_the_share_that_it_names() {
    let (folder, [good, failing]) = (TempDir::new().unwrap(), Backend::start_many("web").await);
    failing.set(Reply::status(500));
    let log = folder.path().join("access.log");
    let text = web("match: [{path: {type: Prefix, value: /good}}]", &[good.address()])
        + &pool("failing", "match: [{path: {type: Prefix, value: /failing}}]")
        + &backend("failing-1", "failing", failing.address(), "");
    let builder = || Weir::builder().file("web.yaml", &text);
    let weir = builder().access_log_with(&log, "{path} {status} {reason}", "errors").start().await;
    let mut client = weir.client().await;
    for path in ["/good", "/failing", "/good", "/none", "/good"] {
        client.get(path).await.unwrap();
    }
    weir.stop().await;
    assert_eq!(lines(&log, 2).await, ["/failing 500 -", "/none 404 no_route"]);

    let log = folder.path().join("sample.log");
    let weir = builder().access_log_with(&log, "{path}", "slow>1h,sample=20%").start().await;
    let mut client = weir.client().await;
    for _ in 0..500 {
        client.get("/good").await.unwrap();
    }
    client.get("/none").await.unwrap();
    weir.stop().await;
    let kept = lines(&log, 1).await;
    assert!(kept.len().abs_diff(100) < 50 && kept.last().unwrap() == "/none", "{} of 500", kept.len());
}

#[tokio::test]
async fn connections_of_tcp_are_filtered_and_written_by_the_same_template() {
    let (folder, server) = (TempDir::new().unwrap(), Backend::start("a").await);
    let log = folder.path().join("access.log");
    let text = |address| pool("db", "protocol: TCP") + &backend("a", "db", address, "");
    let format = "{protocol} {listener} {method} {pool} {backend} {reason} {request.header.host}";
    let builder = Weir::builder().tcp().access_log_with(&log, format, "errors");
    let weir = builder.file("db.yaml", &text(server.address())).start().await;
    assert_eq!(get(weir.tcp_address(), "/").await.unwrap().status, 200);
    weir.write("db.yaml", &text(free_address())).await;
    assert!(get(weir.tcp_address(), "/").await.is_err());
    assert_eq!(lines(&log, 1).await, ["TCP tcp - test/db - connect_failure -"]);
}

/// Moves the file away again and again under load, as logrotate does, and counts what is in all of them.
async fn rotate_under_load(program: &Program, address: SocketAddr, log: &Path) {
    eventually("it serves", async || (get(address, "/").await.ok()?.status == 200).then_some(())).await;
    // What was asked until then is in the log, too, or was refused by a connection that nobody took.
    let load = Load::start(address, 4);
    let moved: Vec<_> = (1..=5).map(|number| log.with_extension(format!("log.{number}"))).collect();
    for to in &moved {
        let size = || fs::metadata(log).map_or(0, |file| file.len());
        eventually("the file grows", async || (size() > 10_000).then_some(())).await;
        fs::rename(log, to).unwrap();
        program.signal("HUP");
        eventually("there is a new file", async || log.exists().then_some(())).await;
    }
    let tally = load.stop().await;
    assert_eq!(tally.failures, Vec::<String>::new());
    let read = || {
        let files = moved.iter().map(std::path::PathBuf::as_path).chain([log]);
        files.map(|file| fs::read_to_string(file).unwrap()).collect::<String>()
    };
    let loads = |text: &str| text.lines().filter(|line| *line == "/load 200").count() as u64;
    eventually("every request is a line of one of the files", async || {
        (loads(&read()) >= tally.answered).then_some(())
    })
    .await;
    let mut kinds = BTreeMap::<String, u64>::new();
    read().lines().for_each(|line| *kinds.entry(line.to_owned()).or_default() += 1);
    assert_eq!(kinds.remove("/load 200"), Some(tally.answered));
    assert!(kinds.keys().all(|line| line.starts_with("/ ")), "a line was torn: {kinds:?}");
}

const FORMAT: [&str; 2] = ["--access-log-format", "{path} {status}"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_line_is_lost_while_the_file_of_weir_run_is_moved_away_under_load() {
    let (folder, server) = (TempDir::new().unwrap(), Backend::start("web-1").await);
    fs::write(folder.path().join("web.yaml"), web("", &[server.address()])).unwrap();
    let log = folder.path().join("access.log");
    let (manifests, file) = (folder.path().to_str().unwrap(), log.to_str().unwrap());
    let ports = ["--listen=http=127.0.0.1:0", "--admin=127.0.0.1:0", "--grpc=127.0.0.1:0", "--api=127.0.0.1:0"];
    let arguments = [&["run", manifests, "--access-log", file][..], &FORMAT, &ports].concat();
    let program = Program::start("weir", &arguments);
    let line = program.line("listener http at http://").await;
    rotate_under_load(&program, line.rsplit_once('/').unwrap().1.parse().unwrap(), &log).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_line_is_lost_while_the_file_of_the_data_plane_is_moved_away_under_load() {
    let (folder, server) = (TempDir::new().unwrap(), Backend::start("web-1").await);
    let manifests = folder.path().join("manifests");
    fs::create_dir(&manifests).unwrap();
    fs::write(manifests.join("web.yaml"), web("", &[server.address()])).unwrap();
    let control = Replica::start(&manifests, "127.0.0.1:0", &[]).await;
    let (log, address) = (folder.path().join("access.log"), free_address());
    let (plane, listen) = (format!("http://{}", control.grpc()), format!("http={address}"));
    let file = log.to_str().unwrap();
    let flags = ["--control-plane", &plane, "--listen", &listen, "--admin", "127.0.0.1:0", "--access-log", file];
    let program = Program::start("weir-data-plane", &[&flags[..], &FORMAT].concat());
    rotate_under_load(&program, address, &log).await;
}

#[test]
fn wrong_formats_and_filters_are_wrong_usage() {
    for (flag, value, hint) in [
        ("--access-log-format", "{bites}", "did you mean \"bytes\"?"),
        ("--access-log-filter", "slow>fast", "no duration"),
        ("--trace-sample", "2", "no share"),
        ("--trace-endpoint", "localhost", "http://127.0.0.1:4317"),
    ] {
        for start in [&["weir", "run", "folder"][..], &["weir-data-plane", "--control-plane", "http://127.0.0.1:1"]] {
            let output = run(start[0], &[&start[1..], &["--access-log", "stdout", flag, value]].concat());
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.code() == Some(2) && text.contains(hint) && text.contains(flag), "{text}");
        }
    }
}
