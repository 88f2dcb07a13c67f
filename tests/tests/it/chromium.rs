//! A browser that loads a page through a proxy.

use std::process::Stdio;

use tokio::process::Command;
use weir_tests::edge::{Edge, Site};
use weir_tests::manifest::repository;
use weir_tests::websocket::WebSocketServer;
use weir_tests::{Backend, Behaviour, Reply, within};

/// As root it has no sandbox; what it would load by itself cannot be loaded here.
const FLAGS: [&str; 12] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    // The authority is the test's own.
    "--ignore-certificate-errors",
    // Time passes as fast as there is nothing to wait for; requests are waited for.
    "--virtual-time-budget=60000",
    "--dump-dom",
];

/// The document after its scripts.
async fn document(edge: &Edge, path: &str) -> String {
    let profile = format!("--user-data-dir={}", edge.file("profile").display());
    let mut command = Command::new("chromium");
    command.args(FLAGS).arg(profile).arg(edge.https(path)).stdin(Stdio::null()).kill_on_drop(true);
    let output = within("chromium", command.output()).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_its_fetches_and_its_websocket_come_over_http2() {
    let (page, data, socket) =
        (Backend::start("page").await, Backend::start("data").await, WebSocketServer::start().await);
    let text = std::fs::read_to_string(repository().join("tests/testdata/page.html")).unwrap();
    page.set(Reply::text(&text).header("content-type", "text/html; charset=utf-8"));
    data.set(Behaviour::Echo);
    let sites = [
        Site::new("/page", page.address()),
        Site::new("/data", data.address()),
        Site::new("/socket", socket.address()),
    ];
    let edge = Edge::start(&sites).await;
    let document = document(&edge, "/page").await;
    for said in [
        r#"data-loaded-by="h2""#,
        r#"data-fetched-by="h2""#,
        r#"data-bodies="20""#,
        r#"data-socket="2 weir, hello, 4001, done, true""#,
    ] {
        assert!(document.contains(said), "no {said} in {document}");
    }
    assert_eq!((socket.closed(), socket.broken()), (1, 0));
}
