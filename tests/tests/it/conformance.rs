//! Suites that others have written to tell whether a server speaks a protocol.

use std::process::Command;

use weir_tests::authority::{Authority, YEAR};
use weir_tests::manifest::{backend, pool, repository};
use weir_tests::{Backend, Weir};

use super::tls::pair_secret;

/// The server's answers are of 2,000 bytes, as some cases need windows smaller than an answer.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "fetches h2spec with go"]
async fn h2spec_passes_whole() {
    let (authority, server) = (Authority::new(), Backend::start(&"x".repeat(2000)).await);
    let pair = authority.site(&["localhost"], YEAR);
    let text = pool("web", "match: [{path: {type: Prefix, value: /}}], tls: {secretName: web-tls, default: true}")
        + &backend("web-1", "web", server.address(), "")
        + &pair_secret("web-tls", &pair);
    let weir = Weir::builder().https().file("web.yaml", &text).start().await;
    let address = weir.https_address();
    let report = tokio::task::spawn_blocking(move || {
        let mut h2spec = Command::new("go");
        h2spec.arg("-C").arg(repository().join("tests/h2spec")).args(["tool", "h2spec", "--tls", "--insecure"]);
        h2spec.args(["--host", &address.ip().to_string(), "--port", &address.port().to_string(), "--timeout", "10"]);
        h2spec.output().unwrap()
    });
    let output = report.await.unwrap();
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{report}{}", String::from_utf8_lossy(&output.stderr));
    let total = report.lines().last().unwrap_or_default();
    assert!(total.ends_with("0 skipped, 0 failed") && !total.starts_with("0 tests"), "{total}");
}
