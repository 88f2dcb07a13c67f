//! The source before an API server that is told what to say.

mod api_server;

use std::time::Duration;

use api_server::{Answer, ApiServer};
use kube::Config;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::*;
use crate::contents::{ContentKey, ContentKind, Told};
use crate::publish::Publisher;
use crate::services::ServiceEvent;
use crate::source::{Event, Given};
use crate::status::Board;
use crate::testing::key;

const POOLS: &str = "/apis/weir.dev/v1alpha1/pools";
const BACKENDS: &str = "/apis/weir.dev/v1alpha1/backends";
const PLUGINS: &str = "/apis/weir.dev/v1alpha1/plugins";
const SERVICES: &str = "/api/v1/services";
const SLICES: &str = "/apis/discovery.k8s.io/v1/endpointslices";

/// A source that runs, and the API server it watches.
struct World {
    server: ApiServer,
    batches: mpsc::Receiver<Batch>,
    metrics: Arc<Metrics>,
    wanted: Sender<Wanted>,
    _stop: tokio_util::sync::DropGuard,
}

impl World {
    /// `prepare` tells the API server what to say, before anybody asks.
    async fn start(namespaces: &[&str], prepare: impl FnOnce(&ApiServer)) -> Self {
        let (server, address) = ApiServer::start().await;
        prepare(&server);
        let client = client::client(Config::new(format!("http://{address}").parse().unwrap())).unwrap();
        let namespaces: Vec<String> = namespaces.iter().map(ToString::to_string).collect();
        let metrics = Arc::new(Metrics::new().unwrap());
        let source = KubernetesSource::new(client, &namespaces, metrics.clone());
        let wanted = source.wanted().clone();
        let (sender, batches) = mpsc::channel(64);
        let stop = CancellationToken::new();
        tokio::spawn(source.run(sender, stop.clone()));
        Self { server, batches, metrics, wanted, _stop: stop.drop_guard() }
    }

    /// The next changes of Pools; others are passed over.
    async fn pools(&mut self) -> Vec<String> {
        self.next(|event| match event {
            Event::Reset(Kind::Pool, all) => Some(format!("={}", all.iter().map(one).collect::<Vec<_>>().join(" "))),
            Event::ResetIn(Kind::Pool, namespace, all) => Some(format!("{namespace}={}", all.len())),
            Event::Apply(given) if given.key().kind == Kind::Pool => Some(format!("+{}", one(given))),
            Event::Delete(gone) if gone.kind == Kind::Pool => Some(format!("-{}", gone.name.name())),
            _ => None,
        })
        .await
    }

    async fn next(&mut self, describe: impl Fn(&Event) -> Option<String>) -> Vec<String> {
        loop {
            let batch = timeout(Duration::from_secs(20), self.batches.recv()).await.expect("changes in time").unwrap();
            let described: Vec<String> = batch.changes.iter().filter_map(&describe).collect();
            if !described.is_empty() {
                return described;
            }
        }
    }

    fn failures(&self, kind: &'static str) -> u64 {
        self.metrics.watch_failures(kind).get()
    }
}

fn one(given: &Given) -> String {
    match given {
        Given::Object(object) => object.key.name.name().to_owned(),
        Given::Broken { key, findings, .. } => {
            format!("!{} {}: {}", key.name.name(), findings[0].field, findings[0].message)
        }
    }
}

fn pool(name: &str, version: u64) -> Value {
    object("Pool", name, version, &json!({"weight": 1}))
}

