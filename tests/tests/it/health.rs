//! H1, H6, H7, H8: who is up.

use weir_tests::load::bodies;
use weir_tests::manifest::{backend, web};
use weir_tests::{Backend, Behaviour, Reply, Weir, eventually};

async fn until_state(weir: &Weir, name: &str, state: &str) {
    eventually(&format!("{name} is {state}"), async || {
        (weir.backend("test/web", name).await["state"] == state).then_some(())
    })
    .await;
}

#[tokio::test]
async fn h1_failures_take_an_endpoint_down_and_after_the_time_it_returns() {
    let [a, b] = Backend::start_many("web").await;
    let spec = "balance: {method: FirstAlive}, health: {passive: {maxFails: 3, failTimeout: 500ms}}";
    let weir = Weir::start(&web(spec, &[a.address(), b.address()])).await;
    a.stop().await;
    for fails in 1..=3 {
        assert_eq!(weir.backend("test/web", "web-1").await["state"], "Up");
        assert_eq!(weir.get("/").await.text(), "web-2");
        assert_eq!(weir.backend("test/web", "web-1").await["fails"], fails);
    }
    assert_eq!(weir.backend("test/web", "web-1").await["state"], "Ejected");
    a.restart();
    until_state(&weir, "web-1", "Up").await;
    assert_eq!(weir.backend("test/web", "web-1").await["fails"], 0);
    assert_eq!(weir.get("/").await.text(), "web-1");
}

#[tokio::test]
async fn h1_after_a_return_one_failure_takes_it_down_again() {
    let [a, b] = Backend::start_many("web").await;
    let spec = "balance: {method: FirstAlive}, health: {passive: {maxFails: 3, failTimeout: 500ms}}";
    let weir = Weir::start(&web(spec, &[a.address(), b.address()])).await;
    a.stop().await;
    bodies(weir.address(), "/", 5, 1).await.unwrap();
    until_state(&weir, "web-1", "Up").await;
    weir.get("/").await;
    assert_eq!(weir.backend("test/web", "web-1").await["state"], "Ejected");
}

#[tokio::test]
async fn h1_broken_responses_timeouts_and_listed_statuses_count() {
    let [a, b] = Backend::start_many("web").await;
    let spec = "balance: {method: FirstAlive}, timeouts: {read: 100ms}, \
                health: {passive: {maxFails: 1, statuses: ['5xx']}}";
    for behaviour in [Behaviour::CloseEarly, Behaviour::Silent, Reply::status(500).into(), Behaviour::raw("no\r\n\r\n")]
    {
        let weir = Weir::start(&web(spec, &[a.address(), b.address()])).await;
        a.set(behaviour.clone());
        weir.get("/").await;
        assert_eq!(weir.backend("test/web", "web-1").await["state"], "Ejected", "{behaviour:?}");
        assert_eq!(weir.get("/").await.text(), "web-2");
    }
}

#[tokio::test]
async fn h1_max_fails_zero_turns_it_off() {
    let [a, b] = Backend::start_many("web").await;
    let spec = "balance: {method: FirstAlive}, health: {passive: {maxFails: 0}}";
    let weir = Weir::start(&web(spec, &[a.address(), b.address()])).await;
    a.stop().await;
    assert_eq!(bodies(weir.address(), "/", 10, 1).await.unwrap()["web-2"], 10);
    assert_eq!(weir.backend("test/web", "web-1").await["state"], "Up");
}

