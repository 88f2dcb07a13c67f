//! The writer in front of an API server of a few lines, in time that is paused.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::BoxError;

use super::super::events;
use super::*;
use crate::finding::Finding;
use crate::metrics::Metrics;
use crate::status::{Health, InForce, Observed, PoolHealth, Programmed, Verdict};
use crate::testing::key;

/// How long a request takes.
const TAKES: Duration = Duration::from_millis(5);

/// Everything is done by then, retries too.
const LATER: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
struct Server {
    objects: BTreeMap<String, Value>,
    version: u64,
    patches: Vec<String>,
    events: Vec<Value>,
    /// Statuses of the next answers to patches, before all is well.
    failures: VecDeque<u16>,
    running: usize,
    most_running: usize,
}

#[derive(Debug, Clone, Default)]
struct Api(Arc<Mutex<Server>>);

impl Api {
    fn client(&self) -> Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let api = api.clone();
            async move { Ok::<_, BoxError>(api.answer(request).await) }
        });
        Client::new(service, "default")
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let body: Value = serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap();
        if head.method == Method::POST {
            self.0.lock().events.push(body.clone());
            return reply(201, &body);
        }
        assert!(head.uri.query().unwrap().ends_with("force=true&fieldManager=weir-control-plane"));
        self.enter();
        sleep(TAKES).await;
        let name = head.uri.path().rsplit('/').nth(1).unwrap().to_owned();
        let (status, answer) = self.0.lock().patch(name, &body);
        reply(status, &answer)
    }

    fn enter(&self) {
        let mut server = self.0.lock();
        server.running += 1;
        server.most_running = server.most_running.max(server.running);
    }

    fn patches(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().patches)
    }

    /// Type, reason and note of each Event.
    fn events(&self) -> Vec<String> {
        let text =
            |event: &Value| ["type", "reason", "note"].map(|field| event[field].as_str().unwrap_or("-").to_owned());
        self.0.lock().events.iter().map(|event| text(event).join(" ")).collect()
    }

    fn condition(&self, name: &str, place: usize) -> Value {
        self.0.lock().objects[name]["status"]["conditions"][place].clone()
    }
}

impl Server {
    fn patch(&mut self, name: String, body: &Value) -> (u16, Value) {
        self.running -= 1;
        self.patches.push(name.clone());
        if let Some(status) = self.failures.pop_front() {
            return (
                status,
                json!({"kind": "Status", "status": "Failure", "code": status, "message": "", "reason": ""}),
            );
        }
        self.version += 1;
        let object = self.objects.get_mut(&name).unwrap();
        assert_eq!(object["metadata"]["uid"], body["metadata"]["uid"]);
        object["status"] = body["status"].clone();
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        (200, object.clone())
    }
}

fn reply(status: u16, body: &Value) -> Response<Body> {
    Response::builder().status(status).body(Body::from(body.to_string().into_bytes())).unwrap()
}

/// A replica of the control plane: its writer, with the objects that its watches show.
struct Replica {
    api: Api,
    inbox: Arc<Inbox>,
    observed: Arc<Observed>,
    holder: watch::Sender<bool>,
    _stop: DropGuard,
}

impl Replica {
    fn new(api: &Api, is_holder: bool) -> Self {
        let (observed, inbox) = (Arc::new(Observed::default()), Arc::new(Inbox::default()));
        let (holder, is_holder) = watch::channel(is_holder);
        let (told, sender) = events::channel(api.client(), "pod".into());
        let metrics = Arc::new(Metrics::new().unwrap());
        let patcher = Patcher { client: api.client(), observed: observed.clone(), events: told, metrics };
        let stop = CancellationToken::new();
        tokio::spawn(Writer::new(patcher, inbox.clone(), is_holder).run(stop.clone()));
        tokio::spawn(sender.run(stop.clone()));
        let replica = Self { api: api.clone(), inbox, observed, holder, _stop: stop.drop_guard() };
        let names: Vec<String> = api.0.lock().objects.keys().cloned().collect();
        names.iter().for_each(|name| replica.sees(name));
        replica
    }

    /// A user makes an object, and the watch shows it.
    fn given(&self, name: &str) {
        let object = json!({
            "apiVersion": "weir.dev/v1alpha1", "kind": "Pool",
            "metadata": {"namespace": "default", "name": name, "uid": format!("uid-{name}"), "resourceVersion": "0"},
        });
        self.api.0.lock().objects.insert(name.to_owned(), object);
        self.sees(name);
    }

    fn sees(&self, name: &str) {
        let object = self.api.0.lock().objects[name].clone();
        let metadata = serde_json::from_value(object["metadata"].clone()).unwrap();
        self.observed.saw(&key("Pool", name), &metadata, object.get("status"));
    }

