//! C7: requests that name their backend.

use http::Request;
use weir_tests::client::full;
use weir_tests::manifest::{backend, pool};
use weir_tests::{Backend, Behaviour, Response, Weir, eventually, send};

/// A Pool `web` that takes the name from the header `x-backend`, with two backends.
fn directed(spec: &str, servers: [&Backend; 2], more: &str) -> String {
    pool("web", &format!("direct: {{header: X-Backend}}, {spec}"))
        + &backend("web-1", "web", servers[0].address(), "")
        + &backend("web-2", "web", servers[1].address(), more)
}

async fn ask(weir: &Weir, name: &str) -> Response {
    let request = Request::get("/").header("x-backend", name).body(full("")).unwrap();
    send(weir.address(), request).await.unwrap()
}

#[tokio::test]
async fn c7_a_directed_request_goes_to_its_backend_whatever_weight_and_role_it_has() {
    for more in ["weight: 0", "role: Backup", ""] {
        let [a, b] = Backend::start_many("web").await;
        let weir = Weir::start(&directed("balance: {method: FirstAlive}", [&a, &b], more)).await;
        for (name, answer) in [("web-2", "web-2"), ("web-1", "web-1"), ("", "web-1")] {
            assert_eq!(ask(&weir, name).await.text(), answer, "{more} {name:?}");
        }
    }
}

#[tokio::test]
async fn c7_a_cookie_may_name_the_backend() {
    let [a, b] = Backend::start_many("web").await;
    let text = directed("", [&a, &b], "").replace("{header: X-Backend}", "{cookie: X-Backend}");
    let weir = Weir::start(&text).await;
    for _ in 0..4 {
        let request = Request::get("/").header("cookie", "a=b; X-Backend=web-2").body(full("")).unwrap();
        assert_eq!(send(weir.address(), request).await.unwrap().text(), "web-2");
    }
}

#[tokio::test]
async fn c7_a_directed_request_is_never_queued() {
    let [a, b] = Backend::start_many("web").await;
    let weir = Weir::start(&directed("", [&a, &b], "capacity: 1")).await;
    b.hold();
    let requests: Vec<_> = (0..3)
        .map(|_| {
            let request = Request::get("/").header("x-backend", "web-2").body(full("")).unwrap();
            tokio::spawn(send(weir.address(), request))
        })
        .collect();
    eventually("all are there", async || (b.counts().in_flight() == 3).then_some(())).await;
    assert_eq!(weir.get("/").await.text(), "web-1", "who is free to choose goes elsewhere");
    b.release();
    for request in requests {
        assert_eq!(request.await.unwrap().unwrap().text(), "web-2");
    }
}

#[tokio::test]
async fn c7_who_is_unknown_disabled_or_down_is_503_and_nobody_steps_in() {
    let [a, b] = Backend::start_many("web").await;
    let spec = "health: {passive: {maxFails: 1, failTimeout: 1h}}";
    let next = pool("next", "priority: 1") + &backend("next-1", "next", a.address(), "");
    let weir = Weir::start(&(directed(spec, [&a, &b], "") + &next)).await;
    for unknown in ["web-3", "test/web-1", "WEB-1", "next-1", "\u{e9}"] {
        let refused = ask(&weir, unknown).await;
        assert_eq!((refused.status, refused.header("retry-after")), (503, "10"), "{unknown}");
    }
    b.stop().await;
    assert_eq!(ask(&weir, "web-2").await.status, 504, "it is not known to be down yet");
    assert_eq!(weir.backend("test/web", "web-2").await["state"], "Ejected");
    assert_eq!(ask(&weir, "web-2").await.status, 503);
    weir.write("web.yaml", &(directed(spec, [&a, &b], "enabled: false") + &next)).await;
    assert_eq!(ask(&weir, "web-2").await.status, 503);
    let reasons = weir.state("test/web").await.unwrap()["dropped"]["byReason"].take();
    assert_eq!((&reasons["no_backend"], &reasons["disabled"]), (&6.into(), &1.into()));
    assert_eq!(a.requests(), 0);
}

#[tokio::test]
async fn c7_a_directed_request_is_not_tried_again() {
    let [a, b] = Backend::start_many("web").await;
    b.set(Behaviour::CloseEarly);
    let weir = Weir::start(&directed("", [&a, &b], "")).await;
    assert_eq!(ask(&weir, "web-2").await.status, 502);
    assert_eq!((a.requests(), b.requests()), (0, 1));
}

#[tokio::test]
async fn c7_plugins_still_let_a_directed_request_in_or_not() {
    let [a, b] = Backend::start_many("web").await;
    let guard = "plugins: [{type: Require, param: {headers: [{name: x-tester, type: Present}]}}]";
    let weir = Weir::start(&directed(guard, [&a, &b], "")).await;
    assert_eq!(ask(&weir, "web-2").await.status, 403);
    let request = Request::get("/").header("x-backend", "web-2").header("x-tester", "1").body(full("")).unwrap();
    assert_eq!(send(weir.address(), request).await.unwrap().text(), "web-2");
}
