//! S1, S4, H7 in a cluster: what `kubectl get` and `kubectl describe` say, and which replica writes it.

use std::time::Duration;

use http::Request;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};
use weir_tests::client::full;
use weir_tests::kube::Namespace;
use weir_tests::{Backend, DataPlane, Kube, Replica, Reply, eventually, get, send};

struct World {
    kube: Kube,
    namespace: Namespace,
}

impl World {
    async fn new() -> Self {
        let kube = Kube::shared().await;
        kube.crds().await;
        Self { namespace: kube.namespace().await, kube }
    }

    async fn replica(&self, pod: &str) -> Replica {
        Replica::in_cluster(&self.kube, &self.namespace, pod).await
    }

    async fn apply(&self, manifests: &str) {
        self.kube.apply_in(&self.namespace, manifests).await.unwrap();
    }

    async fn kubectl(&self, arguments: &[&str]) -> String {
        self.kube.kubectl(&[arguments, &["--namespace", &self.namespace]].concat()).await.unwrap()
    }

    fn api(&self, kind: &str) -> Api<DynamicObject> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("weir.dev", "v1alpha1", kind));
        Api::namespaced_with(self.kube.client(), &self.namespace, &resource)
    }

    async fn object(&self, kind: &str, name: &str) -> Value {
        serde_json::to_value(self.api(kind).get(name).await.unwrap()).unwrap()
    }

    /// Waits until an object is as wanted.
    async fn becomes(&self, kind: &str, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let object = async || Some(self.object(kind, name).await).filter(&wanted);
        eventually(&format!("{kind} {name} is as wanted"), object).await
    }

    /// Reason and note of each Event about an object, in order.
    async fn events(&self, name: &str) -> Vec<String> {
        let about = format!("regarding.name={name}");
        let list = self.kubectl(&["get", "events.v1.events.k8s.io", "--field-selector", &about, "-o", "json"]).await;
        let list: Value = serde_json::from_str(&list).unwrap();
        let mut events: Vec<&Value> = list["items"].as_array().unwrap().iter().collect();
        events.sort_by_key(|event| event["eventTime"].as_str().unwrap());
        let text =
            |event: &&Value| format!("{} {} {}", word(event, "type"), word(event, "reason"), word(event, "note"));
        events.iter().map(text).collect()
    }
}

fn word<'a>(event: &'a Value, field: &str) -> &'a str {
    event[field].as_str().unwrap_or_default()
}

fn manifest(kind: &str, name: &str, spec: &str) -> String {
    format!("---\napiVersion: weir.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n")
}

fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)
}

fn has(kind: &'static str, status: &'static str, reason: &'static str) -> impl Fn(&Value) -> bool {
    move |object| condition(object, kind).is_some_and(|c| c["status"] == status && c["reason"] == reason)
}