    /// Sets a status, and waits until nothing is left to do.
    async fn set(&self, name: &str, status: Status) -> Vec<String> {
        self.inbox.set(key("Pool", name), Some(Arc::new(status)));
        sleep(LATER).await;
        self.api.patches()
    }
}

fn good(programmed: usize, total: usize) -> Status {
    let verdict = Verdict {
        in_force: Some(InForce::Pool { method: Default::default(), priority: 0 }),
        address: None,
        used_by: None,
        generation: Some(1),
        invalid: Vec::new(),
        reference: None,
    };
    let programmed = Programmed { total, programmed, rejected: Vec::new() };
    Status { verdict, programmed, health: Health::Pool(PoolHealth::default()) }
}

fn bad(message: &str) -> Status {
    let finding = Finding { place: None, key: None, field: "spec.weight".into(), message: message.into() };
    let mut status = good(1, 1);
    status.verdict.invalid.push(finding);
    status
}

#[tokio::test(start_paused = true)]
async fn s4_a_status_is_written_once_and_an_equal_one_never_again() {
    let api = Api::default();
    let replica = Replica::new(&api, true);
    replica.given("a");
    assert_eq!(replica.set("a", good(1, 1)).await, ["a"]);
    assert_eq!(replica.set("a", good(1, 1)).await, [] as [&str; 0]);
    replica.sees("a");
    sleep(LATER).await;
    assert_eq!(api.patches(), [] as [&str; 0]);
    assert_eq!(replica.set("a", good(1, 2)).await, ["a"]);
}

#[tokio::test(start_paused = true)]
async fn s4_another_replica_takes_over_without_a_patch_unless_something_changed() {
    let api = Api::default();
    let first = Replica::new(&api, true);
    for name in ["a", "b"] {
        first.given(name);
        first.set(name, good(1, 1)).await;
    }
    let second = Replica::new(&api, false);
    assert_eq!(second.set("a", good(1, 1)).await, [] as [&str; 0]);
    assert_eq!(second.set("b", good(2, 2)).await, [] as [&str; 0], "it is not the holder");
    second.holder.send_replace(true);
    sleep(LATER).await;
    assert_eq!(api.patches(), ["b"]);
}

