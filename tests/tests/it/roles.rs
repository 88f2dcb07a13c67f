//! C2, C3 and C6: roles, methods that look at capacity, slow start.

use std::time::Duration;

use tokio::task::JoinHandle;
use weir_tests::load::bodies;
use weir_tests::manifest::{backend, pool};
use weir_tests::{Backend, Response, Weir, eventually, get};

fn request(weir: &Weir) -> JoinHandle<Response> {
    let address = weir.address();
    tokio::spawn(async move { get(address, "/").await.unwrap() })
}

/// Waits until a server works on so many.
async fn busy(server: &Backend, count: u64) {
    eventually(&format!("{count} are in flight"), async || (server.counts().in_flight() == count).then_some(())).await;
}

async fn until_state(weir: &Weir, name: &str, state: &str) {
    eventually(&format!("{name} is {state}"), async || {
        (weir.backend("test/web", name).await["state"] == state).then_some(())
    })
    .await;
}

/// Sends requests until a backend is ejected.
async fn eject(weir: &Weir, name: &str) {
    eventually(&format!("{name} is ejected"), async || {
        weir.get("/").await;
        (weir.backend("test/web", name).await["state"] == "Ejected").then_some(())
    })
    .await;
}

#[tokio::test]
async fn c2_the_story_of_active_standby_and_backup() {
    let [active, standby, backup] = Backend::start_many("web").await;
    let text = pool("web", "health: {passive: {maxFails: 1, failTimeout: 2s}}")
        + &backend("c", "web", active.address(), "capacity: 1")
        + &backend("b", "web", standby.address(), "capacity: 1, role: Standby")
        + &backend("a", "web", backup.address(), "capacity: 1, role: Backup");
    let weir = Weir::start(&text).await;
    assert_eq!(bodies(weir.address(), "/", 10, 1).await.unwrap(), [("web-1".to_owned(), 10)].into());
    // The active one is full: the standby takes over. Both are full: the next waits, and the backup does not help.
    [&active, &standby].iter().for_each(|server| server.hold());
    let mut requests = vec![request(&weir)];
    busy(&active, 1).await;
    requests.push(request(&weir));
    busy(&standby, 1).await;
    requests.push(request(&weir));
    eventually("one waits", async || (weir.state("test/web").await?["queued"]["current"] == 1).then_some(())).await;
    [&active, &standby].iter().for_each(|server| server.release());
    for request in requests {
        assert_ne!(request.await.unwrap().text(), "web-3");
    }
    assert_eq!((backup.requests(), standby.requests() > 0), (0, true));
    // The active one is down: the standby serves. Both are down: the backup does.
    active.stop().await;
    assert_eq!(weir.get("/").await.text(), "web-2");
    standby.stop().await;
    assert_eq!(weir.get("/").await.text(), "web-3", "not one request fails");
    eject(&weir, "b").await;
    assert_eq!(bodies(weir.address(), "/", 10, 1).await.unwrap(), [("web-3".to_owned(), 10)].into());
    // They are back: so is everything.
    active.restart();
    standby.restart();
    until_state(&weir, "c", "Up").await;
    assert_eq!(bodies(weir.address(), "/", 10, 1).await.unwrap(), [("web-1".to_owned(), 10)].into());
}

#[tokio::test]
async fn c2_a_backup_serves_when_all_others_are_disabled() {
    let [active, backup] = Backend::start_many("web").await;
    let text = |enabled: bool| {
        pool("web", "")
            + &backend("web-1", "web", active.address(), &format!("enabled: {enabled}"))
            + &backend("web-2", "web", backup.address(), "role: Backup")
    };
    let weir = Weir::start(&text(true)).await;
    assert_eq!(weir.get("/").await.text(), "web-1");
    weir.write("web.yaml", &text(false)).await;
    assert_eq!(weir.get("/").await.text(), "web-2");
    weir.write("web.yaml", &text(true)).await;
    assert_eq!(weir.get("/").await.text(), "web-1");
    assert_eq!(weir.backend("test/web", "web-2").await["role"], "Backup");
}

