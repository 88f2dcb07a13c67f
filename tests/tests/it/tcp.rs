//! Pools of TCP: who takes a connection, and what becomes of it while things change.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::Instant;
use weir_proto::model::PoolProtocol;
use weir_proto::pb;
use weir_tests::echo::GOODBYE;
use weir_tests::manifest::{backend, pool};
use weir_tests::port::free_address;
use weir_tests::scripted;
use weir_tests::{DataPlane, Echo, FullListener, RawClient, Scripted, Weir, eventually};

/// Connects through Weir; gives the connection and the name of the server that took it.
async fn connect(address: SocketAddr) -> (RawClient, String) {
    let mut client = RawClient::connect(address).await.unwrap();
    let name = client.read_until("\n").await.unwrap();
    (client, name.trim_end().to_owned())
}

async fn echoes(client: &mut RawClient, text: &str) {
    client.send(text).await.unwrap();
    assert_eq!(client.read_until(text).await.unwrap(), text);
}

/// How often each server takes one of `n` connections.
async fn taken(weir: &Weir, n: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..n {
        *counts.entry(connect(weir.tcp_address()).await.1).or_default() += 1;
    }
    counts
}

fn counts<const N: usize>(pairs: [(&str, usize); N]) -> BTreeMap<String, usize> {
    pairs.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
}

/// A pool `db` of these servers, which are called `a`, `b` and so on there.
fn db(spec: &str, addresses: &[SocketAddr]) -> String {
    let backends = addresses.iter().zip('a'..).map(|(address, name)| backend(&name.to_string(), "db", address, ""));
    pool("db", &format!("protocol: TCP, {spec}")) + &backends.collect::<String>()
}

async fn start(text: &str) -> Weir {
    Weir::builder().tcp().file("db.yaml", text).start().await
}

async fn three() -> [Echo; 3] {
    [Echo::start("a").await, Echo::start("b").await, Echo::start("c").await]
}

fn addresses(servers: &[Echo]) -> Vec<SocketAddr> {
    servers.iter().map(Echo::address).collect()
}

/// What a connection that nobody takes sees.
async fn is_closed(address: SocketAddr) {
    let mut client = RawClient::connect(address).await.unwrap();
    assert_eq!(client.read_to_end().await, "");
}

#[tokio::test]
async fn c3_connections_are_shared_by_the_pools_method() {
    let servers = three().await;
    let weir = start(&db("", &addresses(&servers))).await;
    assert_eq!(taken(&weir, 9).await, counts([("a", 3), ("b", 3), ("c", 3)]));
    for (balance, expected) in [
        ("{method: FirstAlive}", counts([("a", 9)])),
        ("{method: LeastConnections}", counts([("a", 3), ("b", 3), ("c", 3)])),
    ] {
        weir.write("db.yaml", &db(&format!("balance: {balance}"), &addresses(&servers))).await;
        let mut open = Vec::new();
        let mut names = BTreeMap::new();
        for _ in 0..9 {
            let (client, name) = connect(weir.tcp_address()).await;
            *names.entry(name).or_default() += 1;
            open.push(client);
        }
        assert_eq!(names, expected, "{balance}");
    }
    for method in ["Random", "PowerOfTwo", "PeakEwma", "Rotate"] {
        weir.write("db.yaml", &db(&format!("balance: {{method: {method}}}"), &addresses(&servers))).await;
        assert_eq!(taken(&weir, 6).await.into_values().sum::<usize>(), 6, "{method}");
    }
    weir.write("db.yaml", &db("balance: {method: Hash, hash: {source: Address}}", &addresses(&servers))).await;
    assert_eq!(taken(&weir, 9).await.len(), 1, "one address is one key");
}

