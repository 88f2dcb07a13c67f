//! C1-C5: which backend takes a request.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Request;
use weir_tests::client::full;
use weir_tests::load::bodies;
use weir_tests::manifest::{backend, pool, web};
use weir_tests::{Backend, Client, Load, Reply, Weir, eventually};

const HASH: &str = "balance: {method: Hash, hash: {source: Header, name: x-user}}";

/// Every method, as the inside of a Pool's spec.
const METHODS: [&str; 10] = [
    "balance: {method: RoundRobin}",
    "balance: {method: Random}",
    "balance: {method: LeastConnections}",
    "balance: {method: LeastLoad}",
    "balance: {method: PowerOfTwo}",
    "balance: {method: PeakEwma}",
    "balance: {method: FirstAlive}",
    "balance: {method: Fill}",
    "balance: {method: Rotate}",
    HASH,
];

fn weighted(balance: &str, backends: &[(&Backend, u32)]) -> String {
    let rows = backends.iter().enumerate().map(|(i, (server, weight))| {
        backend(&format!("web-{}", i + 1), "web", server.address(), &format!("weight: {weight}"))
    });
    pool("web", balance) + &rows.collect::<String>()
}

fn counts(expected: &[(&str, usize)]) -> BTreeMap<String, usize> {
    expected.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c3_weighted_round_robin_is_exact_over_60000_requests_on_two_workers() {
    let [a, b, c] = Backend::start_many("web").await;
    let text = weighted("", &[(&a, 3), (&b, 1), (&c, 2)]);
    let weir = Weir::builder().workers(2).file("web.yaml", &text).start().await;
    let shares = bodies(weir.address(), "/", 60_000, 16).await.unwrap();
    assert_eq!(shares, counts(&[("web-1", 30_000), ("web-2", 10_000), ("web-3", 20_000)]));
    // Neither did a retry change what the backends saw.
    assert_eq!([&a, &b, &c].map(Backend::requests), [30_000, 10_000, 20_000]);
}

#[tokio::test]
async fn c3_round_robin_is_smooth_within_each_period() {
    let [a, b, c] = Backend::start_many("web").await;
    let weir = Weir::start(&weighted("", &[(&a, 3), (&b, 1), (&c, 2)])).await;
    let mut client = weir.client().await;
    for _ in 0..5 {
        let mut period = Vec::new();
        for _ in 0..6 {
            period.push(client.get("/").await.unwrap().text());
        }
        let of_a: Vec<_> = period.iter().map(|name| name == "web-1").collect();
        assert!(!of_a.windows(3).any(|w| w == [true; 3]), "the heaviest is spread out: {period:?}");
        assert_eq!(of_a.iter().filter(|is| **is).count(), 3, "{period:?}");
    }
}

#[tokio::test]
async fn c1_backends_of_weight_zero_or_disabled_get_nothing() {
    let [a, b, c] = Backend::start_many("web").await;
    for method in METHODS {
        let text = weighted(method, &[(&a, 1), (&b, 0)]) + &backend("off", "web", c.address(), "enabled: false");
        let weir = Weir::start(&text).await;
        assert_eq!(bodies(weir.address(), "/", 20, 2).await.unwrap(), counts(&[("web-1", 20)]), "{method}");
    }
}

#[tokio::test]
async fn c3_least_connections_prefers_the_idle_one() {
    let [busy, idle] = Backend::start_many("web").await;
    let weir = Weir::start(&weighted("balance: {method: LeastConnections}", &[(&busy, 1), (&idle, 1)])).await;
    busy.hold();
    idle.hold();
    let held = hold_one(&weir).await;
    eventually("one of them has it", async || (busy.requests() + idle.requests() == 1).then_some(())).await;
    let (first, other) = if busy.requests() == 1 { (&busy, &idle) } else { (&idle, &busy) };
    other.release();
    let shares = bodies(weir.address(), "/", 10, 1).await.unwrap();
    assert_eq!(shares.into_values().collect::<Vec<_>>(), [10]);
    assert_eq!((first.requests(), other.requests()), (1, 10));
    first.release();
    assert_eq!(held.await.unwrap(), 200);
}

/// A request that is on its way to a backend.
async fn hold_one(weir: &Weir) -> tokio::task::JoinHandle<u16> {
    let mut client = weir.client().await;
    let held = tokio::spawn(async move { client.get("/").await.unwrap().status });
    eventually("one request in flight", async || {
        (weir.state("test/web").await?["inFlight"]["current"] == 1).then_some(())
    })
    .await;
    held
}

#[tokio::test]
async fn c3_peak_ewma_prefers_the_fast_one() {
    let [slow, fast] = Backend::start_many("web").await;
    // Far apart: on a loaded machine a fast answer may take its time, too.
    slow.set(Reply::text("slow").after(Duration::from_millis(300)));
    fast.set(Reply::text("fast").after(Duration::from_millis(1)));
    let weir = Weir::start(&weighted("balance: {method: PeakEwma}", &[(&slow, 1), (&fast, 1)])).await;
    let shares = bodies(weir.address(), "/", 60, 1).await.unwrap();
    assert!(shares["fast"] >= 48, "{shares:?}");
}

#[tokio::test]
async fn c3_first_alive_uses_the_first_by_name() {
    let [a, b] = Backend::start_many("web").await;
    let weir = Weir::start(&weighted("balance: {method: FirstAlive}", &[(&a, 1), (&b, 9)])).await;
    assert_eq!(bodies(weir.address(), "/", 20, 4).await.unwrap(), counts(&[("web-1", 20)]));
}

#[tokio::test]
async fn c3_rotate_keeps_a_connection_on_its_backend_and_spreads_connections() {
    let [a, b, c] = Backend::start_many("web").await;
    let text = weighted("balance: {method: Rotate}", &[(&a, 1), (&b, 1), (&c, 1)]);
    let weir = Weir::builder().workers(1).file("web.yaml", &text).start().await;
    // A closed connection gives its number back, so all of them stay open.
    let mut clients = Vec::new();
    let mut used = Vec::new();
    for _ in 0..3 {
        let mut client = weir.client().await;
        used.push(client.get("/").await.unwrap().text());
        assert_eq!(client.get("/").await.unwrap().text(), used[used.len() - 1]);
        clients.push(client);
    }
    assert_eq!(used, ["web-1", "web-2", "web-3"]);
    drop(clients);
    let mut first_again = weir.client().await;
    eventually("the first number is free again", async || {
        (weir.metric("weir_connections_active").await == 1.0).then_some(())
    })
    .await;
    assert_eq!(first_again.get("/").await.unwrap().text(), "web-1");
}

#[tokio::test]
async fn c3_hash_keeps_a_key_on_its_backend_and_moves_only_the_keys_of_a_lost_one() {
    let servers: [Backend; 4] = Backend::start_many("web").await;
    let weir = Weir::start(&web(HASH, &servers.each_ref().map(Backend::address))).await;
    let before = homes(&weir).await;
    assert_eq!(before, homes(&weir).await);
    servers[3].stop().await;
    let after = homes(&weir).await;
    for (key, home) in &before {
        assert!(home == &after[key] || home == "web-4", "{key} moved from {home} to {}", after[key]);
    }
    let moved = before.values().filter(|home| *home == "web-4").count();
    assert!((25..75).contains(&moved), "about a quarter of 200 keys: {moved}");
}

async fn homes(weir: &Weir) -> BTreeMap<String, String> {
    let mut client = weir.client().await;
    let mut homes = BTreeMap::new();
    for key in (0..200).map(|i| format!("user-{i}")) {
        let request = Request::get("/").header("x-user", &key).body(full("")).unwrap();
        homes.insert(key, client.send(request).await.unwrap().text());
    }
    homes
}

#[tokio::test]
async fn c4_every_method_fails_over_to_another_backend() {
    for method in METHODS {
        let [a, b] = Backend::start_many("web").await;
        let weir = Weir::start(&web(method, &[a.address(), b.address()])).await;
        a.stop().await;
        assert_eq!(bodies(weir.address(), "/", 20, 2).await.unwrap(), counts(&[("web-2", 20)]), "{method}");
    }
}

#[tokio::test]
async fn c5_changing_the_method_drops_nothing_and_resets_nothing() {
    let [a, b] = Backend::start_many("web").await;
    let addresses = [a.address(), b.address()];
    let weir = Weir::start(&web(METHODS[0], &addresses)).await;
    let load = Load::start(weir.address(), 4);
    for method in METHODS {
        weir.write("web.yaml", &web(method, &addresses)).await;
    }
    let tally = load.stop().await;
    assert_eq!(tally.failures, Vec::<String>::new());
    let total = weir.state("test/web").await.unwrap()["inFlight"]["total"].as_u64().unwrap();
    assert_eq!(total, tally.answered);
    let connections = [&a, &b].map(|s| s.counts().connections()).iter().sum::<u64>();
    assert!(connections <= 2 * 4, "idle connections were kept: {connections} made");
}

#[tokio::test]
async fn c5_a_request_in_flight_outlives_any_change_of_its_pool() {
    let [a, b] = Backend::start_many("web").await;
    let weir = Weir::start(&web("", &[a.address()])).await;
    a.hold();
    let held = hold_one(&weir).await;
    weir.write("web.yaml", &web("balance: {method: Random}, timeouts: {read: 1s}", &[b.address()])).await;
    assert_eq!(Client::connect(weir.address()).await.unwrap().get("/").await.unwrap().text(), "web-2");
    a.release();
    assert_eq!(held.await.unwrap(), 200);
}
