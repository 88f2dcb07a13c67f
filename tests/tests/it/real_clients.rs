//! The programs that people use, against a proxy with its defaults.

use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use weir_tests::edge::{Edge, Site};
use weir_tests::{Backend, Behaviour, Reply, within};

const LARGE: usize = 10 << 20;
/// Time for a run of testssl.sh on a loaded machine.
const TESTSSL: Duration = Duration::from_secs(300);

async fn edge() -> (Edge, Backend) {
    let server = Backend::start("plain").await;
    (Edge::start(&[Site::new("/", server.address())]).await, server)
}

/// Runs a program to its end.
async fn run(program: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    within(program, command.output()).await.unwrap()
}

/// What it said, to whichever stream.
fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

/// Requests of curl, which believes the proxy's authority; gives what is written to standard output.
async fn curl(edge: &Edge, arguments: &[&str]) -> String {
    let ca = edge.ca();
    let output = run("curl", &[&["--silent", "--show-error", "--cacert", &ca][..], arguments].concat()).await;
    assert!(output.status.success(), "curl {arguments:?}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn curl_speaks_each_version() {
    let (edge, _server) = edge().await;
    let (http, https) = (edge.http("/"), edge.https("/"));
    let cases: [(&[&str], &str); 7] = [
        (&[&http], "1.1"),
        (&["--http1.0", &http], "1"),
        // The upgrade to h2c is not granted.
        (&["--http2", &http], "1.1"),
        (&["--http2-prior-knowledge", &http], "2"),
        (&["--http1.1", &https], "1.1"),
        (&["--http2", &https], "2"),
        (&["--http2", "--tls-max", "1.2", &https], "2"),
    ];
    for (arguments, version) in cases {
        let told = curl(&edge, &[&["--write-out", " %{http_version} %{http_code}"], arguments].concat()).await;
        assert_eq!(told, format!("plain {version} 200"), "{arguments:?}");
    }
}

#[tokio::test]
async fn curl_sends_ten_mebibytes_and_over_http1_once_it_is_told_to_go_on() {
    let (edge, server) = edge().await;
    server.set(Behaviour::Echo);
    let (file, body) = (edge.file("large"), "0123456789abcdef".repeat(LARGE / 16));
    std::fs::write(&file, &body).unwrap();
    let (data, trace) = (format!("@{}", file.display()), edge.file("trace"));
    let told = ["--http1.1", "--header", "expect: 100-continue", "--expect100-timeout", "60"];
    let cases: [(&[&str], String); 4] = [
        (&told, edge.http("/")),
        (&told, edge.https("/")),
        (&["--http2-prior-knowledge"], edge.http("/")),
        (&["--http2"], edge.https("/")),
    ];
    for (flags, url) in cases {
        let trace = trace.display().to_string();
        let arguments = ["--trace-ascii", &trace, "--data-binary", &data, &url];
        let answer = curl(&edge, &[flags, &arguments].concat()).await;
        let echo: serde_json::Value = serde_json::from_str(&answer).unwrap();
        assert!(echo["body"] == body.as_str(), "{flags:?} {url}: not what was sent");
        let was_told = std::fs::read_to_string(trace).unwrap().contains("HTTP/1.1 100 Continue");
        assert_eq!(was_told, flags.contains(&"--http1.1"), "{flags:?} {url}");
    }
}

#[tokio::test]
async fn curl_sees_one_connection_for_many_requests() {
    let (edge, _server) = edge().await;
    for flag in ["--http1.1", "--http2"] {
        let url = edge.https("/[1-20]");
        let told = curl(&edge, &[flag, "--write-out", " %{num_connects}\n", &url]).await;
        let connects: Vec<&str> = told.lines().collect();
        assert_eq!(connects[0], "plain 1", "{flag}");
        assert_eq!(connects[1..], ["plain 0"; 19], "{flag}");
    }
}

/// `openssl s_client`, which believes the proxy's authority; says this, and ends when the connection does, or at the end of
/// what it says.
async fn s_client(edge: &Edge, arguments: &[&str], says: &str, stays: bool) -> Output {
    let (address, ca) = (edge.weir.https_address().to_string(), edge.ca());
    let base = ["s_client", "-connect", &address, "-servername", "localhost", "-CAfile", &ca, "-verify_return_error"];
    let mut command = Command::new("openssl");
    command.args(base).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    // It may have gone before it is told anything.
    let _ = input.write_all(says.as_bytes()).await;
    let kept = stays.then_some(input);
    let output = within("openssl", child.wait_with_output()).await.unwrap();
    drop(kept);
    output
}

#[tokio::test]
async fn openssl_agrees_on_a_protocol_or_is_told_that_there_is_none() {
    let (edge, _server) = edge().await;
    for (offer, agreed) in [("h2,http/1.1", "h2"), ("http/1.1", "http/1.1")] {
        let output = s_client(&edge, &["-alpn", offer], "", false).await;
        let text = said(&output);
        assert!(output.status.success() && text.contains("Verify return code: 0 (ok)"), "{text}");
        assert!(text.contains(&format!("ALPN protocol: {agreed}")), "{text}");
    }
    let output = s_client(&edge, &["-alpn", "spdy/3"], "", false).await;
    assert!(!output.status.success() && said(&output).contains("no application protocol"), "{}", said(&output));
}

#[tokio::test]
async fn openssl_is_not_served_in_old_versions_nor_with_old_ciphers() {
    let (edge, _server) = edge().await;
    for old in [&["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"][..], &["-tls1", "-cipher", "DEFAULT@SECLEVEL=0"]] {
        let output = s_client(&edge, old, "", false).await;
        assert!(!output.status.success() && said(&output).contains("alert handshake failure"), "{}", said(&output));
    }
    let output = s_client(&edge, &["-tls1_2", "-cipher", "AES128-SHA"], "", false).await;
    assert!(!output.status.success() && said(&output).contains("alert handshake failure"), "{}", said(&output));
}

#[tokio::test]
async fn openssl_resumes_a_session() {
    let (edge, _server) = edge().await;
    let session = edge.file("session").display().to_string();
    let ask = "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    for version in ["-tls1_2", "-tls1_3"] {
        let first = s_client(&edge, &[version, "-ign_eof", "-sess_out", &session], ask, false).await;
        assert!(said(&first).contains("New, TLSv1"), "{version}: {}", said(&first));
        let second = s_client(&edge, &[version, "-ign_eof", "-sess_in", &session], ask, false).await;
        let text = said(&second);
        assert!(text.contains("Reused, TLSv1") && text.contains("200 OK"), "{version}: {text}");
    }
}

