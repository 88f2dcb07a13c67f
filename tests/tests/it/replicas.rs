//! Several control planes: proxies spread over them, and move when one is gone.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::Instant;
use weir_tests::cluster::ControlPlane;
use weir_tests::manifest::web;
use weir_tests::port::free_address;
use weir_tests::{Backend, DataPlane, Dns, Load, Relay, Replica, eventually, get};

fn urls(addresses: &[SocketAddr]) -> Vec<String> {
    addresses.iter().map(|address| format!("http://{address}")).collect()
}

fn proxy(addresses: &[SocketAddr]) -> weir_tests::cluster::DataPlaneBuilder {
    DataPlane::builder(addresses[0]).control_planes(&urls(addresses))
}

fn manifests(backend: &Backend) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("web.yaml"), web("", &[backend.address()])).unwrap();
    folder
}

async fn replica(folder: &Path) -> Replica {
    Replica::start(folder, "127.0.0.1:0", &[]).await
}

/// On a machine that does other things too, one try may be late; if Weir were, all would be.
const TRIES: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s2_a_proxy_is_at_another_replica_within_a_second_after_kill_9() {
    let mut took = Vec::new();
    while took.iter().all(|took| *took >= Duration::from_secs(1)) {
        assert!(took.len() < TRIES, "{took:?}");
        took.push(replica_is_killed().await);
    }
}

/// No request fails, nothing is sent again; gives how long the proxy had no replica.
async fn replica_is_killed() -> Duration {
    let server = Backend::start("web-1").await;
    let folder = manifests(&server);
    let (mut this, mut other) = (replica(folder.path()).await, replica(folder.path()).await);
    let proxy = proxy(&[this.grpc(), other.grpc()]).start().await;
    eventually("one of them has the proxy", async || {
        let [a, b] = [this.metric("weir_proxies_connected").await, other.metric("weir_proxies_connected").await];
        (a + b == 1.0).then_some(())
    })
    .await;
    if other.metric("weir_proxies_connected").await == 1.0 {
        std::mem::swap(&mut this, &mut other);
    }
    let load = Load::start(proxy.address(), 2);
    let served = server.requests();
    eventually("requests flow", async || (server.requests() > served + 100).then_some(())).await;

    let killed = Instant::now();
    this.kill().await;
    other.has_proxies(1.0).await;
    let took = killed.elapsed();
    assert_eq!(load.stop().await.failures, Vec::<String>::new());
    assert_eq!(other.metric("weir_sent_resources_total").await, 0.0, "it holds everything already");
    proxy.stop().await;
    took
}