#[tokio::test]
async fn f5_a_connection_moves_on_past_endpoints_that_cannot_be_connected_to() {
    let (full, server) = (FullListener::start().await, Echo::start("c").await);
    let spec = "balance: {method: FirstAlive}, timeouts: {connect: 100ms}, health: {passive: {maxFails: 2}}";
    let weir = start(&db(spec, &[free_address(), full.address(), server.address()])).await;
    assert_eq!(taken(&weir, 2).await, counts([("c", 2)]));
    for (name, reason) in [("a", "connect_failure"), ("b", "connect_timeout")] {
        let state = weir.backend("test/db", name).await;
        assert_eq!((&state["state"], &state["reason"]), (&json!("Ejected"), &json!(reason)), "H1");
        assert_eq!((&state["inFlight"]["total"], &state["inFlight"]["current"]), (&json!(2), &json!(0)), "T2");
        let labels = format!("reason=\"{reason}\"");
        assert_eq!(weir.sample("weir_backend_fails_total", &labels).await, Some(2.0));
        assert_eq!(weir.sample("weir_retries_total", &labels).await, Some(2.0));
    }
    assert_eq!(taken(&weir, 3).await, counts([("c", 3)]));
    assert_eq!(weir.metric("weir_retries_total").await, 4.0, "those that are out are not tried");
    assert_eq!(weir.state("test/db").await.unwrap()["inFlight"]["total"], 5);
    assert_eq!(weir.metric("weir_tcp_connections_total").await, 5.0);
}

#[tokio::test]
async fn f1_attempts_bound_the_tries_and_the_next_pool_gets_its_own() {
    let spec = "balance: {method: FirstAlive}, retry: {attempts: 1}, health: {passive: {maxFails: 0}}";
    let refusing = [free_address(), free_address(), free_address()];
    let reserve = Echo::start("reserve").await;
    let more = pool("reserve", "protocol: TCP, priority: 1") + &backend("r", "reserve", reserve.address(), "");
    let weir = start(&(db(spec, &refusing) + &more)).await;
    assert_eq!(taken(&weir, 1).await, counts([("reserve", 1)]));
    assert_eq!(weir.sample("weir_retries_total", "test/db").await, Some(1.0));
    assert_eq!(weir.sample("weir_retries_total", "test/reserve").await, Some(1.0));
    assert_eq!(weir.backend("test/db", "c").await["inFlight"]["total"], 0, "beyond the attempts");
}

#[tokio::test]
async fn m7_pools_of_a_listener_are_a_chain_by_priority_and_weight() {
    let [a, b, c] = three().await;
    let of = |name: &str, spec: &str, server: &Echo| {
        pool(name, &format!("protocol: TCP, {spec}")) + &backend(name, name, server.address(), "")
    };
    let text =
        of("light", "weight: 1", &a) + &of("heavy", "weight: 3, listeners: [tcp]", &b) + &of("last", "priority: 9", &c);
    let weir = start(&text).await;
    assert_eq!(taken(&weir, 8).await, counts([("a", 2), ("b", 6)]));
    a.stop().await;
    b.stop().await;
    assert_eq!(taken(&weir, 4).await, counts([("c", 4)]));
}

async fn queued(weir: &Weir, n: u64) {
    let state = async || weir.state("test/db").await.unwrap()["queued"]["current"] == n;
    eventually("so many wait", async || state().await.then_some(())).await;
}

#[tokio::test]
async fn a1_a2_a_connection_waits_for_a_slot_and_has_it_as_soon_as_one_frees() {
    let server = Echo::start("a").await;
    let limited = backend("a", "db", server.address(), "capacity: 1");
    let weir = start(&(pool("db", "protocol: TCP, queue: {limit: 1}") + &limited)).await;
    let (first, _) = connect(weir.tcp_address()).await;
    let mut second = RawClient::connect(weir.tcp_address()).await.unwrap();
    queued(&weir, 1).await;
    is_closed(weir.tcp_address()).await;
    assert_eq!(weir.sample("weir_dropped_total", "queue_full").await, Some(1.0));
    assert_eq!(server.accepted(), 1);
    drop(first);
    assert_eq!(second.read_until("\n").await.unwrap(), "a\n");
    assert_eq!(weir.backend("test/db", "a").await["inFlight"]["max"], 1);

    let leaving = RawClient::connect(weir.tcp_address()).await.unwrap();
    queued(&weir, 1).await;
    drop(leaving);
    queued(&weir, 0).await;
    weir.write("db.yaml", &(pool("db", "protocol: TCP, queue: {timeout: 100ms}") + &limited)).await;
    is_closed(weir.tcp_address()).await;
    assert_eq!(weir.sample("weir_dropped_total", "queue_timeout").await, Some(1.0));
    echoes(&mut second, "undisturbed").await;
}