#[tokio::test]
async fn openssl_is_refused_a_renegotiation() {
    let (edge, _server) = edge().await;
    let output = s_client(&edge, &["-tls1_2"], "R\n", true).await;
    let text = said(&output);
    assert!(text.contains("RENEGOTIATING") && text.contains("no renegotiation"), "{text}");
    assert!(!output.status.success(), "{text}");
    assert_eq!(curl(&edge, &[&edge.https("/")]).await, "plain");
}

#[tokio::test]
async fn nghttp_sends_continuations_trailers_and_bodies() {
    let (edge, server) = edge().await;
    server.set(Behaviour::Echo);
    let (data, value) = (edge.file("data"), "y".repeat(20_000));
    std::fs::write(&data, "hello").unwrap();
    let (data, header) = (data.display().to_string(), format!("x-long: {value}"));
    for url in [edge.http("/a"), edge.https("/a")] {
        let arguments = ["--header", &header, "--continuation", "--trailer", "x-sum: 42", "--no-content-length"];
        let output = run("nghttp", &[&arguments[..], &["--data", &data, &url]].concat()).await;
        assert!(output.status.success(), "{}", said(&output));
        let echo: serde_json::Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", said(&output)));
        assert_eq!((&echo["body"], &echo["trailers"]), (&"hello".into(), &serde_json::json!([["x-sum", "42"]])));
        assert!(echo["headers"].as_array().unwrap().contains(&serde_json::json!(["x-long", value])));
    }
}

#[tokio::test]
async fn nghttp_gets_many_answers_on_one_connection() {
    let (edge, server) = edge().await;
    server.set(Reply::text(&"x".repeat(100_000)));
    let output = run("nghttp", &["--null-out", "--stat", "--multiply=50", &edge.https("/")]).await;
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    // The table has a line for each: its number, when it ended and began, how long it took, the status, its size.
    let answered = text.lines().filter(|line| line.split_whitespace().nth(4) == Some("200")).count();
    assert_eq!(answered, 50, "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn h2load_fails_no_request() {
    let (edge, server) = edge().await;
    for (number, url) in [edge.http("/"), edge.https("/")].into_iter().enumerate() {
        let output = run("h2load", &["--requests=2000", "--clients=10", "--max-concurrent-streams=50", &url]).await;
        let text = said(&output);
        assert!(text.contains(" 2000 succeeded, 0 failed, 0 errored, 0 timeout"), "{text}");
        assert!(text.contains("status codes: 2000 2xx, 0 3xx, 0 4xx, 0 5xx"), "{text}");
        assert_eq!(server.requests(), 2000 * (number as u64 + 1));
    }
}

/// Not `WARN`: that says which check could not be made.
const ABOVE_LOW: [&str; 4] = ["MEDIUM", "HIGH", "CRITICAL", "FATAL"];
/// What testssl.sh finds that is not about the proxy.
const OF_OTHERS: [&str; 5] = [
    // The authority is the test's own, which only the test believes, and which publishes no revocations.
    "cert_chain_of_trust",
    "cert_revocation",
    "cert_validityPeriod",
    // What a site's answers say to browsers is the site's.
    "HSTS",
    "security_headers",
];

#[tokio::test(flavor = "multi_thread")]
async fn testssl_finds_nothing_above_low() {
    let (edge, _server) = edge().await;
    let (file, address) = (edge.file("findings.json"), format!("localhost:{}", edge.weir.https_address().port()));
    let arguments = ["--quiet", "--color", "0", "--warnings", "off", "--ip", "127.0.0.1", "--jsonfile"];
    let mut command = Command::new("testssl");
    command.args(arguments).arg(&file).arg(&address).stdin(Stdio::null()).kill_on_drop(true);
    // It takes more than a minute; what it exits with is the number of its findings, however small.
    let output = tokio::time::timeout(TESTSSL, command.output()).await.expect("testssl ends").unwrap();
    let findings = std::fs::read_to_string(file).unwrap_or_else(|e| panic!("{e}: {}", said(&output)));
    let findings: Vec<serde_json::Value> = serde_json::from_str(&findings).unwrap();
    let of = |finding: &serde_json::Value, field: &str| finding[field].as_str().unwrap().to_owned();
    assert!(findings.iter().any(|finding| of(finding, "id") == "TLS1_3" && of(finding, "severity") == "OK"));
    let bad = |finding: &&serde_json::Value| {
        ABOVE_LOW.contains(&of(finding, "severity").as_str()) && !OF_OTHERS.contains(&of(finding, "id").as_str())
    };
    assert_eq!(findings.iter().filter(bad).collect::<Vec<_>>(), Vec::<&serde_json::Value>::new());
}
