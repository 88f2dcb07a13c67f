//! From a file to a proxy and back.

use super::proxy::{Got, Proxy};
use super::world::{Folder, World, backend, pool};

fn condition<'a>(shown: &'a serde_json::Value, name: &str, kind: &str) -> &'a serde_json::Value {
    let resource = shown["resources"].as_array().unwrap().iter().find(|r| r["name"] == name).unwrap();
    resource["conditions"].as_array().unwrap().iter().find(|c| c["type"] == kind).unwrap()
}

#[tokio::test]
async fn s4_acks_and_nacks_reach_the_status_of_the_resource() {
    let folder = Folder::new(&[("a.yaml", &(pool("a", 1) + &backend("x", "a", 1)))]);
    let world = World::start(&folder).await;
    let page = "/api/v1/resources";
    let shown = world.json(page).await;
    assert_eq!(condition(&shown, "a", "Programmed")["reason"], "NoProxies");
    let mut good = Proxy::subscribe(world.grpc, "good").await;
    let mut other = Proxy::subscribe(world.grpc, "other").await;
    good.accept().await;
    let first = other.delta().await;
    world.shows(page, |s| condition(s, "a", "Programmed")["message"] == "on 1 of 2 proxies").await;
    other.ack(first.nonce).await;
    world.shows(page, |s| condition(s, "a", "Programmed")["status"] == "True").await;
    let key = other.held.keys().next().unwrap().clone();
    folder.write("a.yaml", &(pool("a", 2) + &backend("x", "a", 1)));
    good.accept().await;
    let second = other.delta().await;
    other.nack(second.nonce, &key, None).await;
    let shown = world.shows(page, |s| condition(s, "a", "Programmed")["reason"] == "Rejected").await;
    let message = condition(&shown, "a", "Programmed")["message"].as_str().unwrap();
    assert_eq!(message, "on 1 of 2 proxies; refused by other: spec.weight: too odd");
    assert_eq!(condition(&shown, "x", "Programmed")["status"], "True");
    while !format!("{:?}", world.told.0.lock()).contains("too odd") {
        tokio::task::yield_now().await; // until the sink is told; the test's own limit ends it otherwise
    }
    drop(good);
    world.shows(page, |s| condition(s, "x", "Programmed")["message"] == "on 1 of 1 proxies").await;
    world.stop().await;
}