fn object(kind: &str, name: &str, version: u64, spec: &Value) -> Value {
    let metadata = json!({
        "namespace": "default", "name": name, "resourceVersion": version.to_string(), "uid": name, "generation": 1,
        "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}],
    });
    json!({"apiVersion": "weir.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec})
}

#[tokio::test]
async fn a_list_is_told_and_then_each_change() {
    let mut world = World::start(&[], |server| server.put(POOLS, vec![pool("a", 1), pool("b", 2)])).await;
    assert_eq!(world.pools().await, ["=a b"]);
    world.server.watched(POOLS).await;
    world.server.tell(POOLS, "ADDED", &pool("c", 11));
    assert_eq!(world.pools().await, ["+c"]);
    world.server.tell(POOLS, "DELETED", &pool("a", 12));
    assert_eq!(world.pools().await, ["-a"]);
}

#[tokio::test]
async fn rule_1_nothing_is_published_before_the_first_list_of_each_kind() {
    for late in [POOLS, BACKENDS, PLUGINS, SERVICES, SLICES] {
        let world = World::start(&[], |server| {
            server.put(POOLS, vec![pool("a", 1)]);
            server.hold(late, true);
        })
        .await;
        let publisher = Publisher::in_cluster(Arc::new(Board::default()), Sender::default());
        let mut snapshot = publisher.subscribe();
        tokio::spawn(publisher.run(world.batches));
        for path in [POOLS, BACKENDS, PLUGINS, SERVICES, SLICES].into_iter().filter(|path| *path != late) {
            world.server.watched(path).await;
        }
        world.server.requested(late, 1).await;
        assert!(snapshot.borrow().is_none(), "without {late}");
        world.server.hold(late, false);
        timeout(Duration::from_secs(20), snapshot.wait_for(Option::is_some)).await.expect(late).unwrap();
    }
}

#[tokio::test]
async fn rule_1_a_list_of_many_pages_is_told_when_its_last_page_is_there() {
    let mut world = World::start(&[], |server| {
        server.put(POOLS, ["a", "b", "c", "d", "e"].map(|name| pool(name, 1)).into());
        server.page(POOLS, 2);
        server.fail(POOLS, &[Answer(200, None), Answer(500, None)]);
    })
    .await;
    assert_eq!(world.pools().await, ["=a b c d e"]);
    assert_eq!(world.failures("Pool"), 1);
}

#[tokio::test]
async fn s5_a_watch_that_is_too_old_is_followed_by_a_new_list_which_is_told_as_a_whole() {
    let mut world = World::start(&[], |server| server.put(POOLS, vec![pool("a", 1), pool("b", 2)])).await;
    assert_eq!(world.pools().await, ["=a b"]);
    world.server.watched(POOLS).await;
    world.server.put(POOLS, vec![pool("b", 2), pool("c", 21), pool("d", 22)]);
    world.server.page(POOLS, 1);
    // The new list breaks off after its first page, which is no reason to take the rest for deleted.
    world.server.fail(POOLS, &[Answer(200, None), Answer(410, None)]);
    let gone = json!({"kind": "Status", "status": "Failure", "message": "too old", "reason": "Expired", "code": 410});
    world.server.tell(POOLS, "ERROR", &gone);
    assert_eq!(world.pools().await, ["=b c d"]);
    assert_eq!(world.failures("Pool"), 2);
}

#[tokio::test]
async fn s5_a_watch_that_breaks_off_goes_on_from_the_last_change_or_bookmark() {
    let mut world = World::start(&[], |server| server.put(POOLS, vec![pool("a", 1)])).await;
    world.pools().await;
    world.server.watched(POOLS).await;
    world.server.tell(POOLS, "MODIFIED", &pool("a", 13));
    assert_eq!(world.pools().await, ["+a"]);
    world.server.break_off(POOLS);
    assert!(world.server.watched(POOLS).await.last().unwrap().contains("resourceVersion=13"));
    let bookmark = json!({"apiVersion": "weir.dev/v1alpha1", "kind": "Pool", "metadata": {"resourceVersion": "17"}});
    world.server.tell(POOLS, "BOOKMARK", &bookmark);
    world.server.end(POOLS);
    assert!(world.server.watched(POOLS).await.last().unwrap().contains("resourceVersion=17"));
    world.server.tell(POOLS, "DELETED", &pool("a", 18));
    assert_eq!(world.pools().await, ["-a"], "nothing was listed anew");
}

#[tokio::test]
async fn s1_an_object_that_cannot_be_used_harms_no_other_and_its_field_is_named() {
    let broken = object("Pool", "b", 2, &json!({"wieght": 1}));
    let mut world = World::start(&[], |server| {
        server.put(POOLS, vec![pool("a", 1), broken, json!({"metadata": {"namespace": "default", "name": "c"}})]);
    })
    .await;
    assert_eq!(
        world.pools().await,
        [r#"=a !b spec.wieght: unknown field, did you mean "weight"? !c spec: is missing"#]
    );
    world.server.watched(POOLS).await;
    world.server.tell(POOLS, "MODIFIED", &object("Pool", "a", 11, &json!("none")));
    assert_eq!(world.pools().await, [r#"+!a spec: must be a mapping, and is the string "none""#]);
    world.server.tell(POOLS, "MODIFIED", &pool("b", 12));
    assert_eq!(world.pools().await, ["+b"]);
}

#[tokio::test]
async fn s1_a_service_that_cannot_be_read_harms_no_other() {
    let meta = |name: &str| json!({"namespace": "default", "name": name, "resourceVersion": "1"});
    let good = json!({"metadata": meta("a"), "spec": {"ports": [{"port": 80}]}});
    let broken = json!({"metadata": meta("b"), "spec": {"ports": "none"}});
    let mut world = World::start(&[], |server| server.put(SERVICES, vec![good, broken])).await;
    let told = world.next(|event| match event {
        Event::Service(ServiceEvent::Services(listed)) => Some(format!(
            "{:?}",
            listed.all.iter().map(|(name, service)| (name.name(), service.is_some())).collect::<Vec<_>>()
        )),
        _ => None,
    });
    assert_eq!(told.await, [r#"[("a", true), ("b", false)]"#]);
}

#[tokio::test]
async fn throttling_is_waited_out_for_as_long_as_the_api_server_says() {
    let begin = Instant::now();
    let mut world = World::start(&[], |server| {
        server.put(POOLS, vec![pool("a", 1)]);
        server.fail(POOLS, &[Answer(429, Some(1))]);
    })
    .await;
    assert_eq!(world.pools().await, ["=a"]);
    assert!(begin.elapsed() >= Duration::from_secs(1), "{:?}", begin.elapsed());
    assert_eq!(world.failures("Pool"), 0, "it was asked to come again, and did");
}

#[tokio::test]
async fn failures_are_counted_and_tried_again_until_they_end() {
    let mut world = World::start(&[], |server| {
        server.put(POOLS, vec![pool("a", 1)]);
        server.fail(POOLS, &[Answer(403, None), Answer(403, None), Answer(500, None)]);
    })
    .await;
    assert_eq!(world.pools().await, ["=a"]);
    assert_eq!((world.failures("Pool"), world.failures("Backend")), (3, 0));
}

#[tokio::test]
async fn only_the_namespaces_that_are_named_are_asked_for() {
    let mut world = World::start(&["blog", "default"], |_| {}).await;
    assert_eq!(world.pools().await, ["="]);
    for path in ["pools", "backends", "plugins"] {
        world.server.watched(&format!("/apis/weir.dev/v1alpha1/namespaces/default/{path}")).await;
    }
    assert!(world.server.paths().iter().all(|path| path.contains("/namespaces/")), "{:?}", world.server.paths());
    let blog = "/apis/weir.dev/v1alpha1/namespaces/blog/pools";
    world.server.watched(blog).await;
    let gone = json!({"kind": "Status", "status": "Failure", "message": "too old", "reason": "Expired", "code": 410});
    world.server.tell(blog, "ERROR", &gone);
    assert_eq!(world.pools().await, ["blog=0"]);
}

#[tokio::test]
async fn only_slices_of_services_are_asked_for() {
    let world = World::start(&[], |_| {}).await;
    let queries = world.server.watched(SLICES).await;
    assert!(queries.iter().all(|query| query.contains("labelSelector=kubernetes.io%2Fservice-name")), "{queries:?}");
}

#[tokio::test]
async fn the_generation_that_is_judged_is_that_of_the_object() {
    let mut world = World::start(&[], |server| server.put(POOLS, vec![pool("a", 1)])).await;
    let told = world.next(|event| match event {
        Event::Reset(Kind::Pool, all) => match &all[..] {
            [Given::Object(object)] => Some(format!("{} {:?}", object.key, object.generation)),
            _ => None,
        },
        _ => None,
    });
    assert_eq!(told.await, [format!("{} Some(1)", key("Pool", "a"))]);
}

const SECRETS: &str = "/api/v1/namespaces/default/secrets";
const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn wanted(all: &[(ContentKind, &str, u64)]) -> Wanted {
    let key = |kind, name: &str| ContentKey { kind, name: crate::testing::name(name) };
    all.iter().map(|(kind, name, asked)| (key(*kind, name), *asked)).collect()
}

fn secret(version: u64, password: &str) -> Value {
    let metadata = json!({"namespace": "default", "name": "users", "resourceVersion": version.to_string(), "uid": "u"});
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"password": password}})
}

/// What is told of Secrets and `ConfigMaps`.
fn content(event: &Event) -> Option<String> {
    let Event::Content(key, told) = event else { return None };
    Some(match told {
        Told::There(content) => {
            let text = content.entries().iter().map(|(k, v)| format!("{k}={}", String::from_utf8_lossy(v)));
            format!("{key} {}", text.collect::<Vec<_>>().join(" "))
        }
        Told::Missing => format!("{key} is missing"),
        Told::Unreadable(why) => format!("{key}: {why}"),
    })
}

#[tokio::test]
async fn only_the_secrets_and_config_maps_that_are_named_are_asked_for_each_by_its_name() {
    let mut world = World::start(&[], |_| {}).await;
    for path in [POOLS, BACKENDS, PLUGINS, SERVICES, SLICES] {
        world.server.watched(path).await;
    }
    assert_eq!(world.server.paths().len(), 5, "{:?}", world.server.paths());
    world.server.put(SECRETS, vec![secret(1, "b25l")]);
    world.wanted.send_replace(wanted(&[(ContentKind::Secret, "users", 1)]));
    assert_eq!(world.next(content).await, ["Secret default/users password=one"]);
    let queries = world.server.watched(SECRETS).await;
    assert!(queries.iter().all(|query| query.contains("fieldSelector=metadata.name%3Dusers")), "{queries:?}");
    world.server.tell(SECRETS, "MODIFIED", &secret(11, "dHdv"));
    assert_eq!(world.next(content).await, ["Secret default/users password=two"]);
    world.server.tell(SECRETS, "DELETED", &secret(12, "dHdv"));
    assert_eq!(world.next(content).await, ["Secret default/users is missing"]);
    assert!(world.server.paths().iter().all(|path| path != CONFIG_MAPS));
}

#[tokio::test]
async fn what_is_named_and_is_not_there_is_told_and_so_is_what_is_named_again() {
    let mut world = World::start(&[], |_| {}).await;
    world.wanted.send_replace(wanted(&[(ContentKind::ConfigMap, "scripts", 1)]));
    assert_eq!(world.next(content).await, ["ConfigMap default/scripts is missing"]);
    world.server.requested(CONFIG_MAPS, 2).await;
    world.wanted.send_replace(wanted(&[(ContentKind::ConfigMap, "scripts", 2)]));
    assert_eq!(world.next(content).await, ["ConfigMap default/scripts is missing"]);
    world.server.requested(CONFIG_MAPS, 4).await;
    let metadata = json!({"namespace": "default", "name": "scripts", "resourceVersion": "11", "uid": "u"});
    let scripts = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata,
        "data": {"a.lua": "return {}"}, "binaryData": {"b": "aGk="}});
    world.server.tell(CONFIG_MAPS, "ADDED", &scripts);
    assert_eq!(world.next(content).await, ["ConfigMap default/scripts a.lua=return {} b=hi"]);
}

#[tokio::test]
async fn s1_what_may_not_be_read_is_told_once_with_the_reason_and_what_was_told_stays() {
    let mut world = World::start(&[], |server| {
        server.put(SECRETS, vec![secret(1, "b25l")]);
        server.fail(SECRETS, &[Answer(403, None), Answer(403, None)]);
    })
    .await;
    world.wanted.send_replace(wanted(&[(ContentKind::Secret, "users", 1)]));
    let told = world.next(content).await;
    assert!(told[0].starts_with("Secret default/users: not now (403)"), "{told:?}");
    assert_eq!(world.next(content).await, ["Secret default/users password=one"]);
    assert_eq!(world.failures("Secret"), 2);
    world.server.watched(SECRETS).await;
    world.server.fail(SECRETS, &[Answer(500, None)]);
    let gone = json!({"kind": "Status", "status": "Failure", "message": "too old", "reason": "Expired", "code": 410});
    world.server.tell(SECRETS, "ERROR", &gone);
    assert_eq!(world.next(content).await, ["Secret default/users password=one"], "no failure was told");
}
