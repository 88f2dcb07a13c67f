//! Under load: changes of a Plugin, and calls that fail.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::json;
use tokio_util::sync::CancellationToken;
use weir_proto::pb::Plugin;
use weir_tests::scripted::plugin;
use weir_tests::{Client, Stand};

use super::kind::Kind;

const CHANGES: u64 = 100;
const CLIENTS: usize = 2;
/// Every 50th request fails.
const GOOD: u64 = 49;

/// What one client got.
#[derive(Debug, Default)]
struct Got {
    good: u64,
    failed: u64,
}

/// Requests of which every 50th fails, as long as there are changes.
async fn client(address: SocketAddr, bad: Option<&'static str>, stop: CancellationToken) -> Got {
    let mut client = Client::connect(address).await.unwrap();
    let mut got = Got::default();
    while !stop.is_cancelled() || got.good == 0 {
        for _ in 0..GOOD {
            let answer = client.get("/x").await.unwrap();
            assert_eq!(answer.status, 200);
            assert_eq!(
                answer.headers.get_all("x-calls").iter().count(),
                1,
                "one version of the plugin, and the whole of it"
            );
            got.good += 1;
        }
        if let Some(path) = bad {
            assert_eq!(client.get(path).await.unwrap().status, 500);
            got.failed += 1;
        }
    }
    got
}

/// The Plugin of this number: no two are equal.
fn version(kind: Kind, number: u64) -> Plugin {
    let timeout_ms = 1_000 + number;
    match kind {
        Kind::BuiltIn => Plugin { timeout_ms, ..weir_tests::stand::built_in("ResponseHeaders") },
        written => Plugin { timeout_ms, ..written.written("hooks") },
    }
}

async fn only_its_own_requests_fail(kind: Kind) {
    let param = json!({"set": {"x-calls": "1"}}).to_string();
    let mut stand = Stand::start(version(kind, 0), if kind == Kind::BuiltIn { &param } else { "" }).await;
    // Nothing that a client sends makes a built-in plugin fail that only sets headers.
    let bad = (kind != Kind::BuiltIn).then_some("/trap");
    let stop = CancellationToken::new();
    let address = stand.proxy.address();
    let clients: Vec<_> = (0..CLIENTS).map(|_| tokio::spawn(client(address, bad, stop.clone()))).collect();
    for number in 1..=CHANGES {
        assert_eq!(stand.session.deliver(vec![plugin("code", version(kind, number))]).await, []);
    }
    stop.cancel();
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for client in clients {
        let Got { good, failed } = client.await.unwrap();
        *sums.entry("good").or_default() += good;
        *sums.entry("failed").or_default() += failed;
    }
    let (good, failed) = (sums["good"], sums["failed"]);
    assert_eq!(stand.served(), good, "{kind:?}");
    assert_eq!(stand.sum("weir_plugin_failures_total", &[]).await, failed as f64, "{kind:?}");
    assert_eq!(failed, if bad.is_some() { good / GOOD } else { 0 }, "{kind:?}");
    assert_eq!(stand.calls("code", "pre").await, (good + failed) as f64, "{kind:?}: not one went without the plugin");
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_under_load_and_100_changes_only_the_requests_that_trap_see_it() {
    for kind in Kind::ALL {
        only_its_own_requests_fail(kind).await;
    }
}