/// What a replica says of the proxies and of a Pool: how many it knows, how many it serves, and `Programmed`.
async fn told(replica: &Replica) -> (usize, f64, String) {
    let json = async |path| -> serde_json::Value {
        serde_json::from_str(&get(replica.admin(), path).await.unwrap().text()).unwrap()
    };
    let known = json("/api/v1/proxies").await["proxies"].as_array().unwrap().len();
    let resources = json("/api/v1/resources").await;
    let is_pool = |resource: &&serde_json::Value| resource["kind"] == "Pool";
    // It may not be there yet.
    let pool = resources["resources"].as_array().unwrap().iter().find(is_pool);
    let message = pool.and_then(|pool| pool["conditions"][2]["message"].as_str()).unwrap_or_default();
    (known, replica.metric("weir_proxies_connected").await, message.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t2_every_replica_knows_all_proxies_whichever_serves_them() {
    let server = Backend::start("web-1").await;
    let folder = manifests(&server);
    let (one, other) = (replica(folder.path()).await, replica(folder.path()).await);
    let addresses = [one.grpc(), other.grpc()];
    let (first, second) = (proxy(&addresses).start().await, proxy(&addresses).start().await);
    let both = async || {
        let (one, other) = (told(&one).await, told(&other).await);
        let all = [&one, &other].iter().all(|(known, _, message)| *known == 2 && message == "on 2 of 2 proxies");
        (all && one.1 + other.1 == 2.0).then_some(())
    };
    eventually("both replicas know both proxies", both).await;
    fs::write(folder.path().join("web.yaml"), web("weight: 7", &[server.address()])).unwrap();
    eventually("both know that both have the change", both).await;
    second.stop().await;
    eventually("both know that one has left", async || {
        let message = "on 1 of 1 proxies";
        (told(&one).await.2 == message && told(&other).await.2 == message).then_some(())
    })
    .await;
    other.kill().await;
    one.has_proxies(1.0).await;
    assert_eq!(told(&one).await.0, 1, "it is known once");
    first.stop().await;
}

#[tokio::test]
async fn s2_a_control_plane_that_falls_silent_is_left_within_its_pings() {
    let server = Backend::start("web-1").await;
    let folder = manifests(&server);
    let silent = replica(folder.path()).await;
    let relay = Relay::start(silent.grpc()).await;
    let later = free_address();
    let proxy = proxy(&[relay.address(), later]).start().await;
    let other = Replica::start(folder.path(), &later.to_string(), &[]).await;
    let fell = Instant::now();
    relay.fall_silent();
    other.has_proxies(1.0).await;
    let took = fell.elapsed();
    println!("left after {took:?}");
    // A ping after two seconds, two more for its answer, and one to move.
    assert!(took < Duration::from_secs(5), "{took:?}");
    proxy.stop().await;
}

#[tokio::test]
async fn s2_one_that_accepts_and_says_nothing_keeps_nobody_from_the_others() {
    let server = Backend::start("web-1").await;
    let folder = manifests(&server);
    let control = ControlPlane::start(folder.path(), "127.0.0.1:0", None).await;
    let relay = Relay::start(control.grpc()).await;
    relay.fall_silent();
    // Whichever of the two comes first by chance, each becomes ready.
    for _ in 0..4 {
        proxy(&[relay.address(), control.grpc()]).start().await.stop().await;
    }
    control.stop().await;
}

#[tokio::test]
async fn proxies_spread_over_the_addresses_of_a_name() {
    let server = Backend::start("web-1").await;
    let folder = manifests(&server);
    let dns = Dns::start().await;
    let first = Replica::start(folder.path(), "127.0.0.1:0", &[]).await;
    let port = first.grpc().port();
    let second = Replica::start(folder.path(), &format!("127.0.0.2:{port}"), &[]).await;
    dns.set("control.test", &[first.grpc().ip(), second.grpc().ip()]);
    let mut proxies = Vec::new();
    let mut used = BTreeSet::new();
    // 16 proxies at one of two would be a chance of 1 in 32,768.
    for _ in 0..16 {
        let builder = DataPlane::builder(first.grpc()).dns(dns.address());
        proxies.push(builder.control_planes(&[format!("http://control.test:{port}")]).workers(1).start().await);
        for replica in [&first, &second] {
            if replica.metric("weir_proxies_connected").await > 0.0 {
                used.insert(replica.grpc());
            }
        }
        if used.len() == 2 {
            return;
        }
    }
    panic!("all proxies went to {used:?}");
}

#[tokio::test]
async fn s2_a_name_that_dns_forgot_still_leads_to_where_it_did() {
    let server = Backend::start("web-1").await;
    let folder = manifests(&server);
    let dns = Dns::start().await;
    let control = Replica::start(folder.path(), "127.0.0.1:0", &[]).await;
    let grpc = control.grpc();
    dns.set("control.test", &[grpc.ip()]);
    let url = format!("http://control.test:{}", grpc.port());
    let proxy = DataPlane::builder(grpc).dns(dns.address()).control_planes(&[url]).start().await;
    dns.set_broken(true);
    control.kill().await;
    let control = Replica::start(folder.path(), &grpc.to_string(), &[]).await;
    control.has_proxies(1.0).await;
    assert_eq!(get(proxy.address(), "/").await.unwrap().text(), "web-1");
}