/// The words of each line, without the age.
fn table(text: &str) -> Vec<Vec<&str>> {
    text.lines().filter(|line| !line.is_empty()).map(|line| line.split_whitespace().collect()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the test cluster: tests/run starts it"]
async fn s4_kubectl_get_shows_what_is_up_and_what_is_in_force() {
    let world = World::new().await;
    let replica = world.replica("a").await;
    let server = Backend::start("web-1").await;
    let address = server.address().to_string();
    world
        .apply(&manifest("Pool", "base", "priority: 7, balance: {method: Random}, match: [{hosts: [none.example]}]"))
        .await;
    world.apply(&manifest("Pool", "web", "inherit: base, match: []")).await;
    world.apply(&manifest("Backend", "web-1", &format!("pool: web, address: '{address}', weight: 3"))).await;
    let _proxy = DataPlane::builder(replica.grpc()).start().await;
    world.becomes("Backend", "web-1", |object| object["status"]["state"] == "Up").await;
    world.becomes("Pool", "web", |object| object["status"]["backends"]["summary"] == "1/1").await;
    // Each object is written by itself, in any order.
    for (kind, name) in [("Pool", "base"), ("Pool", "web"), ("Backend", "web-1")] {
        world.becomes(kind, name, has("Programmed", "True", "Programmed")).await;
    }

    let pools = world.kubectl(&["get", "pools"]).await;
    let pools = table(&pools);
    assert_eq!(pools[0], ["NAME", "UP/TOTAL", "METHOD", "PRIORITY", "PROGRAMMED", "AGE"]);
    assert_eq!(pools[1][..5], ["base", "0/0", "Random", "7", "True"]);
    assert_eq!(pools[2][..5], ["web", "1/1", "Random", "7", "True"]);
    let backends = world.kubectl(&["get", "be", "-o", "wide"]).await;
    let backends = table(&backends);
    assert_eq!(backends[0][..7], ["NAME", "POOL", "ADDRESS", "WEIGHT", "ROLE", "STATE", "AGE"]);
    assert_eq!(backends[0][7..], ["ENDPOINTS", "PROXIES", "MESSAGE"]);
    assert_eq!(backends[1][..6], ["web-1", "web", &address, "3", "Active", "Up"]);
    assert_eq!(backends[1][7..], ["1/1", "1/1"]);
    let both = world.kubectl(&["get", "weir"]).await;
    assert!(both.contains("pool.weir.dev/web ") && both.contains("backend.weir.dev/web-1 "), "{both}");

    let web = world.becomes("Pool", "web", has("Programmed", "True", "Programmed")).await;
    assert_eq!(condition(&web, "Programmed").unwrap()["message"], "on 1 of 1 proxies");
    assert_eq!(web["status"]["observedGeneration"], web["metadata"]["generation"]);
    let endpoint = world.object("Backend", "web-1").await["status"]["endpoints"][0].clone();
    assert_eq!(
        (&endpoint["address"], &endpoint["proxiesUp"], &endpoint["proxiesTotal"]),
        (&json!(address), &json!(1), &json!(1))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the test cluster: tests/run starts it"]
async fn a_plugin_says_who_uses_it_and_follows_its_config_map() {
    let world = World::new().await;
    let replica = world.replica("a").await;
    let missing = "ResolvedRefs";
    world.apply(&manifest("Plugin", "choice", "type: Random")).await;
    world.apply(&manifest("Plugin", "script", "type: Lua, lua: {configMap: {name: scripts, key: a.lua}}")).await;
    for name in ["web", "api"] {
        world.apply(&manifest("Pool", name, "plugins: [{name: choice}]")).await;
    }
    world.becomes("Plugin", "choice", |object| object["status"]["usedBy"]["count"] == 2).await;
    world.becomes("Plugin", "script", has(missing, "False", "ConfigMapNotFound")).await;

    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: scripts}\ndata: {a.lua: ";
    world.apply(&format!("{map}'return {{}}'}}\n")).await;
    world.becomes("Plugin", "script", has(missing, "True", missing)).await;
    let before = version(&replica).await;
    world.apply(&format!("{map}'return {{pre = nil}}'}}\n")).await;
    let changed = async || (version(&replica).await != before).then_some(());
    eventually("the script is another", changed).await;
    world.kubectl(&["delete", "configmap", "scripts"]).await;
    world.becomes("Plugin", "script", has(missing, "False", "ConfigMapNotFound")).await;

    let plugins = world.kubectl(&["get", "plug"]).await;
    let plugins = table(&plugins);
    assert_eq!(plugins[0], ["NAME", "TYPE", "USED-BY", "ACCEPTED", "AGE"]);
    assert_eq!(plugins[1][..4], ["choice", "Random", "2", "True"]);
    assert_eq!(plugins[2][..4], ["script", "Lua", "0", "True"]);
    world.kubectl(&["delete", "plugin", "choice"]).await;
    world.becomes("Pool", "web", has(missing, "False", "PluginNotFound")).await;
}

/// A password of `ada`: what a client sends, and its hash.
struct Password {
    sent: &'static str,
    hash: &'static str,
}

const ONE: Password = Password {
    sent: "Basic YWRhOm9uZQ==",
    hash: "$6$weirsalt1$5tWV1dMQklwvj3nch5tozOneXxWQNt8cy.UkqvbYiV4QDxfZxXH5GSzFV95puntqwXh7LwIBfsBuUHcaTxwbO.",
};
const TWO: Password = Password {
    sent: "Basic YWRhOnR3bw==",
    hash: "$6$weirsalt2$HlDpnF4UbcEOeNudtPnLe1.YHBSEor4sfsqanK8v09eIWU97Xwe1wRYGZdfPoNlOYiRZtBWoIETop3NeBh3AU.",
};

impl Password {
    /// The Secret by which it is right.
    fn secret(&self) -> String {
        let head = "apiVersion: v1\nkind: Secret\nmetadata: {name: people}\n";
        format!("{head}stringData: {{auth: 'ada:{}'}}\n", self.hash)
    }

    /// The status of a request with it.
    async fn answer(&self, proxy: &DataPlane) -> u16 {
        let request = Request::get("/").header("authorization", self.sent).body(full("")).unwrap();
        send(proxy.address(), request).await.unwrap().status
    }

    async fn becomes_right(&self, proxy: &DataPlane) {
        eventually("the password is right", async || (self.answer(proxy).await == 200).then_some(())).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the test cluster: tests/run starts it"]
async fn p1_a_password_is_that_of_the_secret_and_a_plugin_in_use_that_is_deleted_serves_on() {
    let world = World::new().await;
    let replica = world.replica("a").await;
    let server = Backend::start("web-1").await;
    world.apply(&manifest("Plugin", "people", "type: BasicAuth, param: {secretName: people}")).await;
    world.apply(&manifest("Pool", "web", "plugins: [{name: people}]")).await;
    world.apply(&manifest("Backend", "web-1", &format!("pool: web, address: '{}'", server.address()))).await;
    world.becomes("Plugin", "people", has("ResolvedRefs", "False", "SecretNotFound")).await;
    world.apply(&ONE.secret()).await;
    world.becomes("Pool", "web", has("ResolvedRefs", "True", "ResolvedRefs")).await;
    let proxy = DataPlane::builder(replica.grpc()).start().await;
    ONE.becomes_right(&proxy).await;
    assert_eq!((TWO.answer(&proxy).await, get(proxy.address(), "/").await.unwrap().status), (401, 401));
    world.apply(&TWO.secret()).await;
    TWO.becomes_right(&proxy).await;
    assert_eq!(ONE.answer(&proxy).await, 401, "the old one is not right any more");

    world.kubectl(&["delete", "plugin", "people"]).await;
    world.becomes("Pool", "web", has("ResolvedRefs", "False", "PluginNotFound")).await;
    assert_eq!((TWO.answer(&proxy).await, get(proxy.address(), "/").await.unwrap().status), (200, 401));
    world.apply(&manifest("Plugin", "people", "type: BasicAuth, param: {secretName: people}")).await;
    world.becomes("Pool", "web", has("ResolvedRefs", "True", "ResolvedRefs")).await;
}

/// The version of all that a replica has for proxies.
async fn version(replica: &Replica) -> String {
    let page = get(replica.admin(), "/api/v1/resources").await.unwrap().text();
    word(&serde_json::from_str(&page).unwrap(), "version").to_owned()
}

/// Kind, spec, the condition that does not hold, its reason, and part of its message.
const MISTAKES: [(&str, &str, &str, &str, &str); 11] = [
    ("Pool", "match: [{path: {type: Regex, value: 'a('}}]", "Accepted", "Invalid", "spec.match[0].path.value: "),
    ("Pool", "match: [{hosts: ['a.*.b']}]", "Accepted", "Invalid", "spec.match[0].hosts[0]: "),
    ("Pool", "balance: {method: Hash}", "Accepted", "Invalid", "spec.balance.hash: "),
    ("Pool", "inherit: nobody", "ResolvedRefs", "BaseNotFound", "spec.inherit: there is no Pool"),
    ("Pool", "inherit: wrong-4", "ResolvedRefs", "InheritCircle", "spec.inherit: "),
    ("Backend", "pool: nobody, address: '10.0.0.1:80'", "ResolvedRefs", "PoolNotFound", "spec.pool: there is no Pool"),
    ("Backend", "pool: good, address: '300.1.1.1:80'", "Accepted", "Invalid", "spec.address: "),
    ("Pool", "plugins: [{name: nobody}]", "ResolvedRefs", "PluginNotFound", "spec.plugins[0].name: there is no Plugin"),
    ("Pool", "plugins: [{type: Random, param: [1]}]", "Accepted", "Invalid", "spec.plugins[0].param: "),
    ("Plugin", "type: Random, param: {rate: 0}", "Accepted", "Invalid", "spec.param.rate: "),
    (
        "Plugin",
        "type: Lua, lua: {configMap: {name: nobody, key: a.lua}}",
        "ResolvedRefs",
        "ConfigMapNotFound",
        "spec.lua.configMap: there is no ConfigMap",
    ),
];

#[tokio::test]
#[ignore = "needs the test cluster: tests/run starts it"]
async fn s1_r2_a_mistake_that_only_weir_can_know_is_in_its_own_status_within_a_second_and_an_event() {
    let world = World::new().await;
    let replica = world.replica("a").await;
    writes(&replica).await;
    world.apply(&manifest("Pool", "good", "priority: 1")).await;
    let mut times = Vec::new();
    for (i, (kind, spec, condition_type, reason, message)) in MISTAKES.into_iter().enumerate() {
        let name = format!("wrong-{i}");
        world.apply(&manifest(kind, &name, spec)).await;
        let start = Instant::now();
        let object = world.becomes(kind, &name, has(condition_type, "False", reason)).await;
        times.push(start.elapsed());
        let told = condition(&object, condition_type).unwrap()["message"].as_str().unwrap();
        assert!(told.starts_with(message), "{name}: {told:?}");
        assert!(has("Programmed", "False", "NotAccepted")(&object));
        eventually("an Event tells it", async || {
            let events = world.events(&name).await;
            events.iter().any(|event| event.starts_with(&format!("Warning {reason} {message}"))).then_some(())
        })
        .await;
    }
    times.sort();
    assert!(times[times.len() / 2] < Duration::from_secs(1), "{times:?}");
    world.becomes("Pool", "good", has("Accepted", "True", "Accepted")).await;

    world.apply(&manifest("Pool", "wrong-0", "match: [{path: {type: Regex, value: 'a'}}]")).await;
    world.becomes("Pool", "wrong-0", has("Accepted", "True", "Accepted")).await;
    let healed = async || world.events("wrong-0").await.iter().any(|e| e.starts_with("Normal Accepted")).then_some(());
    eventually("it heals, and an Event says so", healed).await;
}

/// Waits until a replica writes statuses.
async fn writes(replica: &Replica) {
    let writes = async || (replica.metric("weir_status_writer").await == 1.0).then_some(());
    eventually("it writes statuses", writes).await;
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/run starts it"]
async fn s4_a_replica_that_is_killed_is_replaced_as_writer_and_nothing_is_written_twice() {
    let world = World::new().await;
    let first = world.replica("a").await;
    writes(&first).await;
    let second = world.replica("b").await;
    world.apply(&(manifest("Pool", "web", "priority: 1") + &manifest("Pool", "odd", "inherit: nobody"))).await;
    let mut before = Vec::new();
    for (name, reason) in [("web", "ResolvedRefs"), ("odd", "BaseNotFound")] {
        let status = if name == "web" { "True" } else { "False" };
        before.push(world.becomes("Pool", name, has("ResolvedRefs", status, reason)).await);
    }
    eventually("it was told", async || (world.events("odd").await.len() == 1).then_some(())).await;
    first.kill().await;
    let start = Instant::now();
    writes(&second).await;
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    world.apply(&manifest("Pool", "new", "priority: 1")).await;
    world.becomes("Pool", "new", has("Accepted", "True", "Accepted")).await;
    assert_eq!([world.object("Pool", "web").await, world.object("Pool", "odd").await], before[..], "untouched");
    assert_eq!(second.metric("weir_status_patches_total").await, 1.0, "that of the new one");
    assert_eq!(world.events("odd").await.len(), 1, "told once");
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/run starts it"]
async fn s4_a_replica_that_ends_hands_over_at_once_and_a_restart_writes_nothing() {
    let world = World::new().await;
    let first = world.replica("a").await;
    writes(&first).await;
    world.apply(&manifest("Pool", "web", "priority: 1")).await;
    let before = world.becomes("Pool", "web", has("Accepted", "True", "Accepted")).await;
    let second = world.replica("a").await;
    assert_eq!(first.stop().await, 0);
    timeout(Duration::from_secs(4), writes(&second)).await.expect("at once");
    world.apply(&manifest("Pool", "web", "priority: 2")).await;
    let after = world.becomes("Pool", "web", |object| object["status"]["priority"] == 2).await;
    // The object is seen before the answer to its patch.
    eventually("the patch is counted", async || {
        (second.metric("weir_status_patches_total").await >= 1.0).then_some(())
    })
    .await;
    assert_eq!(second.metric("weir_status_patches_total").await, 1.0);
    let time = |object| condition(object, "Accepted").unwrap()["lastTransitionTime"].clone();
    assert_eq!(time(&before), time(&after), "it was accepted all the time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the test cluster: tests/run starts it"]
async fn s6_the_status_of_a_backend_that_drains_says_how_many_requests_are_left() {
    let world = World::new().await;
    let replica = world.replica("a").await;
    writes(&replica).await;
    let server = Backend::start("web-1").await;
    let spec = |more: &str| manifest("Backend", "web-1", &format!("pool: web, address: '{}'{more}", server.address()));
    world.apply(&manifest("Pool", "web", "")).await;
    world.apply(&spec("")).await;
    let proxy = DataPlane::builder(replica.grpc()).start().await;
    let says = async |word: &'static str, left: Value| {
        let said = move |o: &Value| o["status"]["state"] == word && o["status"]["endpoints"][0]["left"] == left;
        world.becomes("Backend", "web-1", said).await;
    };
    says("Up", Value::Null).await;
    server.hold();
    let address = proxy.address();
    let running = tokio::spawn(async move { get(address, "/").await.unwrap().text() });
    eventually("it runs", async || (server.requests() == 1).then_some(())).await;
    for more in [", weight: 0", ", enabled: false"] {
        world.apply(&spec(more)).await;
        says("Draining", json!(1)).await;
    }
    server.release();
    assert_eq!(running.await.unwrap(), "web-1");
    says("Disabled", Value::Null).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the test cluster: tests/run starts it"]
async fn h7_down_and_up_are_in_the_status_and_an_event_each_and_disabling_is_none() {
    let world = World::new().await;
    let replica = world.replica("a").await;
    writes(&replica).await;
    let server = Backend::start("web-1").await;
    let spec = |more: &str| format!("pool: web, address: '{}'{more}", server.address());
    world.apply(&manifest("Pool", "web", "health: {passive: {maxFails: 1, failTimeout: 5s, statuses: [5xx]}}")).await;
    world.apply(&manifest("Backend", "web-1", &spec(""))).await;
    let proxy = DataPlane::builder(replica.grpc()).start().await;
    let state =
        async |word: &'static str| world.becomes("Backend", "web-1", move |o| o["status"]["state"] == word).await;
    state("Up").await;
    server.set(Reply::status(500));
    get(proxy.address(), "/").await.unwrap();
    let down = state("Ejected").await;
    let endpoint = &down["status"]["endpoints"][0];
    assert_eq!((&endpoint["state"], &endpoint["lastFailure"]), (&json!("Ejected"), &json!("bad_response")));
    world.becomes("Pool", "web", |object| object["status"]["backends"]["summary"] == "0/1").await;
    server.set(Reply::text("web-1"));
    state("Up").await;
    let events = async || Some(world.events("web-1").await).filter(|events| events.len() == 2);
    let events = eventually("two Events", events).await;
    assert!(
        events[0].starts_with("Warning EndpointDown ") && events[1].starts_with("Normal EndpointUp "),
        "{events:?}"
    );
    world.apply(&manifest("Backend", "web-1", &spec(", enabled: false"))).await;
    state("Disabled").await;
    world.apply(&manifest("Backend", "web-1", &spec(""))).await;
    state("Up").await;
    assert_eq!(world.events("web-1").await.len(), 2);
    let described = world.kubectl(&["describe", "backend", "web-1"]).await;
    assert!(described.contains("EndpointDown") && described.contains("Proxies Up:"), "{described}");
}
