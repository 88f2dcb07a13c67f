//! H2 to H6: what probes find out, and what follows.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;
use tonic_health::ServingStatus;
use weir_tests::load::bodies;
use weir_tests::manifest::{backend, pool, web};
use weir_tests::{Backend, Behaviour, Load, Reply, UnixRelay, Weir, eventually, within};

/// Probes every 50 ms; `more` goes on with the settings.
fn active(more: &str) -> String {
    format!("health: {{active: {{interval: 50ms, healthyThreshold: 1, {more}}}, passive: {{maxFails: 0}}}}")
}

async fn until_state(weir: &Weir, name: &str, state: &str) {
    eventually(&format!("{name} is {state}"), async || {
        (weir.backend("test/web", name).await["state"] == state).then_some(())
    })
    .await;
}

/// More probes came; each stands for an interval that went by.
async fn more_probes(of: &Backend, count: u64) {
    let before = of.requests();
    eventually("probes go on", async || (of.requests() >= before + count).then_some(())).await;
}

#[tokio::test]
async fn h2_http_asks_as_it_is_told_and_goes_by_the_statuses() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = active(
        "method: HEAD, path: '/up?full=1', host: web.internal, statuses: ['204'], \
                           headers: [{name: x-token, value: secret}]",
    );
    let weir = Weir::start(&web(&settings, &[server.local_addr().unwrap()])).await;
    let (stream, _) = within("a probe", server.accept()).await.unwrap();
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(within("the head of the probe", stream.read_line(&mut head)).await.unwrap(), 0);
    }
    let mut lines: Vec<&str> = head.trim_end().lines().collect();
    lines[1..].sort_unstable();
    let headers = ["host: web.internal", "user-agent: weir-health-check", "x-token: secret"];
    assert_eq!(lines, [["HEAD /up?full=1 HTTP/1.1"].as_slice(), &headers].concat());
    assert_eq!(weir.backend("test/web", "web-1").await["state"], "Down");
    stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    until_state(&weir, "web-1", "Up").await;
}

#[tokio::test]
async fn h2_another_status_a_broken_answer_and_silence_are_failures_with_their_reason() {
    let server = Backend::start("web").await;
    let weir = Weir::start(&web(&active("timeout: 40ms"), &[server.address()])).await;
    until_state(&weir, "web-1", "Up").await;
    for (behaviour, reason) in [
        (Reply::status(503).into(), "bad_response"),
        (Behaviour::raw("no HTTP\r\n\r\n"), "bad_response"),
        (Behaviour::Silent, "timeout"),
        (Behaviour::CloseEarly, "reset"),
    ] {
        server.set(behaviour.clone());
        until_state(&weir, "web-1", "Down").await;
        eventually(&format!("{behaviour:?} is known as {reason}"), async || {
            (weir.backend("test/web", "web-1").await["reason"] == reason).then_some(())
        })
        .await;
        assert_eq!(weir.get("/").await.status, 503, "nobody is up");
        server.set(Reply::text("web"));
        until_state(&weir, "web-1", "Up").await;
    }
    server.stop().await;
    eventually("a refused connection is known", async || {
        (weir.backend("test/web", "web-1").await["reason"] == "connect_failure").then_some(())
    })
    .await;
}

#[tokio::test]
async fn h2_tcp_needs_a_connection_only_also_of_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("web.sock");
    let server = Backend::start("web").await;
    server.set(Behaviour::Silent);
    let text = pool("web", &active("type: TCP"))
        + &backend("tcp", "web", server.address(), "")
        + &backend("unix", "web", format!("unix:{}", path.display()), "");
    let weir = Weir::start(&text).await;
    until_state(&weir, "tcp", "Up").await;
    assert_eq!(weir.backend("test/web", "unix").await["state"], "Down");
    let _listening = UnixRelay::start(path.to_str().unwrap(), server.address());
    until_state(&weir, "unix", "Up").await;
    server.stop().await;
    until_state(&weir, "tcp", "Down").await;
}