#[tokio::test]
async fn rule_5_after_a_restart_only_what_changed_is_sent_again() {
    let all: String = (0..50).map(|i| backend(&format!("b{i}"), "a", 1)).collect();
    let folder = Folder::new(&[("pool.yaml", &pool("a", 1)), ("backends.yaml", &all)]);
    let world = World::start(&folder).await;
    let mut proxy = Proxy::subscribe(world.grpc, "n").await;
    assert_eq!(proxy.accept().await.upserts.len(), 51);
    assert_eq!(world.metric(r#"weir_sent_resources_total{kind="Backend",op="upsert"}"#).await, 50.0);
    world.stop().await;

    folder.write("extra.yaml", &backend("new", "a", 1));
    folder.write("pool.yaml", &pool("a", 2));
    let world = World::start(&folder).await;
    let mut proxy = Proxy::resume(world.grpc, "n", proxy.held.clone()).await;
    assert_eq!(proxy.accept().await.upserts, ["Backend default/new", "Pool default/a"]);
    assert_eq!(world.metric(r#"weir_sent_resources_total{kind="Backend",op="upsert"}"#).await, 1.0);
    assert_eq!(world.metric(r#"weir_sent_resources_total{kind="Pool",op="upsert"}"#).await, 1.0);
    assert!(world.metric("weir_sent_bytes_total").await < 1_000.0);
}

#[tokio::test]
async fn t1_the_metrics_of_the_control_plane() {
    let folder = Folder::new(&[("a.yaml", &(pool("a", 1) + &backend("x", "none", 1)))]);
    let world = World::start(&folder).await;
    let mut proxy = Proxy::subscribe(world.grpc, "n").await;
    proxy.accept().await;
    folder.write("a.yaml", &pool("a", 2));
    proxy.accept().await;
    let key = proxy.held.keys().next().unwrap().clone();
    folder.write("a.yaml", &pool("a", 3));
    let third = proxy.delta().await;
    proxy.nack(third.nonce, &key, None).await;
    world.shows("/api/v1/proxies", |shown| !shown["proxies"][0]["lastNack"].is_null()).await;
    for (series, value) in [
        ("weir_proxies_connected", 1.0),
        (r#"weir_deltas_total{result="ack"}"#, 2.0),
        (r#"weir_deltas_total{result="nack"}"#, 1.0),
        (r#"weir_nacks_total{kind="Pool"}"#, 1.0),
        (r#"weir_resources{accepted="true",kind="Pool"}"#, 1.0),
        ("weir_propagation_seconds_count", 1.0),
    ] {
        assert_eq!(world.metric(series).await, value, "{series}");
    }
}

/// A proxy that took `first` from one control plane, and what the next one sends it, whose folder holds `second`.
async fn restarted(first: &[(&str, &str)], second: &[(&str, &str)]) -> (World, Folder, Proxy, Got) {
    let folder = Folder::new(first);
    let world = World::start(&folder).await;
    let mut proxy = Proxy::subscribe(world.grpc, "n").await;
    proxy.accept().await;
    world.stop().await;
    second.iter().for_each(|(name, text)| folder.write(name, text));
    let world = World::start(&folder).await;
    let mut proxy = Proxy::resume(world.grpc, "n", proxy.held.clone()).await;
    let got = proxy.accept().await;
    (world, folder, proxy, got)
}

#[tokio::test]
async fn s1_a_restart_beside_a_refused_resource_takes_nothing_from_a_proxy() {
    let web = pool("web", 1) + &backend("x", "web", 1);
    let (_world, folder, mut proxy, got) = restarted(
        &[("a.yaml", &web), ("b.yaml", &pool("b", 1))],
        &[("a.yaml", &web.replacen("weight: 1", "weight: 70000", 1))],
    )
    .await;
    assert_eq!((got.upserts, got.removed), (vec![], vec![]));
    folder.delete("b.yaml");
    assert_eq!(proxy.accept().await.removed, ["Pool default/b"], "what is really gone is removed");
    folder.delete("a.yaml");
    assert_eq!(proxy.accept().await.removed, ["Pool default/web", "Backend default/x"]);
}

#[tokio::test]
async fn s2_a_restart_beside_a_file_that_does_not_parse_takes_nothing_from_a_proxy_until_it_does() {
    let web = pool("web", 1) + &backend("x", "web", 1);
    let (world, folder, mut proxy, got) = restarted(
        &[("a.yaml", &web), ("b.yaml", &pool("b", 1))],
        &[("a.yaml", "kind: [\n"), ("b.yaml", &pool("c", 1))],
    )
    .await;
    assert_eq!((got.upserts, got.removed), (vec!["Pool default/c".to_owned()], vec![]));
    let says = |shown: &serde_json::Value| shown["problems"].to_string().contains("no resource is taken from a proxy");
    world.shows("/api/v1/resources", says).await;
    folder.write("a.yaml", &web);
    assert_eq!(proxy.accept().await.removed, ["Pool default/b"]);
}

/// Versions are hashes of content, so it does not matter which replica a proxy comes to.
#[tokio::test]
async fn rule_6_every_replica_serves_and_a_proxy_may_change_over_without_a_resource_sent_again() {
    let folder = Folder::new(&[("a.yaml", &(pool("a", 1) + &backend("x", "a", 1)))]);
    let (one, mut other) = (World::start(&folder).await, World::start(&folder).await);
    let mut proxy = Proxy::subscribe(one.grpc, "n").await;
    assert_eq!(proxy.accept().await.upserts.len(), 2);
    let mut changed_over = Proxy::resume(other.grpc, "n", proxy.held.clone()).await;
    assert_eq!(changed_over.accept().await, Got { nonce: 1, upserts: vec![], removed: vec![] });
    folder.write("a.yaml", &(pool("a", 2) + &backend("x", "a", 1)));
    other.becomes("a", Some(2)).await;
    for proxy in [&mut proxy, &mut changed_over] {
        assert_eq!(proxy.accept().await, Got { nonce: 2, upserts: vec!["Pool default/a".into()], removed: vec![] });
    }
}