#[tokio::test]
async fn c3_fill_uses_the_first_as_long_as_it_has_room_and_least_load_who_has_most() {
    for (method, expected) in [("Fill", [2, 3, 0]), ("LeastLoad", [0, 2, 3])] {
        let servers = Backend::start_many::<3>("web").await;
        let rows = servers.iter().zip([2, 4, 5]).enumerate().map(|(place, (server, capacity))| {
            backend(&format!("web-{place}"), "web", server.address(), &format!("capacity: {capacity}"))
        });
        let text = pool("web", &format!("balance: {{method: {method}}}")) + &rows.collect::<String>();
        let weir = Weir::start(&text).await;
        servers.iter().for_each(Backend::hold);
        let mut requests = Vec::new();
        for sent in 1..=5 {
            requests.push(request(&weir));
            let arrived = || servers.iter().map(Backend::requests).sum::<u64>();
            eventually("it arrives", || std::future::ready((arrived() == sent).then_some(()))).await;
        }
        assert_eq!(servers.iter().map(Backend::requests).collect::<Vec<_>>(), expected, "{method}");
        servers.iter().for_each(Backend::release);
        for request in requests {
            assert_eq!(request.await.unwrap().status, 200);
        }
    }
}

#[tokio::test]
async fn c6_a_backend_that_came_up_gets_a_tenth_of_its_share_at_first() {
    const REQUESTS: usize = 2_000;
    let [steady, returns] = Backend::start_many("web").await;
    let text = pool("web", "health: {slowStart: 1h, passive: {maxFails: 1, failTimeout: 200ms}}")
        + &backend("web-1", "web", steady.address(), "")
        + &backend("web-2", "web", returns.address(), "");
    let weir = Weir::start(&text).await;
    let even = bodies(weir.address(), "/", REQUESTS, 4).await.unwrap();
    assert_eq!(even["web-2"], REQUESTS / 2, "nobody is new at the start");
    returns.stop().await;
    eject(&weir, "web-2").await;
    returns.restart();
    until_state(&weir, "web-2", "Up").await;
    let shares = bodies(weir.address(), "/", REQUESTS, 4).await.unwrap();
    // A tenth of a half, but for five standard deviations.
    assert!((50..=150).contains(&shares["web-2"]), "{shares:?}");
    let without = text.replace("slowStart: 1h", "slowStart: 0s");
    weir.write("web.yaml", &without).await;
    let even = bodies(weir.address(), "/", REQUESTS, 4).await.unwrap();
    assert_eq!(even["web-2"], REQUESTS / 2);
}

#[tokio::test]
async fn c6_a_new_backend_gets_few_requests_at_first() {
    const REQUESTS: usize = 2_000;
    let [old, new] = Backend::start_many("web").await;
    let text = pool("web", "health: {slowStart: 1h}") + &backend("web-1", "web", old.address(), "");
    let weir = Weir::start(&text).await;
    weir.write("web.yaml", &(text + &backend("web-2", "web", new.address(), ""))).await;
    let shares = bodies(weir.address(), "/", REQUESTS, 4).await.unwrap();
    assert!((50..=150).contains(&shares["web-2"]), "{shares:?}");
}

#[tokio::test]
async fn c6_queued_requests_do_not_wait_for_a_backend_to_warm_up() {
    let server = Backend::start("web-1").await;
    let spec = "queue: {whenUnavailable: true}, health: {slowStart: 1h, passive: {maxFails: 1, failTimeout: 500ms}}";
    let weir = Weir::start(&(pool("web", spec) + &backend("web-1", "web", server.address(), ""))).await;
    server.stop().await;
    assert_eq!(weir.get("/").await.status, 504);
    let requests: Vec<_> = (0..10).map(|_| request(&weir)).collect();
    server.restart();
    for request in requests {
        let answer = tokio::time::timeout(Duration::from_secs(30), request).await.expect("no long wait");
        assert_eq!(answer.unwrap().status, 200);
    }
}