#[tokio::test]
async fn h2_grpc_goes_by_the_state_of_the_service() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (reporter, service) = tonic_health::server::health_reporter();
    let incoming = tonic::transport::server::TcpIncoming::from(listener);
    let _server = AbortOnDropHandle::new(tokio::spawn(
        tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming),
    ));
    reporter.set_service_status("shop.Cart", ServingStatus::NotServing).await;
    let weir = Weir::start(&web(&active("type: GRPC, path: shop.Cart"), &[address])).await;
    eventually("the service is known not to serve", async || {
        (weir.backend("test/web", "web-1").await["reason"] == "bad_response").then_some(())
    })
    .await;
    reporter.set_service_status("shop.Cart", ServingStatus::Serving).await;
    until_state(&weir, "web-1", "Up").await;
}

#[tokio::test]
async fn h3_paranoid_gives_no_traffic_to_whom_it_does_not_know() {
    let [unknown, known] = Backend::start_many("web").await;
    unknown.hold();
    let spec = "balance: {method: FirstAlive}, health: {active: {interval: 20s, timeout: 20s, healthyThreshold: 1}}";
    let weir = Weir::start(&web(spec, &[unknown.address(), known.address()])).await;
    until_state(&weir, "web-2", "Up").await;
    assert_eq!(bodies(weir.address(), "/", 10, 1).await.unwrap()["web-2"], 10);
    unknown.release();
    until_state(&weir, "web-1", "Up").await;
    assert_eq!(weir.get("/").await.text(), "web-1");
}

#[tokio::test]
async fn h3_lazy_asks_only_who_is_down() {
    let [quiet, failing] = Backend::start_many("web").await;
    let spec = "health: {active: {mode: Lazy, interval: 50ms, healthyThreshold: 1}, passive: {maxFails: 1}}";
    let weir = Weir::start(&web(spec, &[quiet.address(), failing.address()])).await;
    failing.stop().await;
    bodies(weir.address(), "/", 4, 1).await.unwrap();
    // A live failure has taken it out, and the probes that this calls for fail, too.
    until_state(&weir, "web-2", "Down").await;
    let before = quiet.requests();
    failing.restart();
    until_state(&weir, "web-2", "Up").await;
    assert_eq!(quiet.requests(), before, "who is up is not asked");
    assert_eq!(bodies(weir.address(), "/", 4, 1).await.unwrap()["web-2"], 2);
}

#[tokio::test]
async fn h3_opportunistic_asks_who_is_idle() {
    let [busy, idle] = Backend::start_many("web").await;
    let spec = format!("balance: {{method: FirstAlive}}, {}", active("mode: Opportunistic"));
    let weir = Weir::start(&web(&spec, &[busy.address(), idle.address()])).await;
    assert_eq!(weir.backend("test/web", "web-2").await["state"], "Up", "it starts up");
    idle.stop().await;
    until_state(&weir, "web-2", "Down").await;
    idle.restart();
    until_state(&weir, "web-2", "Up").await;
}

#[tokio::test]
async fn h4_equal_targets_share_a_prober() {
    let [shared, alone] = Backend::start_many("web").await;
    let settings = active("mode: Paranoid");
    let text: String = (0..20)
        .map(|i| {
            let name = format!("pool-{i}");
            let rules = format!("match: [{{hosts: [\"{name}.test\"]}}], {settings}");
            pool(&name, &rules) + &backend(&format!("b{i}"), &name, shared.address(), "")
        })
        .collect();
    let weir = Weir::start(&(text + &web(&settings, &[alone.address()]))).await;
    until_state(&weir, "web-1", "Up").await;
    let before = (shared.requests(), alone.requests());
    more_probes(&alone, 20).await;
    let (shared, alone) = (shared.requests() - before.0, alone.requests() - before.1);
    assert!(shared <= alone * 2, "20 pools cause {shared} probes where one causes {alone}");
}

#[tokio::test]
async fn h2_a_slow_endpoint_delays_no_other() {
    let [slow, quick] = Backend::start_many("web").await;
    slow.set(Behaviour::Silent);
    let spec = "health: {active: {interval: 10s, timeout: 10s, healthyThreshold: 1}}";
    let weir = Weir::start(&web(spec, &[slow.address(), quick.address()])).await;
    until_state(&weir, "web-2", "Up").await;
    assert_eq!(weir.backend("test/web", "web-1").await["state"], "Down");
}

