//! The graceful stop of a proxy.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;
use weir_tests::manifest::{backend, pool, web};
use weir_tests::port::free_address;
use weir_tests::program::Program;
use weir_tests::{Backend, Behaviour, Client, DataPlane, Load, RawClient, Replica, Weir, eventually, get, within};

#[tokio::test]
async fn a_stopping_proxy_is_not_ready_closes_connections_and_finishes_requests() {
    let server = Backend::start("web-1").await;
    let text = web("", &[server.address()]);
    let weir = Weir::builder().drain_delay(Duration::from_millis(500)).file("web.yaml", &text).start().await;
    let (address, admin) = (weir.address(), weir.admin());
    let mut idle = Client::connect(address).await.unwrap();
    idle.get("/").await.unwrap();
    server.hold();
    let mut busy = weir.client().await;
    let held = tokio::spawn(async move { busy.get("/").await.unwrap() });
    eventually("a request is upstream", async || (server.counts().in_flight() == 1).then_some(())).await;

    let stopping = tokio::spawn(weir.stop());
    eventually("the proxy is not ready", async || (get(admin, "/readyz").await.ok()?.status == 503).then_some(()))
        .await;
    eventually("new connections are refused", async || TcpStream::connect(address).await.is_err().then_some(())).await;
    server.release();
    let response = held.await.unwrap();
    assert_eq!((response.status, response.header("connection")), (200, "close"));
    stopping.await.unwrap();
}

#[tokio::test]
async fn idle_connections_of_a_stopping_proxy_close_one_after_the_other() {
    let server = Backend::start("web-1").await;
    let text = web("", &[server.address()]);
    let builder = Weir::builder().workers(1).drain_timeout(Duration::from_secs(8));
    let weir = builder.file("web.yaml", &text).start().await;
    let mut idle = Vec::new();
    for _ in 0..20 {
        let mut client = weir.client().await;
        client.get("/").await.unwrap();
        idle.push(client);
    }
    let stopping = tokio::spawn(weir.stop());
    let mut closed = Vec::new();
    while closed.len() < idle.len() {
        let now = idle.iter().filter(|client| client.is_closed()).count();
        closed.resize(now, Instant::now());
        assert!(!stopping.is_finished() || now == idle.len());
        tokio::time::sleep(Duration::from_millis(20)).await; // how often it looks, not how long it waits
    }
    let (first, last) = (closed[0], closed[idle.len() - 1]);
    assert!(last - first >= Duration::from_secs(1), "all within {:?}", last - first);
    assert!(closed.iter().filter(|at| **at - first < Duration::from_millis(500)).count() <= idle.len() / 2);
    stopping.await.unwrap();
}

#[tokio::test]
async fn a_proxy_that_is_dropped_leaves_nothing_behind() {
    let server = Backend::start("web-1").await;
    let probed = pool("web", "health: {active: {type: HTTP, interval: 20ms, timeout: 10ms}}")
        + &backend("web-1", "web", server.address(), "");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("web.yaml"), probed).unwrap();
    let control = Replica::start(folder.path(), "127.0.0.1:0", &[]).await;
    let proxy = DataPlane::builder(control.grpc()).start().await;
    let address = proxy.address();
    eventually("it probes", async || (server.requests() > 2).then_some(())).await;
    drop(proxy);
    eventually("it accepts no more", async || TcpStream::connect(address).await.is_err().then_some(())).await;
    control.has_proxies(0.0).await;
    eventually("it probes no more", async || {
        let before = server.requests();
        tokio::time::sleep(Duration::from_millis(200)).await; // ten intervals
        (server.requests() == before).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_deadline_ends_requests_that_do_not_finish() {
    let server = Backend::start("web-1").await;
    server.hold();
    let weir = Weir::start(&web("", &[server.address()])).await;
    let (address, admin) = (free_address(), free_address());
    let (control_plane, listen) = (format!("http://{}", weir.grpc()), format!("http={address}"));
    let admin_flag = format!("--admin={admin}");
    let flags = ["--control-plane", &control_plane, "--listen", &listen, &admin_flag];
    let mut proxy =
        Program::start("weir-data-plane", &[&flags[..], &["--drain-delay=0s", "--drain-timeout=200ms"]].concat());
    eventually("the proxy is ready", async || (get(admin, "/readyz").await.ok()?.status == 200).then_some(())).await;
    let held = tokio::spawn(async move { get(address, "/").await.is_err() });
    eventually("a request is upstream", async || (server.counts().in_flight() == 1).then_some(())).await;
    proxy.signal("TERM");
    assert_eq!(proxy.exit_code().await, 0, "{}", proxy.output());
    assert!(held.await.unwrap());
}

#[tokio::test]
async fn a_tunnel_is_served_until_the_deadline_and_then_cut() {
    let server = Backend::start("web-1").await;
    server.set(Behaviour::Echo);
    let deadline = Duration::from_secs(1);
    let text = web("", &[server.address()]);
    let weir = Weir::builder().drain_timeout(deadline).file("web.yaml", &text).start().await;
    let mut tunnel = RawClient::tunnel(weir.address()).await.unwrap();
    assert_eq!(weir.metric("weir_connections_active").await, 1.0);
    let (address, began) = (weir.address(), Instant::now());
    let stopping = tokio::spawn(weir.stop());
    eventually("new connections are refused", async || TcpStream::connect(address).await.is_err().then_some(())).await;
    while tunnel.send("more;").await.is_ok() && tunnel.read_until(";").await.is_ok() {}
    assert!(began.elapsed() >= deadline, "cut after {:?}", began.elapsed());
    stopping.await.unwrap();
}

#[tokio::test]
async fn r1_a_leaving_proxy_says_close_to_each_connection_at_its_turn() {
    let text = pool("web", "match: [{path: {type: Exact, value: /web}}]");
    let builder = Weir::builder().drain_delay(Duration::from_secs(1)).drain_timeout(Duration::from_secs(4));
    let weir = builder.file("web.yaml", &text).start().await;
    let (mut routed, mut unrouted) = (weir.client().await, weir.client().await);
    // The connections begin: turns go by the order in which they do.
    for (client, path) in [(&mut routed, "/web"), (&mut unrouted, "/")] {
        client.get(path).await.unwrap();
    }
    let (began, stopping) = (Instant::now(), tokio::spawn(weir.stop()));
    let mut ended = Vec::new();
    for (client, path, status) in [(&mut routed, "/web", 503), (&mut unrouted, "/", 404)] {
        let in_use = async {
            loop {
                let response = client.get(path).await.unwrap();
                assert_eq!(response.status, status);
                if response.header("connection") == "close" {
                    return;
                }
            }
        };
        within("an answer that says close", in_use).await;
        ended.push(began.elapsed());
    }
    assert!(ended[1] - ended[0] > Duration::from_millis(500), "one after the other: {ended:?}");
    stopping.await.unwrap();
}

#[tokio::test]
async fn no_request_fails_while_the_proxy_is_not_ready_but_still_accepts() {
    let server = Backend::start("web-1").await;
    let text = web("", &[server.address()]);
    let weir = Weir::builder().drain_delay(Duration::from_secs(1)).file("web.yaml", &text).start().await;
    let (load, admin) = (Load::start(weir.address(), 4), weir.admin());
    let stopping = tokio::spawn(weir.stop());
    eventually("the proxy is not ready", async || (get(admin, "/readyz").await.ok()?.status == 503).then_some(()))
        .await;
    let tally = load.stop().await;
    assert_eq!(tally.failures, Vec::<String>::new());
    stopping.await.unwrap();
}
