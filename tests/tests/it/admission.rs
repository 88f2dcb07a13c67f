//! A1 to A5: capacity and queue.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use http::Request;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use weir_tests::client::full;
use weir_tests::load::{bodies, soak};
use weir_tests::manifest::{backend, pool, web};
use weir_tests::{Backend, Behaviour, Client, RawClient, Reply, Response, Weir, eventually, get, send};

/// A Pool `web` of this specification with a backend for each server, of this capacity.
fn limited(spec: &str, servers: &[&Backend], capacity: u32) -> String {
    let rows = servers.iter().enumerate().map(|(place, server)| {
        backend(&format!("web-{}", place + 1), "web", server.address(), &format!("capacity: {capacity}"))
    });
    pool("web", spec) + &rows.collect::<String>()
}

/// Sends a request on a connection of its own.
fn request(weir: &Weir, path: &str) -> JoinHandle<Response> {
    let (address, path) = (weir.address(), path.to_owned());
    tokio::spawn(async move { get(address, &path).await.unwrap() })
}

/// Waits until so many wait.
async fn queued(weir: &Weir, count: u64) {
    eventually(&format!("{count} wait"), async || {
        (weir.state("test/web").await?["queued"]["current"] == count).then_some(())
    })
    .await;
}

/// Waits until a server works on so many.
async fn busy(server: &Backend, count: u64) {
    eventually(&format!("{count} are in flight"), async || (server.counts().in_flight() == count).then_some(())).await;
}

/// A request that the server holds, and others that wait, one after the other.
async fn fill(weir: &Weir, server: &Backend, waiting: u64) -> Vec<JoinHandle<Response>> {
    server.hold();
    let mut requests = vec![request(weir, "/0")];
    busy(server, 1).await;
    for number in 1..=waiting {
        requests.push(request(weir, &format!("/{number}")));
        queued(weir, number).await;
    }
    requests
}

async fn statuses(requests: Vec<JoinHandle<Response>>) -> Vec<u16> {
    let mut statuses = Vec::new();
    for request in requests {
        statuses.push(request.await.unwrap().status);
    }
    statuses
}