#[tokio::test]
async fn a4_with_when_unavailable_a_connection_waits_for_a_backend_that_comes() {
    let weir = start(&db("queue: {whenUnavailable: true}", &[])).await;
    let mut client = RawClient::connect(weir.tcp_address()).await.unwrap();
    queued(&weir, 1).await;
    let server = Echo::start("a").await;
    weir.write("db.yaml", &db("queue: {whenUnavailable: true}", &[server.address()])).await;
    assert_eq!(client.read_until("\n").await.unwrap(), "a\n");
}

#[tokio::test]
async fn c2_standby_takes_what_an_active_one_has_no_room_for() {
    let [a, b, _] = three().await;
    let text = pool("db", "protocol: TCP")
        + &backend("a", "db", a.address(), "capacity: 1")
        + &backend("b", "db", b.address(), "role: Standby");
    let weir = start(&text).await;
    let (_first, name) = connect(weir.tcp_address()).await;
    assert_eq!((name.as_str(), taken(&weir, 2).await), ("a", counts([("b", 2)])));
}

#[tokio::test]
async fn a6_what_nobody_takes_is_closed_and_counted_with_its_reason() {
    let folder = TempDir::new().unwrap();
    let log = folder.path().join("access.log");
    let weir = Weir::builder().tcp().access_log(&log).start().await;
    let dropped = async |labels: &str| weir.sample("weir_dropped_total", labels).await;
    is_closed(weir.tcp_address()).await;
    assert_eq!(dropped(r#"pool="",reason="no_route""#).await, Some(1.0));
    for (spec, reason) in [("", "no_backend"), ("enabled: false", "disabled")] {
        weir.write("db.yaml", &db(spec, &[])).await;
        is_closed(weir.tcp_address()).await;
        assert_eq!(dropped(&format!(r#"pool="test/db",reason="{reason}""#)).await, Some(1.0));
    }
    weir.write("db.yaml", &db("", &[free_address()])).await;
    is_closed(weir.tcp_address()).await;
    assert_eq!(dropped(r#"reason="connect_failure""#).await, Some(1.0));
    let reasons = logged(&log, 4).await.into_iter().map(|line| line["reason"].as_str().unwrap().to_owned());
    assert_eq!(reasons.collect::<Vec<_>>(), ["no_route", "no_backend", "disabled", "connect_failure"]);
}

/// The lines of the access log, once there are so many.
async fn logged(log: &std::path::Path, lines: usize) -> Vec<Value> {
    eventually("lines in the access log", async || {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let all: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        (all.len() >= lines).then_some(all)
    })
    .await
}

#[tokio::test]
async fn a_connection_is_one_line_of_the_access_log() {
    let folder = TempDir::new().unwrap();
    let log = folder.path().join("access.log");
    let server = Echo::start("a").await;
    let text = db("", &[server.address()]);
    let weir = Weir::builder().tcp().access_log(&log).file("db.yaml", &text).start().await;
    let (mut client, _) = connect(weir.tcp_address()).await;
    echoes(&mut client, "hello").await;
    drop(client);
    let mut line = logged(&log, 1).await.remove(0);
    for field in ["time", "client", "duration", "connectDuration"] {
        assert!(!line[field].take().is_null(), "{field}");
    }
    // Its goodbye goes to a client that may be gone.
    let to_client = line["bytesDownstream"].take().as_u64().unwrap();
    assert!([7, 7 + GOODBYE.len() as u64].contains(&to_client), "{to_client}");
    line["reason"].take();
    let expected = json!({
        "time": null, "client": null, "listener": "tcp", "protocol": "TCP", "bytesUpstream": 5,
        "bytesDownstream": null, "duration": null, "connectDuration": null, "pool": "test/db", "backend": "a",
        "address": server.address().to_string(), "attempts": 1, "reason": null,
    });
    assert_eq!(line, expected);
}

#[tokio::test]
async fn s5_s6_no_change_ends_a_connection_and_a_backend_that_goes_drains() {
    let [a, b, _] = three().await;
    let first = "balance: {method: FirstAlive}";
    let weir = start(&db(first, &[a.address(), b.address()])).await;
    let (mut client, name) = connect(weir.tcp_address()).await;
    assert_eq!(name, "a");
    let b = weir.backend("test/db", "b").await["address"].as_str().unwrap().to_owned();
    let changed = |spec: &str| pool("db", &format!("protocol: TCP, {spec}")) + &backend("b", "db", &b, "");
    weir.write("db.yaml", &changed("balance: {method: Random}, timeouts: {idle: 5s}")).await;
    let state = weir.backend("test/db", "a").await;
    assert_eq!((&state["state"], &state["inFlight"]["current"]), (&json!("Draining"), &json!(1)));
    echoes(&mut client, "still here").await;
    assert_eq!(taken(&weir, 3).await, counts([("b", 3)]));

    weir.write("db.yaml", "").await;
    echoes(&mut client, "without its pool").await;
    is_closed(weir.tcp_address()).await;
    weir.write("db.yaml", &changed("")).await;
    assert_eq!(taken(&weir, 1).await, counts([("b", 1)]));
    echoes(&mut client, "and with it").await;
}

#[tokio::test]
async fn s6_a_drained_backend_is_gone_when_its_last_connection_ends() {
    let [a, b, _] = three().await;
    let text = |more: &str| {
        pool("db", "protocol: TCP") + &backend("b", "db", b.address(), "") + &backend("a", "db", a.address(), more)
    };
    let weir = start(&text("")).await;
    let (mut one, _) = connect(weir.tcp_address()).await;
    let (mut two, _) = connect(weir.tcp_address()).await;
    for (more, reason) in [("enabled: false", "disabled"), ("weight: 0", "weight")] {
        weir.write("db.yaml", &text(more)).await;
        let backend = weir.backend("test/db", "a").await;
        let said = json!([backend["state"], backend["reason"], backend["inFlight"]["current"]]);
        assert_eq!(said, json!(["Draining", reason, 1]));
        assert_eq!(taken(&weir, 2).await, counts([("b", 2)]));
    }
    weir.write("db.yaml", &(pool("db", "protocol: TCP") + &backend("b", "db", b.address(), ""))).await;
    echoes(&mut one, "one").await;
    echoes(&mut two, "two").await;
    drop((one, two));
    eventually("the backend is gone", async || weir.backend("test/db", "a").await.is_null().then_some(())).await;
}

#[tokio::test]
async fn f6_a_client_that_leaves_takes_its_connection_to_the_backend_along() {
    let server = Echo::start("a").await;
    let weir = start(&db("", &[server.address()])).await;
    let (client, _) = connect(weir.tcp_address()).await;
    assert_eq!((server.open(), weir.metric("weir_connections_active").await), (1, 1.0));
    drop(client);
    eventually("the backend's connection ends", async || (server.open() == 0).then_some(())).await;
    eventually("nothing is in flight", async || (weir.metric("weir_requests_active").await == 0.0).then_some(())).await;
    let state = weir.backend("test/db", "a").await;
    assert_eq!((&state["connections"], &state["inFlight"]["max"]), (&json!(0), &json!(1)));
}

#[tokio::test]
async fn f5_a_backend_that_dies_ends_its_connections_and_the_next_ones_go_elsewhere() {
    let [a, b, _] = three().await;
    let weir = start(&db("balance: {method: FirstAlive}", &[a.address(), b.address()])).await;
    let (mut client, name) = connect(weir.tcp_address()).await;
    assert_eq!(name, "a");
    a.stop().await;
    assert_eq!(client.read_to_end().await, "");
    assert_eq!(taken(&weir, 2).await, counts([("b", 2)]));
    assert_eq!(b.accepted(), 2, "the broken connection went nowhere else");
}

#[tokio::test]
async fn a_connection_on_which_nothing_moves_is_closed_after_its_time() {
    let folder = TempDir::new().unwrap();
    let log = folder.path().join("access.log");
    let server = Echo::start("a").await;
    let idle = Duration::from_millis(400);
    let text = db("timeouts: {idle: 400ms}", &[server.address()]);
    let weir = Weir::builder().tcp().access_log(&log).file("db.yaml", &text).start().await;
    let (mut client, _) = connect(weir.tcp_address()).await;
    let began = Instant::now();
    while began.elapsed() < idle * 2 {
        echoes(&mut client, "x").await;
    }
    let silent_since = Instant::now();
    assert_eq!(client.read_to_end().await, "");
    assert!(silent_since.elapsed() > idle / 2, "after {:?}", silent_since.elapsed());
    assert_eq!(logged(&log, 1).await[0]["reason"], "timeout");
    eventually("the backend's connection ends", async || (server.open() == 0).then_some(())).await;
}

#[tokio::test]
async fn a_leaving_proxy_serves_connections_until_they_end_or_the_deadline_has_passed() {
    let server = Echo::start("a").await;
    let deadline = Duration::from_secs(1);
    let text = db("", &[server.address()]);
    let weir = Weir::builder().tcp().drain_timeout(deadline).file("db.yaml", &text).start().await;
    let (mut client, _) = connect(weir.tcp_address()).await;
    let (address, began) = (weir.tcp_address(), Instant::now());
    let stopping = tokio::spawn(weir.stop());
    eventually("new connections are refused", async || TcpStream::connect(address).await.is_err().then_some(())).await;
    while client.send("more;").await.is_ok() && client.read_until(";").await.is_ok() {}
    assert!(began.elapsed() >= deadline, "cut after {:?}", began.elapsed());
    stopping.await.unwrap();
}

#[tokio::test]
async fn a_leaving_proxy_ends_with_its_last_connection() {
    let server = Echo::start("a").await;
    let deadline = Duration::from_secs(600);
    let text = db("", &[server.address()]);
    let weir = Weir::builder().tcp().drain_timeout(deadline).file("db.yaml", &text).start().await;
    let (client, _) = connect(weir.tcp_address()).await;
    let stopping = tokio::spawn(weir.stop());
    drop(client);
    weir_tests::within("the end of the proxy", stopping).await.unwrap();
}

#[tokio::test]
async fn s4_a_pool_that_names_a_listener_of_another_protocol_is_nacked_and_the_others_serve() {
    let server = Echo::start("a").await;
    let mut control = Scripted::start().await;
    let proxy = DataPlane::builder(control.address()).tcp().start_unready();
    let (mut session, _) = control.accept().await;
    let tcp = |pool: &mut pb::Pool| pool.protocol = pb::PoolProtocol::Tcp.into();
    let on = |listener: &str| vec!["elsewhere".to_owned(), listener.to_owned()];
    let rejected = session
        .deliver(vec![
            scripted::backend("a", "db", server.address()),
            scripted::pool("db", tcp),
            scripted::pool("http-on-tcp", |pool| pool.listeners = on("tcp")),
            scripted::pool("tcp-on-http", |pool| {
                tcp(pool);
                pool.listeners = on("http");
            }),
        ])
        .await;
    let reasons: Vec<(String, String)> = rejected.into_iter().map(|r| (r.key.unwrap().name, r.reason)).collect();
    let reason = |listener: PoolProtocol, pool: PoolProtocol| {
        let name = listener.as_str().to_lowercase();
        format!("spec.listeners[1]: {name} is a listener of {listener}, the Pool is of {pool}")
    };
    let expected = [
        ("http-on-tcp".to_owned(), reason(PoolProtocol::Tcp, PoolProtocol::Http)),
        ("tcp-on-http".to_owned(), reason(PoolProtocol::Http, PoolProtocol::Tcp)),
    ];
    assert_eq!(reasons, expected);
    assert_eq!(connect(proxy.tcp_address()).await.1, "a");
}

#[tokio::test]
async fn a_pool_of_each_protocol_serves_its_own_listeners() {
    let (server, web) = (Echo::start("a").await, weir_tests::Backend::start("web-1").await);
    let text = db("", &[server.address()]) + &weir_tests::manifest::web("", &[web.address()]);
    let weir = start(&text).await;
    assert_eq!(taken(&weir, 3).await, counts([("a", 3)]));
    assert_eq!(weir.get("/").await.text(), "web-1");
    assert_eq!(weir.state("test/db").await.unwrap()["protocol"], "TCP");
    assert_eq!(weir.state("test/web").await.unwrap()["protocol"], "HTTP");
}
