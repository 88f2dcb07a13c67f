//! U1, S5, S6: Backends that name a Service. Who is in the Service arrives on its own; the test plays the control
//! plane.

use serde_json::Value;
use weir_proto::pb::{Pool, ServiceEndpoint};
use weir_tests::load::bodies;
use weir_tests::scripted::{Session, backend, endpoint, endpoints, pool, service_backend, terminating};
use weir_tests::{Backend, DataPlane, Load, Scripted, eventually, get};

struct World {
    _control: Scripted,
    session: Session,
    proxy: DataPlane,
}

impl World {
    /// A proxy whose Pool `web` has the Backend `web`, with the Service's endpoints.
    async fn start(endpoints: Vec<ServiceEndpoint>, change: impl FnOnce(&mut Pool)) -> Self {
        let mut world = Self::empty().await;
        world.set(endpoints).await;
        let refused = world.session.deliver(vec![service_backend("web", "web"), pool("web", change)]).await;
        assert_eq!(refused, []);
        world
    }

    async fn empty() -> Self {
        let mut control = Scripted::start().await;
        let proxy = DataPlane::builder(control.address()).start_unready();
        let (session, _) = control.accept().await;
        Self { _control: control, session, proxy }
    }

    async fn set(&mut self, now: Vec<ServiceEndpoint>) {
        assert_eq!(self.session.deliver(vec![endpoints("web", now)]).await, []);
    }

    /// Each endpoint, as the proxy tells of it.
    async fn state(&self) -> Vec<Value> {
        let pool = get(self.proxy.admin(), "/api/v1/pools/test/web").await.unwrap().json();
        pool["backends"].as_array().unwrap().clone()
    }

    /// Waits until the proxy has nothing more to do with a server.
    async fn gone(&self, server: &Backend) {
        let address = server.address().to_string();
        eventually("it has drained", async || self.state().await.iter().all(|e| e["address"] != address).then_some(()))
            .await;
    }

    async fn answers(&self) -> String {
        get(self.proxy.address(), "/").await.unwrap().text()
    }
}

#[tokio::test]
async fn r1_s6_endpoints_roll_under_load_without_a_failed_request() {
    let first: [Backend; 3] = Backend::start_many("old").await;
    let mut serving = Vec::from(first);
    let all = |serving: &[Backend]| serving.iter().map(|server| endpoint(server.address())).collect::<Vec<_>>();
    let mut world = World::start(all(&serving), |_| ()).await;
    let load = Load::start(world.proxy.address(), 8);
    for i in 0..30 {
        serving.push(Backend::start(&format!("new-{i}")).await);
        world.set(all(&serving)).await;
        let oldest = serving.remove(0);
        let mut leaving = all(&serving);
        leaving.push(terminating(oldest.address()));
        world.set(leaving).await;
        world.set(all(&serving)).await;
        world.gone(&oldest).await;
        oldest.stop().await;
        let newest = serving.last().unwrap();
        eventually("the new one serves", async || (newest.requests() > 0).then_some(())).await;
    }
    let tally = load.stop().await;
    assert_eq!(tally.failures, [""; 0]);
    assert!(tally.answered > 100, "{}", tally.answered);
}

#[tokio::test]
async fn c1_a_terminating_endpoint_is_asked_only_while_no_other_is_up() {
    let [leaving, other] = Backend::start_many("web").await;
    let both = vec![terminating(leaving.address()), endpoint(other.address())];
    let once = |pool: &mut Pool| {
        pool.health.as_mut().unwrap().passive.as_mut().unwrap().max_fails = 1;
        pool.retry.as_mut().unwrap().attempts = 0;
    };
    let world = World::start(both, once).await;
    let counts = bodies(world.proxy.address(), "/", 40, 4).await.unwrap();
    assert_eq!(counts, [("web-2".to_owned(), 40)].into());
    other.stop().await;
    // Each request may find out that the other one is down, or be answered: there are no second tries.
    eventually("the last resort", async || (world.answers().await == "web-1").then_some(())).await;
    let counts = bodies(world.proxy.address(), "/", 40, 4).await.unwrap();
    assert_eq!(counts, [("web-1".to_owned(), 40)].into());
}