async fn dropped(weir: &Weir, reason: &str) -> Option<u64> {
    weir.state("test/web").await.unwrap()["dropped"]["byReason"][reason].as_u64()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r5_200_clients_on_4_workers_are_never_more_than_the_capacity_of_7() {
    const REQUESTS: usize = 6_000;
    let server = Backend::start("web-1").await;
    server.set(Reply::text("web-1").after(Duration::from_millis(1)));
    let text = limited("queue: {limit: 1000}", &[&server], 7);
    let weir = Weir::builder().workers(4).file("web.yaml", &text).start().await;
    let answered = bodies(weir.address(), "/", REQUESTS, 200).await.unwrap();
    assert_eq!(answered, [("web-1".to_owned(), REQUESTS)].into());
    assert_eq!(server.counts().most(), 7, "reached, and not passed");
    assert_eq!(server.requests(), REQUESTS as u64);
    let state = weir.state("test/web").await.unwrap();
    assert_eq!(state["backends"][0]["inFlight"]["max"], 7);
    assert_eq!((&state["inFlight"]["current"], &state["inFlight"]["max"]), (&0.into(), &7.into()));
    let (most, total) = (state["queued"]["max"].as_u64().unwrap(), state["queued"]["total"].as_u64().unwrap());
    assert!((1..=193).contains(&most) && total >= most, "{state}");
    assert_eq!((&state["queued"]["current"], &state["dropped"]["total"]), (&0.into(), &0.into()));
    assert_eq!(weir.sample("weir_queued_total", "test/web").await, Some(total as f64));
    assert_eq!(weir.sample("weir_queue_wait_seconds_count", "test/web").await, Some(total as f64));
    assert_eq!(weir.sample("weir_queue_depth_max", "test/web").await, Some(most as f64));
    assert_eq!(weir.sample("weir_queue_depth", "test/web").await, Some(0.0));
    assert_eq!(weir.sample("weir_requests_active_max", "web-1").await, Some(7.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r5_400_clients_on_2_workers_are_never_more_than_3_at_each_of_4_backends() {
    const REQUESTS: usize = 8_000;
    let servers = Backend::start_many::<4>("web").await;
    servers.iter().for_each(|server| server.set(Reply::text("web").after(Duration::from_millis(1))));
    let text = limited("queue: {limit: 400}, retry: {attempts: 0}", &servers.each_ref(), 3);
    let weir = Weir::builder().workers(2).file("web.yaml", &text).start().await;
    let answered = bodies(weir.address(), "/", REQUESTS, 400).await.unwrap();
    assert_eq!(answered, [("web".to_owned(), REQUESTS)].into());
    assert_eq!(servers.each_ref().map(|server| server.counts().most()), [3; 4]);
    assert_eq!(servers.iter().map(Backend::requests).sum::<u64>(), REQUESTS as u64);
}

/// What one client of a soak saw.
#[derive(Default)]
struct Seen {
    /// Answers by status.
    statuses: BTreeMap<u16, u64>,
    /// The most requests of all clients that were sent while one of its own waited.
    overtaken: u64,
    longest: Duration,
}

/// Sends one request after the other, each with a ticket.
async fn soaks(address: SocketAddr, tickets: Arc<AtomicU64>, end: Instant) -> Seen {
    let (mut seen, mut client) = (Seen::default(), Client::connect(address).await.unwrap());
    while Instant::now() < end {
        let (ticket, began) = (tickets.fetch_add(1, SeqCst), Instant::now());
        let status = client.get("/").await.unwrap().status;
        *seen.statuses.entry(status).or_default() += 1;
        seen.overtaken = seen.overtaken.max(tickets.load(SeqCst) - ticket);
        seen.longest = seen.longest.max(began.elapsed());
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r5_in_a_soak_of_400_clients_none_is_lost_and_none_waits_while_others_are_served_again_and_again() {
    const CLIENTS: u64 = 400;
    let servers = Backend::start_many::<4>("web").await;
    servers.iter().for_each(|server| server.set(Reply::text("web").after(Duration::from_millis(2))));
    let text = limited("queue: {limit: 400}, retry: {attempts: 0}", &servers.each_ref(), 3);
    let weir = Weir::builder().workers(2).file("web.yaml", &text).start().await;
    let (tickets, end) = (Arc::<AtomicU64>::default(), Instant::now() + soak(2));
    let clients: JoinSet<Seen> = (0..CLIENTS).map(|_| soaks(weir.address(), tickets.clone(), end)).collect();
    let seen = clients.join_all().await;
    let (sent, most) = (tickets.load(SeqCst), servers.each_ref().map(|server| server.counts().most()));
    let mut statuses = BTreeMap::new();
    seen.iter()
        .flat_map(|seen| &seen.statuses)
        .for_each(|(status, count)| *statuses.entry(*status).or_default() += count);
    let overtaken = seen.iter().map(|seen| seen.overtaken).max().unwrap();
    let longest = seen.iter().map(|seen| seen.longest).max().unwrap();
    println!("{sent} sent, answered {statuses:?}, most in flight {most:?}, overtaken {overtaken}, longest {longest:?}");
    assert_eq!((statuses, most), ([(200, sent)].into(), [3; 4]));
    assert_eq!(servers.iter().map(Backend::requests).sum::<u64>(), sent);
    assert_eq!(weir.state("test/web").await.unwrap()["dropped"]["total"], 0);
    // First come first served: while one waits, each of the others is served once, and may be once more on the way to
    // the queue and on the way back.
    assert!(overtaken <= 3 * CLIENTS, "{overtaken}");
}

#[tokio::test]
async fn r5_the_queue_is_first_in_first_out_over_4_workers() {
    const WAITING: u64 = 40;
    let server = Backend::start("web-1").await;
    server.set(Behaviour::Echo);
    let weir = Weir::builder().workers(4).file("web.yaml", &limited("", &[&server], 1)).start().await;
    let requests = fill(&weir, &server, WAITING).await;
    server.release();
    for (place, request) in (1..).zip(requests) {
        let told = request.await.unwrap().json();
        assert_eq!(told["number"], place, "{told}");
    }
    assert_eq!(server.counts().most(), 1);
}

#[tokio::test]
async fn a2_with_a_full_queue_it_is_503_at_once_and_says_when_to_come_back() {
    for limit in [0, 2] {
        let server = Backend::start("web-1").await;
        let spec = format!("queue: {{limit: {limit}}}, retryAfter: 3s");
        let weir = Weir::start(&limited(&spec, &[&server], 1)).await;
        let requests = fill(&weir, &server, limit).await;
        let refused = weir.get("/").await;
        assert_eq!((refused.status, refused.header("retry-after")), (503, "3"), "limit {limit}");
        assert_eq!(dropped(&weir, "queue_full").await, Some(1));
        server.release();
        assert!(statuses(requests).await.iter().all(|status| *status == 200));
        assert_eq!(weir.sample("weir_dropped_total", "queue_full").await, Some(1.0));
    }
}

#[tokio::test]
async fn a2_waiting_too_long_is_504_or_what_the_pool_says() {
    for (spec, status, retry_after) in
        [("", 504, "10"), (", expiredStatus: 503", 503, "10"), (", expiredStatus: 429", 429, "")]
    {
        let server = Backend::start("web-1").await;
        let weir = Weir::start(&limited(&format!("queue: {{timeout: 50ms{spec}}}"), &[&server], 1)).await;
        let requests = fill(&weir, &server, 0).await;
        let late = weir.get("/").await;
        assert_eq!((late.status, late.header("retry-after")), (status, retry_after));
        assert_eq!(dropped(&weir, "queue_timeout").await, Some(1));
        server.release();
        assert_eq!(statuses(requests).await, [200]);
        assert_eq!(server.requests(), 1);
    }
}

#[tokio::test]
async fn a2_the_limit_of_the_whole_request_ends_its_wait() {
    let server = Backend::start("web-1").await;
    let weir = Weir::start(&limited("queue: {timeout: 0s}", &[&server], 1)).await;
    let requests = fill(&weir, &server, 0).await;
    weir.write("web.yaml", &limited("timeouts: {request: 50ms}, queue: {timeout: 0s}", &[&server], 1)).await;
    assert_eq!(weir.get("/").await.status, 504);
    server.release();
    assert_eq!(statuses(requests).await, [200]);
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn a2_a_client_that_leaves_gives_up_its_place() {
    let server = Backend::start("web-1").await;
    let weir = Weir::start(&limited("queue: {limit: 2}", &[&server], 1)).await;
    let mut requests = fill(&weir, &server, 0).await;
    let mut leaves = RawClient::connect(weir.address()).await.unwrap();
    leaves.send("GET /leaves HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    queued(&weir, 1).await;
    requests.push(request(&weir, "/"));
    queued(&weir, 2).await;
    drop(leaves);
    queued(&weir, 1).await;
    requests.push(request(&weir, "/"));
    queued(&weir, 2).await;
    server.release();
    assert_eq!(statuses(requests).await, [200; 3]);
    assert_eq!(server.requests(), 3, "nothing was sent for who left");
}

#[tokio::test]
async fn a2_a_client_that_leaves_after_an_upload_gives_up_its_place_too() {
    let server = Backend::start("web-1").await;
    let weir = Weir::start(&limited("", &[&server], 1)).await;
    let requests = fill(&weir, &server, 0).await;
    let mut leaves = RawClient::connect(weir.address()).await.unwrap();
    leaves.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello").await.unwrap();
    queued(&weir, 1).await;
    drop(leaves);
    queued(&weir, 0).await;
    server.release();
    assert_eq!(statuses(requests).await, [200]);
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn a2_an_upload_that_waited_arrives_whole() {
    for size in [1, 64 << 10, 1 << 20] {
        let server = Backend::start("web-1").await;
        server.set(Behaviour::Echo);
        let weir = Weir::start(&limited("", &[&server], 1)).await;
        let requests = fill(&weir, &server, 0).await;
        let body: String = "0123456789abcdef".chars().cycle().take(size).collect();
        let upload = Request::post("/").body(full(body.clone())).unwrap();
        let upload = tokio::spawn(send(weir.address(), upload));
        queued(&weir, 1).await;
        server.release();
        assert_eq!(statuses(requests).await, [200]);
        let told = upload.await.unwrap().unwrap().json();
        assert!(told["body"] == body, "{size} bytes");
    }
}

#[tokio::test]
async fn a2_a_full_pool_is_stepped_in_for_only_when_its_queue_is_full() {
    let [first, next] = Backend::start_many("web").await;
    let text = limited("queue: {limit: 1}", &[&first], 1)
        + &pool("next", "priority: 1")
        + &backend("next-1", "next", next.address(), "");
    let weir = Weir::start(&text).await;
    let requests = fill(&weir, &first, 1).await;
    assert_eq!(weir.get("/").await.text(), "web-2");
    first.release();
    assert_eq!(statuses(requests).await, [200; 2]);
    assert_eq!((first.requests(), next.requests()), (2, 1));
    assert_eq!(weir.state("test/web").await.unwrap()["dropped"]["total"], 0);
}

#[tokio::test]
async fn a1_a_capacity_lowered_below_what_is_in_flight_lets_nobody_in_until_there_is_room() {
    let server = Backend::start("web-1").await;
    let weir = Weir::start(&limited("", &[&server], 4)).await;
    server.hold();
    let mut requests: Vec<_> = (0..4).map(|_| request(&weir, "/")).collect();
    busy(&server, 4).await;
    weir.write("web.yaml", &limited("", &[&server], 2)).await;
    requests.extend((0..3).map(|_| request(&weir, "/")));
    queued(&weir, 3).await;
    assert_eq!(server.counts().in_flight(), 4, "those that run go on");
    server.release();
    assert_eq!(statuses(requests).await, [200; 7]);
    server.hold();
    let requests: Vec<_> = (0..5).map(|_| request(&weir, "/")).collect();
    queued(&weir, 3).await;
    assert_eq!(server.counts().in_flight(), 2);
    server.release();
    assert_eq!(statuses(requests).await, [200; 5]);
}

#[tokio::test]
async fn a1_a_capacity_that_comes_later_counts_what_is_in_flight() {
    let server = Backend::start("web-1").await;
    let weir = Weir::start(&web("", &[server.address()])).await;
    server.hold();
    let mut requests: Vec<_> = (0..3).map(|_| request(&weir, "/")).collect();
    busy(&server, 3).await;
    weir.write("web.yaml", &limited("", &[&server], 3)).await;
    requests.push(request(&weir, "/"));
    queued(&weir, 1).await;
    weir.write("web.yaml", &limited("", &[&server], 0)).await;
    busy(&server, 4).await;
    server.release();
    assert_eq!(statuses(requests).await, [200; 4]);
}

#[tokio::test]
async fn a3_a_capacity_that_grows_lets_in_those_that_wait() {
    let server = Backend::start("web-1").await;
    let weir = Weir::start(&limited("", &[&server], 1)).await;
    let requests = fill(&weir, &server, 3).await;
    weir.write("web.yaml", &limited("", &[&server], 3)).await;
    busy(&server, 3).await;
    queued(&weir, 1).await;
    server.release();
    assert_eq!(statuses(requests).await, [200; 4]);
}

#[tokio::test]
async fn a2_a_queue_that_becomes_shorter_than_it_is_keeps_those_that_wait() {
    let server = Backend::start("web-1").await;
    let weir = Weir::start(&limited("queue: {limit: 5}", &[&server], 1)).await;
    let requests = fill(&weir, &server, 4).await;
    weir.write("web.yaml", &limited("queue: {limit: 1}", &[&server], 1)).await;
    assert_eq!(weir.get("/").await.status, 503);
    queued(&weir, 4).await;
    server.release();
    assert_eq!(statuses(requests).await, [200; 5]);
}

#[tokio::test]
async fn a3_a_backend_that_comes_up_takes_those_that_wait_for_recovery() {
    let server = Backend::start("web-1").await;
    let text = |enabled: bool| {
        pool("web", "queue: {whenUnavailable: true}")
            + &backend("web-1", "web", server.address(), &format!("enabled: {enabled}"))
    };
    let weir = Weir::start(&text(false)).await;
    let requests: Vec<_> = (0..3).map(|_| request(&weir, "/")).collect();
    queued(&weir, 3).await;
    weir.write("web.yaml", &text(true)).await;
    assert_eq!(statuses(requests).await, [200; 3]);
}

#[tokio::test]
async fn a3_an_ejected_backend_that_returns_takes_those_that_wait() {
    let server = Backend::start("web-1").await;
    let spec = "queue: {whenUnavailable: true}, health: {passive: {maxFails: 1, failTimeout: 1s}}";
    let weir = Weir::start(&web(spec, &[server.address()])).await;
    server.stop().await;
    assert_eq!(weir.get("/").await.status, 504, "it tried the only one");
    let waits = request(&weir, "/");
    queued(&weir, 1).await;
    server.restart();
    assert_eq!(waits.await.unwrap().status, 200);
}

#[tokio::test]
async fn a4_with_nothing_up_it_is_503_at_once_unless_told_to_wait_and_waiting_is_bounded() {
    let server = Backend::start("web-1").await;
    let text =
        |spec: &str| pool("web", spec) + &backend("web-1", "web", server.address(), "enabled: false, capacity: 1");
    let weir = Weir::start(&text("")).await;
    let refused = weir.get("/").await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, "10"));
    assert_eq!(dropped(&weir, "no_backend").await, Some(1));
    weir.write("web.yaml", &text("queue: {whenUnavailable: true, timeout: 50ms}")).await;
    assert_eq!(weir.get("/").await.status, 504);
    weir.write("web.yaml", &text("queue: {whenUnavailable: true, limit: 0}")).await;
    assert_eq!(weir.get("/").await.status, 503);
    assert_eq!(dropped(&weir, "queue_full").await, Some(1));
}

#[tokio::test]
async fn a4_nobody_waits_for_recovery_while_another_pool_of_the_chain_is_up() {
    let next = Backend::start("next").await;
    let text = pool("web", "queue: {whenUnavailable: true}")
        + &backend("web-1", "web", next.address(), "enabled: false")
        + &pool("next", "inherit: web, priority: 1")
        + &backend("next-1", "next", next.address(), "");
    let weir = Weir::start(&text).await;
    assert_eq!(weir.get("/").await.text(), "next");
    assert_eq!(weir.state("test/web").await.unwrap()["queued"]["total"], 0);
}

#[tokio::test]
async fn a2_a_request_that_failed_on_one_backend_waits_for_another() {
    let [dead, server] = Backend::start_many("web").await;
    dead.stop().await;
    let spec = "balance: {method: FirstAlive}, health: {passive: {maxFails: 0}}";
    let weir = Weir::start(&limited(spec, &[&dead, &server], 1)).await;
    let requests = fill(&weir, &server, 1).await;
    server.release();
    assert_eq!(statuses(requests).await, [200; 2]);
    assert_eq!(server.counts().most(), 1);
}

#[tokio::test]
async fn a2_nobody_waits_with_an_answer_in_hand() {
    let [bad, server] = Backend::start_many("web").await;
    bad.set(Reply::status(502));
    let text = pool("web", "balance: {method: FirstAlive}, retry: {statuses: ['502']}")
        + &backend("web-1", "web", bad.address(), "capacity: 2")
        + &backend("web-2", "web", server.address(), "capacity: 1");
    let weir = Weir::start(&text).await;
    let requests = fill(&weir, &server, 0).await;
    assert_eq!(weir.get("/").await.status, 502, "the best there was");
    server.release();
    assert_eq!(statuses(requests).await, [200]);
}

#[tokio::test]
async fn a2_plugins_choose_who_is_waited_for() {
    let [a, b] = Backend::start_many("web").await;
    let spec = "plugins: [{type: Subset, param: {header: x-zone, label: zone, whenEmpty: None}}]";
    let text = pool("web", spec)
        + &backend("web-1", "web", a.address(), "capacity: 1, labels: {zone: a}")
        + &backend("web-2", "web", b.address(), "capacity: 1, labels: {zone: b}");
    let weir = Weir::start(&text).await;
    let in_a = || {
        let (address, request) = (weir.address(), Request::get("/").header("x-zone", "a").body(full("")).unwrap());
        tokio::spawn(async move { send(address, request).await.unwrap() })
    };
    a.hold();
    let mut requests = vec![in_a()];
    busy(&a, 1).await;
    requests.push(in_a());
    queued(&weir, 1).await;
    let in_b = Request::get("/").header("x-zone", "b").body(full("")).unwrap();
    assert_eq!(send(weir.address(), in_b).await.unwrap().text(), "web-2", "it need not wait");
    a.release();
    for request in requests {
        assert_eq!(request.await.unwrap().text(), "web-1");
    }
}

#[tokio::test]
async fn a2_a_sticky_client_may_insist_on_a_backend_that_is_full_or_without_weight() {
    for (always, answer) in [(true, "web-1"), (false, "web-2")] {
        let [a, b] = Backend::start_many("web").await;
        let spec = format!(
            "balance: {{method: Fill}}, plugins: [{{type: Stickiness, param: {{cookie: srv, always: {always}}}}}]"
        );
        let text = |weight: u32| {
            pool("web", &spec)
                + &backend("web-1", "web", a.address(), &format!("capacity: 1, weight: {weight}"))
                + &backend("web-2", "web", b.address(), "")
        };
        let weir = Weir::start(&text(1)).await;
        let cookie = weir.get("/").await.header("set-cookie").split(';').next().unwrap().to_owned();
        let sticky = || {
            let request = Request::get("/").header("cookie", &cookie).body(full("")).unwrap();
            tokio::spawn(send(weir.address(), request))
        };
        a.hold();
        let held = sticky();
        busy(&a, 1).await;
        let other = sticky();
        if always {
            queued(&weir, 1).await;
            a.release();
        }
        assert_eq!(other.await.unwrap().unwrap().text(), answer);
        a.release();
        assert_eq!(held.await.unwrap().unwrap().text(), "web-1");
        weir.write("web.yaml", &text(0)).await;
        assert_eq!(sticky().await.unwrap().unwrap().text(), answer, "without weight");
    }
}