#[tokio::test(start_paused = true)]
async fn a_condition_keeps_its_time_as_long_as_it_holds() {
    let api = Api::default();
    let replica = Replica::new(&api, true);
    replica.given("a");
    let long_ago = "2026-01-01T00:00:00Z";
    replica.set("a", good(1, 1)).await;
    for condition in api.0.lock().objects.get_mut("a").unwrap()["status"]["conditions"].as_array_mut().unwrap() {
        condition["lastTransitionTime"] = long_ago.into();
    }
    replica.sees("a");
    replica.set("a", good(1, 2)).await;
    let time = |place| api.condition("a", place)["lastTransitionTime"].clone();
    assert_eq!((time(0), time(1)), (long_ago.into(), long_ago.into()));
    assert_eq!(api.condition("a", 2)["status"], "False");
    assert_ne!(time(2), long_ago, "Programmed does not hold any more");
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_not_known_is_not_patched_and_is_when_it_is_seen() {
    let api = Api::default();
    let replica = Replica::new(&api, true);
    assert_eq!(replica.set("a", good(1, 1)).await, [] as [&str; 0]);
    replica.given("a");
    sleep(LATER).await;
    assert_eq!(api.patches(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn what_the_api_server_cannot_take_now_is_tried_again_and_what_is_gone_is_not() {
    let api = Api::default();
    let replica = Replica::new(&api, true);
    for (statuses, patches) in [(vec![500, 429, 503], 4), (vec![404], 1), (vec![409], 1)] {
        let name = format!("a{}", statuses[0]);
        replica.given(&name);
        sleep(LATER).await;
        api.0.lock().failures = statuses.into();
        assert_eq!(replica.set(&name, good(1, 1)).await.len(), patches);
    }
}

#[tokio::test(start_paused = true)]
async fn a_patch_that_is_refused_is_tried_again_after_a_while_and_holds_up_no_other() {
    let api = Api::default();
    let replica = Replica::new(&api, true);
    replica.given("a");
    replica.given("b");
    sleep(LATER).await;
    api.0.lock().failures = [403].into();
    let start = Instant::now();
    replica.inbox.set(key("Pool", "a"), Some(Arc::new(good(1, 1))));
    sleep(TAKES * 2).await;
    replica.inbox.set(key("Pool", "b"), Some(Arc::new(good(1, 1))));
    sleep(TAKES * 2).await;
    assert_eq!(api.patches(), ["a", "b"]);
    sleep(REFUSED_AGAIN).await;
    assert_eq!(api.patches(), ["a"], "after {:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn patches_under_way_are_bounded_and_a_burst_of_changes_is_one_patch() {
    let api = Api::default();
    let replica = Replica::new(&api, true);
    let names: Vec<String> = (0..100).map(|i| format!("p{i}")).collect();
    names.iter().for_each(|name| replica.given(name));
    for total in 1..5 {
        for name in &names {
            replica.inbox.set(key("Pool", name), Some(Arc::new(good(0, total))));
        }
    }
    sleep(LATER).await;
    assert_eq!((api.patches().len(), api.0.lock().most_running), (100, IN_FLIGHT));
}

#[tokio::test(start_paused = true)]
async fn mere_counts_of_many_objects_are_written_slowly_and_a_condition_at_once() {
    let api = Api::default();
    let replica = Replica::new(&api, true);
    let names: Vec<String> = (0..1_000).map(|i| format!("p{i}")).collect();
    let set = |name: &str, status| replica.inbox.set(key("Pool", name), Some(Arc::new(status)));
    names.iter().for_each(|name| replica.given(name));
    names.iter().for_each(|name| set(name, good(1, 1)));
    sleep(Duration::from_secs(2)).await;
    assert_eq!(api.patches().len(), 1_000);
    // Another proxy, which has everything already.
    names.iter().for_each(|name| set(name, good(2, 2)));
    sleep(Duration::from_secs(1)).await;
    let mut patched = api.patches();
    assert!((200..=260).contains(&patched.len()), "{}", patched.len());
    set("p999", bad("too odd"));
    sleep(TAKES * 4).await;
    patched.extend(api.patches());
    assert!(patched.contains(&"p999".to_owned()));
    sleep(LATER).await;
    patched.extend(api.patches());
    assert_eq!(patched.len(), 1_000, "in the end all are there, each once");
}

#[tokio::test(start_paused = true)]
async fn s1_a_refusal_and_its_end_are_events_and_a_restart_is_none() {
    let api = Api::default();
    let replica = Replica::new(&api, true);
    replica.given("a");
    let statuses =
        [good(1, 1), bad("70000 is more than 65535"), bad("70000 is more than 65535"), bad("is odd"), good(1, 1)];
    for status in statuses {
        replica.set("a", status).await;
    }
    let expected = [
        "Warning Invalid spec.weight: 70000 is more than 65535",
        "Warning Invalid spec.weight: is odd",
        "Normal Accepted nothing is wrong any more",
    ];
    assert_eq!(api.events(), expected);
    replica.set("a", bad("is odd")).await;
    let restarted = Replica::new(&api, true);
    restarted.set("a", bad("is odd")).await;
    assert_eq!(api.events().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn s4_a_nack_is_an_event_with_its_reason_once() {
    let api = Api::default();
    let replica = Replica::new(&api, true);
    replica.given("a");
    let refused = |programmed| {
        let mut status = good(programmed, 3);
        status.programmed.rejected.push(("proxy-1".into(), "spec.weight: too odd".into()));
        status
    };
    for status in [good(0, 3), refused(0), refused(2), good(3, 3)] {
        replica.set("a", status).await;
    }
    let expected = [
        "Warning Rejected on 0 of 3 proxies; refused by proxy-1: spec.weight: too odd",
        "Normal Programmed on 3 of 3 proxies",
    ];
    assert_eq!(api.events(), expected);
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_made_anew_gets_its_status_though_nothing_else_changed() {
    let api = Api::default();
    let replica = Replica::new(&api, true);
    replica.given("a");
    replica.set("a", good(1, 1)).await;
    replica.observed.gone(&key("Pool", "a"));
    replica.given("a");
    sleep(LATER).await;
    assert_eq!(api.patches(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn s4_a_new_holder_waits_for_its_proxies_before_it_says_that_there_are_none() {
    let api = Api::default();
    let first = Replica::new(&api, true);
    first.given("a");
    first.set("a", good(2, 2)).await;
    first.given("b");
    api.patches();
    let second = Replica::new(&api, false);
    second.holder.send_replace(true);
    let set = |name: &str, status| second.inbox.set(key("Pool", name), Some(Arc::new(status)));
    set("a", good(0, 0));
    set("b", good(0, 0));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(api.patches(), ["b"], "one that has no status yet gets it at once");
    set("a", good(2, 2));
    sleep(LATER).await;
    assert_eq!(api.patches(), [] as [&str; 0]);
    set("a", good(0, 0));
    sleep(LATER).await;
    assert_eq!(api.patches(), ["a"], "now it knows");
}

#[tokio::test(start_paused = true)]
async fn s1_a_new_holder_tells_at_once_what_it_can_judge_by_itself() {
    let api = Api::default();
    let first = Replica::new(&api, true);
    first.given("a");
    first.set("a", good(2, 2)).await;
    api.patches();
    let second = Replica::new(&api, false);
    second.holder.send_replace(true);
    second.inbox.set(key("Pool", "a"), Some(Arc::new(bad("too odd"))));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(api.patches(), ["a"]);
}