#[tokio::test]
async fn s5_a_request_to_an_endpoint_that_begins_to_terminate_finishes() {
    let [leaving, other] = Backend::start_many("web").await;
    let mut world = World::start(vec![endpoint(leaving.address())], |_| ()).await;
    leaving.hold();
    let address = world.proxy.address();
    let running = tokio::spawn(async move { get(address, "/").await.unwrap().text() });
    eventually("it runs", async || (leaving.requests() == 1).then_some(())).await;
    world.set(vec![terminating(leaving.address()), endpoint(other.address())]).await;
    let state = world.state().await;
    let of = |server: &Backend| state.iter().find(|e| e["address"] == server.address().to_string()).unwrap();
    assert_eq!((&of(&leaving)["state"], &of(&leaving)["reason"]), (&"Draining".into(), &"terminating".into()));
    assert_eq!(of(&other)["state"], "Up");
    world.set(vec![endpoint(other.address())]).await;
    assert_eq!(world.answers().await, "web-2");
    leaving.release();
    assert_eq!(running.await.unwrap(), "web-1");
    world.gone(&leaving).await;
}

#[tokio::test]
async fn u1_endpoints_backend_and_pool_come_and_go_in_any_order() {
    let server = Backend::start("web-1").await;
    let mut world = World::empty().await;
    let parts =
        [endpoints("web", vec![endpoint(server.address())]), service_backend("web", "web"), pool("web", |_| ())];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        for part in order {
            assert_eq!(world.session.deliver(vec![parts[part].clone()]).await, []);
        }
        assert_eq!(world.answers().await, "web-1", "{order:?}");
        for (place, part) in order.iter().enumerate() {
            world.session.remove(&parts[*part..=*part]).await;
            let status = get(world.proxy.address(), "/").await.unwrap().status;
            let pool_is_gone = order[..=place].contains(&2);
            assert_eq!(status, if pool_is_gone { 404 } else { 503 }, "{order:?} without {part}");
        }
    }
}

#[tokio::test]
async fn u1_labels_of_an_endpoint_are_seen_over_those_of_its_backend() {
    let server = Backend::start("web-1").await;
    let mut here = endpoint(server.address());
    here.labels = [("zone".to_owned(), "b".to_owned())].into();
    let world = World::start(vec![here], |_| ()).await;
    assert_eq!(world.state().await[0]["labels"], serde_json::json!({"zone": "b"}));
}

#[tokio::test]
async fn c5_a_backend_may_change_from_an_address_to_a_service_and_back() {
    let [fixed, member] = Backend::start_many("web").await;
    let mut world = World::start(vec![endpoint(member.address())], |_| ()).await;
    let load = Load::start(world.proxy.address(), 4);
    for _ in 0..5 {
        assert_eq!(world.session.deliver(vec![backend("web", "web", fixed.address())]).await, []);
        assert_eq!(world.answers().await, "web-1");
        assert_eq!(world.session.deliver(vec![service_backend("web", "web")]).await, []);
        assert_eq!(world.answers().await, "web-2");
    }
    assert_eq!(load.stop().await.failures, [""; 0]);
}

#[tokio::test]
async fn s2_endpoints_are_on_disk_and_held_like_all_else() {
    let server = Backend::start("web-1").await;
    let cache = tempfile::tempdir().unwrap();
    let mut control = Scripted::start().await;
    let builder = |control: &Scripted| DataPlane::builder(control.address()).cache(cache.path());
    let proxy = builder(&control).start_unready();
    let (mut session, _) = control.accept().await;
    let all =
        vec![endpoints("web", vec![endpoint(server.address())]), service_backend("web", "web"), pool("web", |_| ())];
    assert_eq!(session.deliver(all.clone()).await, []);
    proxy.stop().await;
    let proxy = builder(&control).start().await;
    assert_eq!(get(proxy.address(), "/").await.unwrap().text(), "web-1");
    let (_session, subscribe) = control.accept().await;
    let mut held: Vec<_> = subscribe.held.into_iter().map(|held| held.version).collect();
    let mut given: Vec<_> = all.into_iter().map(|resource| resource.version).collect();
    held.sort();
    given.sort();
    assert_eq!(held, given);
}