#[tokio::test]
async fn h5_sticky_offline_stays_out_until_someone_enables_it() {
    let [a, b] = Backend::start_many("web").await;
    let spec = "health: {active: {interval: 50ms, healthyThreshold: 1}, stickyOffline: true}";
    let with = |enabled: bool| {
        web(spec, &[])
            + &backend("web-1", "web", a.address(), &format!("enabled: {enabled}"))
            + &backend("web-2", "web", b.address(), "")
    };
    let weir = Weir::start(&with(true)).await;
    until_state(&weir, "web-1", "Up").await;
    a.stop().await;
    until_state(&weir, "web-1", "Down").await;
    a.restart();
    more_probes(&a, 3).await;
    until_state(&weir, "web-1", "Ejected").await;
    until_state(&weir, "web-2", "Up").await;
    assert_eq!(bodies(weir.address(), "/", 4, 1).await.unwrap()["web-2"], 4);
    weir.write("web.yaml", &with(false)).await;
    more_probes(&a, 2).await;
    assert_eq!(weir.backend("test/web", "web-1").await["state"], "Disabled", "no probe overrules a person");
    weir.write("web.yaml", &with(true)).await;
    until_state(&weir, "web-1", "Up").await;
}

#[tokio::test]
async fn c5_probes_come_and_go_with_the_settings_and_lose_no_request() {
    let server = Backend::start("web").await;
    let weir = Weir::start(&web("", &[server.address()])).await;
    let load = Load::start(weir.address(), 4);
    for settings in [active("path: /a"), active("path: /b, mode: Lazy"), String::new(), active("type: TCP")] {
        weir.write("web.yaml", &web(&settings, &[server.address()])).await;
        assert_eq!(weir.backend("test/web", "web-1").await["state"], "Up", "{settings}");
    }
    let tally = load.stop().await;
    assert!(tally.failures.is_empty() && tally.answered > 0, "{tally:?}");
}

/// With retries no client sees it, and the dead one costs at most `maxFails` tries plus those in flight.
#[tokio::test]
async fn r6_one_of_ten_that_dies_costs_no_client_anything() {
    const CLIENTS: usize = 16;
    let backends = Backend::start_many::<10>("web").await;
    let addresses = backends.each_ref().map(Backend::address);
    let spec = "health: {active: {interval: 100ms, healthyThreshold: 1}, passive: {maxFails: 3}}";
    let weir = Weir::start(&web(spec, &addresses)).await;
    for i in 1..=10 {
        until_state(&weir, &format!("web-{i}"), "Up").await;
    }
    let load = Load::start(weir.address(), CLIENTS);
    more_probes(&backends[0], 200).await;
    backends[0].stop().await;
    eventually("it is known", async || {
        let state = weir.backend("test/web", "web-1").await["state"].clone();
        (state == "Down" || state == "Ejected").then_some(())
    })
    .await;
    more_probes(&backends[1], 200).await;
    let tally = load.stop().await;
    assert!(tally.failures.is_empty(), "{:?}", tally.failures.first());
    let fails = weir.samples("weir_backend_fails_total").await;
    let spent: f64 = fails.iter().filter(|(labels, _)| labels.contains("\"web-1\"")).map(|(_, count)| count).sum();
    assert!(spent <= (3 + CLIENTS) as f64, "{spent} tries were spent on the dead one");
    backends[0].restart();
    until_state(&weir, "web-1", "Up").await;
}

/// All die: answers within the configured times, and all is well soon after their return.
#[tokio::test]
async fn r6_when_all_die_answers_say_so_and_traffic_returns_with_them() {
    let backends = Backend::start_many::<3>("web").await;
    let addresses = backends.each_ref().map(Backend::address);
    let spec = "retryAfter: 7s, health: {active: {interval: 100ms, healthyThreshold: 1}}";
    let weir = Weir::start(&web(spec, &addresses)).await;
    until_state(&weir, "web-3", "Up").await;
    for backend in &backends {
        backend.stop().await;
    }
    for name in ["web-1", "web-2", "web-3"] {
        until_state(&weir, name, "Down").await;
    }
    let answer = weir.get("/").await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "7"));
    let back = tokio::time::Instant::now();
    backends.iter().for_each(Backend::restart);
    eventually("traffic returns", async || (weir.get("/").await.status == 200).then_some(())).await;
    assert!(back.elapsed() < Duration::from_secs(10), "{:?}", back.elapsed());
}