#[tokio::test]
async fn h6_disabled_means_no_new_requests_until_a_person_says_otherwise() {
    let [a, b] = Backend::start_many("web").await;
    let spec = "balance: {method: FirstAlive}, health: {passive: {maxFails: 1, failTimeout: 100ms}}";
    let on = web(spec, &[a.address(), b.address()]);
    let weir = Weir::start(&on).await;
    a.stop().await;
    weir.get("/").await;
    until_state(&weir, "web-1", "Ejected").await;
    let off = web(spec, &[])
        + &backend("web-1", "web", a.address(), "enabled: false")
        + &backend("web-2", "web", b.address(), "");
    weir.write("web.yaml", &off).await;
    until_state(&weir, "web-1", "Disabled").await;
    a.restart();
    // Longer than the ejection lasts: the timer changes nothing.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(weir.backend("test/web", "web-1").await["state"], "Disabled");
    assert_eq!(bodies(weir.address(), "/", 10, 1).await.unwrap()["web-2"], 10);
    weir.write("web.yaml", &on).await;
    until_state(&weir, "web-1", "Up").await;
    assert_eq!(weir.backend("test/web", "web-1").await["fails"], 0);
    assert_eq!(weir.get("/").await.text(), "web-1");
}

#[tokio::test]
async fn h7_each_real_transition_is_counted_once() {
    let [a, b] = Backend::start_many("web").await;
    let spec = "balance: {method: FirstAlive}, health: {passive: {maxFails: 2, failTimeout: 200ms}}";
    let weir = Weir::start(&web(spec, &[a.address(), b.address()])).await;
    a.stop().await;
    bodies(weir.address(), "/", 10, 4).await.unwrap();
    a.restart();
    until_state(&weir, "web-1", "Up").await;
    let transitions = weir.samples("weir_health_transitions_total").await;
    let of_a: Vec<_> = transitions.into_iter().filter(|(labels, _)| labels.contains("backend=\"web-1\"")).collect();
    assert_eq!(of_a.iter().map(|(_, value)| *value).collect::<Vec<_>>(), [1.0, 1.0], "{of_a:?}");
    assert_eq!(weir.sample("weir_backend_up", "backend=\"web-1\"").await, Some(1.0));
}

#[tokio::test]
async fn h7_enabling_an_ejected_backend_is_one_return() {
    let [a, b] = Backend::start_many("web").await;
    let spec = "balance: {method: FirstAlive}, health: {passive: {maxFails: 1}}";
    let with = |enabled: bool| {
        web(spec, &[])
            + &backend("web-1", "web", a.address(), &format!("enabled: {enabled}"))
            + &backend("web-2", "web", b.address(), "")
    };
    let weir = Weir::start(&with(true)).await;
    a.stop().await;
    weir.get("/").await;
    assert_eq!(weir.backend("test/web", "web-1").await["state"], "Ejected");
    for enabled in [false, true] {
        weir.write("web.yaml", &with(enabled)).await;
    }
    assert_eq!(weir.backend("test/web", "web-1").await["state"], "Up");
    for to in ["up", "down"] {
        let labels = format!("backend=\"web-1\",pool=\"test/web\",to=\"{to}\"");
        assert_eq!(weir.sample("weir_health_transitions_total", &labels).await, Some(1.0), "{to}");
    }
    assert_eq!(weir.sample("weir_backend_up", "backend=\"web-1\"").await, Some(1.0));
}

#[tokio::test]
async fn h8_with_too_few_up_all_are_used_and_a_gauge_says_so() {
    let [a, b] = Backend::start_many("web").await;
    let spec = "retry: {attempts: 0}, health: {panicThreshold: 60, passive: {maxFails: 1, statuses: ['500']}}";
    let weir = Weir::start(&web(spec, &[a.address(), b.address()])).await;
    a.set(Reply::status(500));
    for _ in 0..2 {
        weir.get("/").await;
    }
    assert_eq!(weir.backend("test/web", "web-1").await["state"], "Ejected");
    let before = a.requests();
    bodies_of_any_status(&weir, 10).await;
    assert_eq!(a.requests() - before, 5, "half of the backends up is below 60%: both are used");
    assert_eq!(weir.sample("weir_pool_panic", "pool=\"test/web\"").await, Some(1.0));
}

async fn bodies_of_any_status(weir: &Weir, count: usize) {
    let mut client = weir.client().await;
    for _ in 0..count {
        client.get("/").await.unwrap();
    }
}
