//! The API for kubectl, over real sockets and real folders: what clients may rely on, and what is refused how.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;

use super::proxy::SOON;
use super::world::{Folder, World, backend, bind_with, pool};

const GROUP: &str = "/apis/weir.dev/v1alpha1";
const POOLS: &str = "/apis/weir.dev/v1alpha1/namespaces/default/pools";
const MERGE: (&str, &str) = ("content-type", "application/merge-patch+json");
const JSON: (&str, &str) = ("content-type", "application/json");

/// Status, headers and body of an answer.
async fn raw(world: &World, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(world.admin).await.unwrap();
    let host = format!("host: {}\r\n", world.admin);
    let host = if headers.iter().any(|(name, _)| *name == "host") { String::new() } else { host };
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    let head =
        format!("{method} {path} HTTP/1.1\r\n{host}{headers}content-length: {length}\r\nconnection: close\r\n\r\n");
    // A server that refuses early may stop reading.
    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer to {method} {path}"));
    (head[9..12].parse().unwrap(), head.to_lowercase(), body.to_owned())
}

async fn ask(world: &World, method: &str, path: &str, headers: &[(&str, &str)], body: Value) -> (u16, Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let (code, _, text) = raw(world, method, path, headers, &body).await;
    (code, serde_json::from_str(&text).unwrap_or_default())
}

async fn get(world: &World, path: &str) -> Value {
    let (code, value) = ask(world, "GET", path, &[], Value::Null).await;
    assert_eq!(code, 200, "{path}: {value}");
    value
}

async fn merge(world: &World, path: &str, patch: Value) -> (u16, Value) {
    ask(world, "PATCH", path, &[MERGE], patch).await
}

fn manifest(kind: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": "weir.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

fn version(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
}

fn fields(status: &Value) -> Vec<&str> {
    let causes = status["details"]["causes"].as_array().unwrap();
    causes.iter().map(|cause| cause["field"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_change_is_on_disk_and_in_force_when_it_is_answered_and_nothing_else_moves() {
    let text = format!("# by hand\n{}  # agreed: 3\n", pool("a", 1).trim_start_matches("---\n").trim_end());
    let folder = Folder::new(&[("a.yaml", &text)]);
    let world = World::start(&folder).await;
    for weight in 2..30 {
        let (code, object) = merge(&world, &format!("{POOLS}/a"), json!({"spec": {"weight": weight}})).await;
        assert_eq!((code, &object["spec"]["weight"]), (200, &json!(weight)), "{object}");
        assert_eq!(
            fs::read_to_string(folder.path("a.yaml")).unwrap(),
            text.replace("weight: 1", &format!("weight: {weight}"))
        );
        assert_eq!(world.weight("a"), Some(weight), "what proxies get");
        assert_eq!(get(&world, &format!("{POOLS}/a")).await["spec"]["weight"], weight);
    }
    assert_eq!(get(&world, &format!("{POOLS}/a")).await["metadata"]["generation"], 29);
    world.stop().await;
}

#[tokio::test]
async fn new_objects_have_files_of_their_own_and_deleted_ones_leave_none() {
    let folder = Folder::new(&[("all.yaml", &(pool("a", 1) + "---\nkind: [ broken\n" + &pool("b", 1)))]);
    let world = World::start(&folder).await;
    let (code, made) = ask(&world, "POST", POOLS, &[JSON], manifest("Pool", "new", json!({"weight": 7}))).await;
    assert_eq!((code, &made["metadata"]["namespace"], world.weight("new")), (201, &json!("default"), Some(7)));
    let file = folder.path("default/pool-new.yaml");
    let expected =
        "apiVersion: weir.dev/v1alpha1\nkind: Pool\nmetadata:\n  name: new\n  namespace: default\nspec:\n  weight: 7\n";
    assert_eq!(fs::read_to_string(&file).unwrap(), expected);
    for name in ["new", "a", "b"] {
        let (code, status) = ask(&world, "DELETE", &format!("{POOLS}/{name}"), &[], Value::Null).await;
        assert_eq!((code, &status["status"], world.weight(name)), (200, &json!("Success"), None));
    }
    assert!(!file.exists(), "an empty file is removed");
    assert_eq!(
        fs::read_to_string(folder.path("all.yaml")).unwrap(),
        "---\nkind: [ broken\n",
        "what is broken is not ours"
    );
}

#[tokio::test]
async fn metadata_is_sane_and_outlives_the_process() {
    let folder = Folder::new(&[("a.yaml", &pool("a", 1))]);
    let world = World::start(&folder).await;
    let path = format!("{POOLS}/a");
    let first = get(&world, &path).await;
    assert_eq!(first["metadata"]["generation"], 1);
    assert!(!folder.path(".weir-objects.json").exists(), "who only looks leaves no trace");
    let note = "kubectl.kubernetes.io/last-applied-configuration";
    let patch = json!({"metadata": {"annotations": {(note): "{}"}, "labels": {"x": "y"}}, "spec": {"weight": 2}});
    let (_, second) = merge(&world, &path, patch).await;
    assert_eq!((&second["metadata"]["uid"], &second["metadata"]["generation"]), (&first["metadata"]["uid"], &json!(2)));
    assert!(version(&second) > version(&first));
    assert!(
        !fs::read_to_string(folder.path("a.yaml")).unwrap().contains(note),
        "what kubectl notes is not in the file"
    );
    let list = get(&world, GROUP_POOLS).await;
    assert!(version(&list) >= version(&second) && list["items"].as_array().unwrap().len() == 1);
    world.stop().await;

    let world = World::start(&folder).await;
    let third = get(&world, &path).await;
    for field in ["uid", "generation", "creationTimestamp", "labels", "annotations"] {
        assert_eq!(third["metadata"][field], second["metadata"][field], "{field}");
    }
    assert!(version(&third) > version(&second), "versions grow over restarts");
}

const GROUP_POOLS: &str = "/apis/weir.dev/v1alpha1/pools";

#[tokio::test]
async fn statuses_are_those_of_a_cluster() {
    let folder = Folder::new(&[("a.yaml", &(pool("a", 1) + &pool("b", 70_000)))]);
    let world = World::start(&folder).await;
    let is_told = |object: &Value, condition: &str, status: &str| {
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().any(|c| c["type"] == condition && c["status"] == status)
    };
    let deadline = tokio::time::Instant::now() + SOON;
    loop {
        let all = get(&world, GROUP_POOLS).await;
        let [a, b] = &all["items"].as_array().unwrap()[..] else { panic!("{all}") };
        if is_told(a, "Accepted", "True") && is_told(a, "Programmed", "False") && is_told(b, "Accepted", "False") {
            assert_eq!((&a["status"]["observedGeneration"], &a["status"]["method"]), (&json!(1), &json!("RoundRobin")));
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "{all:#}");
        tokio::task::yield_now().await;
    }
    let (code, mended) = merge(&world, &format!("{POOLS}/b"), json!({"spec": {"weight": 5}})).await;
    assert_eq!((code, world.weight("b")), (200, Some(5)), "a broken one can be mended: {mended}");
}

#[tokio::test]
async fn who_does_not_know_the_newest_version_changes_nothing() {
    let folder = Folder::new(&[("a.yaml", &pool("a", 1))]);
    let world = World::start(&folder).await;
    let path = format!("{POOLS}/a");
    let old = get(&world, &path).await;
    assert_eq!(merge(&world, &path, json!({"spec": {"weight": 2}})).await.0, 200);
    let (code, status) = ask(&world, "PUT", &path, &[JSON], old.clone()).await;
    assert_eq!((code, &status["reason"], &status["details"]["name"]), (409, &json!("Conflict"), &json!("a")));
    let preconditions = json!({"preconditions": {"resourceVersion": old["metadata"]["resourceVersion"]}});
    assert_eq!(ask(&world, "DELETE", &path, &[JSON], preconditions).await.0, 409);
    assert_eq!(ask(&world, "DELETE", &path, &[JSON], json!({"preconditions": {"uid": "other"}})).await.0, 409);
    assert_eq!(world.weight("a"), Some(2));
    // Its status may be another one by now: what was the newest version is none then, as in a cluster.
    let deadline = tokio::time::Instant::now() + SOON;
    loop {
        let mut newest = get(&world, &path).await;
        newest["spec"]["weight"] = json!(3);
        match ask(&world, "PUT", &path, &[JSON], newest).await {
            (200, _) => break,
            (code, status) => assert!(code == 409 && tokio::time::Instant::now() < deadline, "{code} {status}"),
        }
    }
    let (code, status) = ask(&world, "POST", POOLS, &[JSON], manifest("Pool", "a", json!({}))).await;
    assert_eq!((code, &status["reason"]), (409, &json!("AlreadyExists")));
    assert_eq!(world.weight("a"), Some(3));
}

#[tokio::test]
async fn a_change_by_hand_is_never_overwritten() {
    let folder = Folder::new(&[("a.yaml", &pool("a", 1))]);
    let world = World::start(&folder).await;
    for weight in 2..20 {
        // Nobody has looked at this yet.
        folder.write("a.yaml", &(pool("a", weight) + "# by hand\n"));
        let (code, object) = merge(&world, &format!("{POOLS}/a"), json!({"spec": {"priority": weight}})).await;
        assert_eq!(
            (code, &object["spec"]["weight"], &object["spec"]["priority"]),
            (200, &json!(weight), &json!(weight))
        );
        assert!(fs::read_to_string(folder.path("a.yaml")).unwrap().ends_with("# by hand\n"));
    }
}

#[tokio::test]
async fn what_is_wrong_is_named_by_field_and_leaves_no_trace() {
    let folder = Folder::new(&[("a.yaml", &pool("a", 1))]);
    let world = World::start(&folder).await;
    let cases = [
        (json!({"wieght": 1}), "spec.wieght"),
        (json!({"weight": 70000}), "spec.weight"),
        (json!({"enabled": "yes"}), "spec.enabled"),
        (json!({"balance": {"method": "Fastest"}}), "spec.balance.method"),
        (json!({"balance": {"method": "Random", "hash": {"source": "Address"}}}), "spec.balance.hash"),
        (json!({"match": [{"path": {"type": "Prefix", "value": "x"}}]}), "spec.match[0].path.value"),
    ];
    for (spec, field) in cases {
        for (method, path, name) in [("POST", POOLS.to_owned(), "b"), ("PUT", format!("{POOLS}/a"), "a")] {
            let (code, status) = ask(&world, method, &path, &[JSON], manifest("Pool", name, spec.clone())).await;
            assert_eq!(
                (code, &status["kind"], &status["reason"]),
                (422, &json!("Status"), &json!("Invalid")),
                "{status}"
            );
            assert_eq!(fields(&status), [field], "{status}");
            assert!(status["message"].as_str().unwrap().contains(field), "{status}");
        }
        assert_eq!(merge(&world, &format!("{POOLS}/a"), json!({"spec": spec})).await.0, 422);
    }
    let mut owned = manifest("Pool", "b", json!({}));
    owned["metadata"]["finalizers"] = json!(["x"]);
    assert_eq!(fields(&ask(&world, "POST", POOLS, &[JSON], owned).await.1), ["metadata.finalizers"]);
    assert_eq!(fs::read_to_string(folder.path("a.yaml")).unwrap(), pool("a", 1));
    assert_eq!(fs::read_dir(folder.path("")).unwrap().count(), 1, "no other file");
}

#[tokio::test]
async fn bad_requests_are_refused_each_with_its_code() {
    let folder = Folder::new(&[("a.yaml", &pool("a", 1))]);
    let world = World::start(&folder).await;
    let a = format!("{POOLS}/a");
    let (strategic, apply) = ("application/strategic-merge-patch+json", "application/apply-patch+yaml");
    let cases: [(&str, &str, &str, &str, u16); 17] = [
        ("GET", "/apis/weir.dev/v1alpha1/pols", "", "", 404),
        ("GET", "/apis/weir.dev/v1/pools", "", "", 404),
        ("GET", "/apis/weir.dev/v1alpha1/namespaces/default/pools/none", "", "", 404),
        ("GET", "/apis/weir.dev/v1alpha1/namespaces/A_b/pools/x", "", "", 400),
        ("GET", "/apis/weir.dev/v1alpha1/pools?labelSelector=a%20b", "", "", 400),
        ("GET", "/apis/weir.dev/v1alpha1/pools?fieldSelector=spec.weight%3D1", "", "", 400),
        ("GET", "/apis/weir.dev/v1alpha1/pools?watch=1&resourceVersion=x", "", "", 400),
        ("PATCH", &a, strategic, "{}", 415),
        ("PATCH", &a, apply, "{}", 415),
        ("POST", POOLS, "application/vnd.kubernetes.protobuf", "k8s", 415),
        ("POST", POOLS, "application/json", "{\"kind\": ", 400),
        ("POST", POOLS, "application/json", "", 400),
        (
            "PUT",
            &a,
            "application/json",
            "{\"apiVersion\":\"weir.dev/v1alpha1\",\"kind\":\"Pool\",\"metadata\":{\"name\":\"b\"},\"spec\":{}}",
            400,
        ),
        ("PATCH", &a, "application/json-patch+json", "[{\"op\":\"jump\"}]", 400),
        ("PATCH", &a, "application/json-patch+json", "[{\"op\":\"remove\",\"path\":\"/spec/none\"}]", 422),
        ("DELETE", "/apis/weir.dev/v1alpha1/pools", "", "", 405),
        ("OPTIONS", &a, "", "", 405),
    ];
    for (method, path, form, body, expected) in cases {
        let (code, head, text) = raw(&world, method, path, &[("content-type", form)], body).await;
        assert_eq!(code, expected, "{method} {path} {body}: {text}");
        let status: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&status["kind"], &status["code"]), (&json!("Status"), &json!(expected)), "{text}");
        assert_eq!(head.contains("\nallow: "), code == 405, "{head}");
    }
    let large = format!("{{\"x\": \"{}\"}}", "x".repeat(3 * 1024 * 1024));
    assert_eq!(raw(&world, "POST", POOLS, &[JSON], &large).await.0, 413);
    assert_eq!(raw(&world, "HEAD", &a, &[], "").await.2, "", "a head has no body");
    assert_eq!(world.weight("a"), Some(1));
}

#[tokio::test]
async fn pages_of_others_and_names_of_others_are_kept_out() {
    let folder = Folder::new(&[("a.yaml", &pool("a", 1))]);
    let world = World::start(&folder).await;
    let (own, a) = (format!("http://{}", world.admin), format!("{POOLS}/a"));
    let cases: [(&[(&str, &str)], u16); 4] = [
        (&[("origin", own.as_str())], 200),
        (&[("origin", "http://evil.test")], 403),
        (&[("host", "evil.test")], 403),
        (&[("host", "evil.test"), ("origin", "http://evil.test")], 403),
    ];
    for (headers, expected) in cases {
        let headers = [headers, &[MERGE]].concat();
        assert_eq!(raw(&world, "PATCH", &a, &headers, "{\"spec\":{\"weight\":9}}").await.0, expected, "{headers:?}");
        assert_eq!(raw(&world, "GET", &a, &headers, "").await.0, expected, "{headers:?}");
    }
    assert_eq!(raw(&world, "GET", "/metrics", &[("host", "weir.example")], "").await.0, 200, "metrics are for all");
}

#[tokio::test]
async fn elsewhere_than_on_loopback_a_token_is_needed() {
    let folder = Folder::new(&[("a.yaml", &pool("a", 1))]);
    let everywhere = || ([0, 0, 0, 0], 0).into();
    let mut open = World::of(bind_with(folder.path(""), |config| config.admin.address = everywhere()).await).await;
    open.admin.set_ip([127, 0, 0, 1].into());
    let (code, status) = ask(&open, "GET", GROUP_POOLS, &[], Value::Null).await;
    assert_eq!((code, &status["reason"]), (403, &json!("Forbidden")));
    assert!(status["message"].as_str().unwrap().contains("--api-token-file"), "{status}");
    assert_eq!(raw(&open, "GET", "/metrics", &[], "").await.0, 200);
    open.stop().await;

    let secret = Folder::new(&[("token", "s3cret\n")]);
    let with_token = |config: &mut weir_control_plane::config::Config| {
        config.admin.address = everywhere();
        config.api_token_file = Some(secret.path("token"));
    };
    let mut world = World::of(bind_with(folder.path(""), with_token).await).await;
    world.admin.set_ip([127, 0, 0, 1].into());
    for (token, expected) in [("Bearer s3cret", 200), ("Bearer other", 401), ("", 401)] {
        let headers = [("host", "weir.example"), ("authorization", token)];
        let (code, head, _) = raw(&world, "GET", GROUP_POOLS, &headers, "").await;
        assert_eq!((code, head.contains("www-authenticate: bearer")), (expected, expected == 401));
    }
}

#[tokio::test]
async fn files_marked_static_take_only_enabled() {
    let text = format!("# of the platform team\n# weir: static\n{}", pool("a", 1) + &backend("x", "a", 1));
    let folder = Folder::new(&[("a.yaml", &text)]);
    let world = World::start(&folder).await;
    let x = format!("{GROUP}/namespaces/default/backends/x");
    for (method, path, patch) in [
        ("PATCH", &x, json!({"spec": {"weight": 2}})),
        ("PATCH", &x, json!({"spec": {"enabled": false, "weight": 2}})),
        ("PATCH", &x, json!({"metadata": {"labels": {"a": "b"}}})),
        ("DELETE", &x, Value::Null),
    ] {
        let (code, status) = ask(&world, method, path, &[MERGE], patch).await;
        assert_eq!((code, &status["reason"]), (403, &json!("Forbidden")), "{status}");
        assert!(status["message"].as_str().unwrap().contains("a.yaml is marked `# weir: static`"), "{status}");
    }
    let (code, object) = merge(&world, &x, json!({"spec": {"enabled": false}})).await;
    assert_eq!((code, &object["spec"]["enabled"]), (200, &json!(false)));
    let expected = text.replace("80', weight: 1}", "80', weight: 1, enabled: false}");
    assert_eq!(fs::read_to_string(folder.path("a.yaml")).unwrap(), expected);
}

#[tokio::test]
async fn a_dry_run_shows_what_would_be_and_writes_nothing() {
    let folder = Folder::new(&[("a.yaml", &pool("a", 1))]);
    let world = World::start(&folder).await;
    let a = format!("{POOLS}/a");
    let (code, shown) = merge(&world, &format!("{a}?dryRun=All"), json!({"spec": {"weight": 2}})).await;
    assert_eq!((code, &shown["spec"]["weight"], &shown["metadata"]["generation"]), (200, &json!(2), &json!(2)));
    let (new, backends) =
        (manifest("Backend", "b", json!({"pool": "a", "address": "h:1"})), POOLS.replace("pools", "backends"));
    let (code, shown) = ask(&world, "POST", &format!("{backends}?dryRun=All"), &[JSON], new).await;
    assert_eq!((code, &shown["spec"]["enabled"]), (201, &json!(true)), "with defaults");
    assert_eq!(ask(&world, "DELETE", &a, &[JSON], json!({"dryRun": ["All"]})).await.0, 200);
    assert_eq!(ask(&world, "DELETE", &format!("{a}?dryRun=Some"), &[], Value::Null).await.0, 400);
    assert_eq!(fs::read_to_string(folder.path("a.yaml")).unwrap(), pool("a", 1));
    assert_eq!((world.weight("a"), fs::read_dir(folder.path("")).unwrap().count()), (Some(1), 1));
}

#[tokio::test]
async fn a_list_is_made_all_or_nothing_where_asked() {
    let folder = Folder::new(&[("a.yaml", &(pool("a", 1) + &pool("b", 1)))]);
    let mut world = World::start(&folder).await;
    let list = |items: &[Value]| json!({"apiVersion": "v1", "kind": "List", "items": items});
    let with = |name: &str, weight: u32| manifest("Pool", name, json!({"weight": weight}));
    let bad = list(&[with("a", 2), with("c", 2), with("b", 70_000), with("d", 80_000)]);
    let (code, status) = ask(&world, "POST", &format!("{GROUP}?atomic=true"), &[JSON], bad.clone()).await;
    assert_eq!((code, fields(&status)), (422, vec!["items[2].spec.weight", "items[3].spec.weight"]), "{status}");
    assert_eq!((world.weight("a"), world.weight("c")), (Some(1), None), "nothing was changed");

    let mut snapshots = world.snapshots();
    snapshots.mark_unchanged();
    let good = list(&[with("a", 3), with("c", 3), with("b", 3)]);
    let (code, answer) = ask(&world, "POST", &format!("{GROUP}?atomic=true"), &[JSON], good).await;
    assert_eq!((code, answer["items"].as_array().unwrap().len()), (200, 3), "{answer}");
    let snapshot = snapshots.borrow_and_update().clone().unwrap();
    let weights = ["a", "b", "c"].map(|name| super::world::weight(&snapshot, name));
    assert_eq!(weights, [Some(3); 3], "one step for the proxies");
    assert!(!folder.path(".weir-journal").exists());

    let (code, answer) = ask(&world, "POST", GROUP, &[JSON], bad).await;
    let kinds: Vec<&str> =
        answer["items"].as_array().unwrap().iter().map(|item| item["kind"].as_str().unwrap()).collect();
    assert_eq!((code, kinds), (200, vec!["Pool", "Pool", "Status", "Status"]));
    world.becomes("c", Some(2)).await;
    let twice = list(&[with("a", 1), with("a", 2)]);
    assert_eq!(ask(&world, "POST", GROUP, &[JSON], twice).await.0, 400);
}

/// Lines of a watch.
struct Watch(BufReader<OwnedReadHalf>);

impl Watch {
    async fn start(world: &World, path: &str) -> Self {
        let (read, mut write) = TcpStream::connect(world.admin).await.unwrap().into_split();
        let head = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", world.admin);
        write.write_all(head.as_bytes()).await.unwrap();
        write.forget();
        let mut reader = BufReader::new(read);
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            reader.read_line(&mut line).await.unwrap();
        }
        Self(reader)
    }

    /// The next event; `None` at a proper end. Lengths of chunks are passed over.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            let mut line = String::new();
            tokio::time::timeout(SOON, self.0.read_line(&mut line)).await.expect("an event").unwrap();
            assert!(!line.is_empty(), "it was cut off");
            if line == "0\r\n" {
                return None;
            }
            if line.starts_with('{') {
                let event: Value = serde_json::from_str(&line).unwrap();
                return Some((event["type"].as_str().unwrap().to_owned(), event["object"].clone()));
            }
        }
    }

    /// Passes over changes of nothing but a status.
    async fn of(&mut self, kinds: &[&str]) -> (String, Value) {
        loop {
            let (kind, object) = self.next().await.expect("an event");
            if kinds.contains(&kind.as_str()) {
                return (kind, object);
            }
        }
    }
}

#[tokio::test]
async fn a_watch_tells_what_there_is_and_each_change_and_ends_properly() {
    let folder = Folder::new(&[("a.yaml", &pool("a", 1))]);
    let world = World::start(&folder).await;
    let mut watch = Watch::start(&world, &format!("{GROUP_POOLS}?watch=true")).await;
    assert_eq!(watch.of(&["ADDED"]).await.1["metadata"]["name"], "a");
    let before = version(&get(&world, GROUP_POOLS).await);
    folder.write("b.yaml", &pool("b", 1));
    assert_eq!(watch.of(&["ADDED"]).await.1["metadata"]["name"], "b", "a change by hand");
    merge(&world, &format!("{POOLS}/b"), json!({"metadata": {"labels": {"x": "y"}}})).await;
    let labelled = loop {
        let (_, object) = watch.of(&["MODIFIED"]).await;
        if object["metadata"]["labels"]["x"] == "y" {
            break object;
        }
    };
    assert!(version(&labelled) > before);
    ask(&world, "DELETE", &format!("{POOLS}/b"), &[], Value::Null).await;
    assert_eq!(watch.of(&["DELETED"]).await.1["metadata"]["name"], "b");

    let mut resumed = Watch::start(
        &world,
        &format!("{GROUP_POOLS}?watch=true&resourceVersion={before}&fieldSelector=metadata.name%3Db"),
    )
    .await;
    assert_eq!(resumed.next().await.unwrap().0, "ADDED", "from that version on");
    let mut labelled =
        Watch::start(&world, &format!("{GROUP_POOLS}?watch=true&resourceVersion={before}&labelSelector=x")).await;
    assert_eq!(labelled.next().await.unwrap().0, "ADDED", "it is new for this client since it is labelled");
    assert_eq!(labelled.of(&["DELETED"]).await.1["metadata"]["name"], "b");

    let mut late = Watch::start(&world, &format!("{GROUP_POOLS}?watch=true&resourceVersion=5")).await;
    let (kind, status) = late.next().await.unwrap();
    assert_eq!((kind.as_str(), &status["code"], late.next().await), ("ERROR", &json!(410), None));
    let mut short = Watch::start(
        &world,
        &format!("{GROUP_POOLS}?watch=true&resourceVersion={before}&fieldSelector=metadata.name%3Dz&timeoutSeconds=1"),
    )
    .await;
    assert_eq!(short.next().await, None);
    let initial = format!(
        "{GROUP_POOLS}?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    );
    let mut streamed = Watch::start(&world, &initial).await;
    let (_, bookmark) = streamed.of(&["BOOKMARK"]).await;
    assert_eq!(bookmark["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");

    let open = tokio::spawn(async move { while watch.next().await.is_some() {} });
    world.stop().await;
    tokio::time::timeout(SOON, open).await.expect("an end").unwrap();
}

#[tokio::test]
async fn json_files_stay_json_and_links_stay_links() {
    let outside = Folder::new(&[("target.yaml", &pool("b", 1))]);
    let json = "{\n  \"apiVersion\": \"weir.dev/v1alpha1\",\n  \"kind\": \"Pool\",\n  \"metadata\": {\"name\": \"a\"},\n  \"spec\": {\n    \"weight\": 1\n  }\n}\n";
    let folder = Folder::new(&[("a.json", json)]);
    std::os::unix::fs::symlink(outside.path("target.yaml"), folder.path("b.yaml")).unwrap();
    let world = World::start(&folder).await;
    for name in ["a", "b"] {
        let patch = json!({"spec": {"weight": 2, "balance": {"method": "Random"}}});
        assert_eq!(merge(&world, &format!("{POOLS}/{name}"), patch).await.0, 200);
    }
    let written: Value = serde_json::from_str(&fs::read_to_string(folder.path("a.json")).unwrap()).unwrap();
    assert_eq!(written["spec"], json!({"weight": 2, "balance": {"method": "Random"}}));
    assert!(folder.path("b.yaml").is_symlink());
    assert!(fs::read_to_string(outside.path("target.yaml")).unwrap().contains("weight: 2"));
    assert_eq!(names(&outside.path("")), ["target.yaml"], "nothing is left beside it");
}

fn names(folder: &Path) -> Vec<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn what_was_left_half_written_is_finished_or_forgotten_at_the_start() {
    let folder = Folder::new(&[("a.yaml", &pool("a", 1)), (".a.yaml.weir-tmp", "half")]);
    let step = |name: &str, text: &str| json!({"path": folder.path(name), "before": null, "text": text});
    let journal = json!([step("b.yaml", &pool("b", 2)), step("c.yaml", &pool("c", 3))]);
    folder.write(".weir-journal", &journal.to_string());
    let world = World::start(&folder).await;
    assert_eq!(["a", "b", "c"].map(|name| world.weight(name)), [Some(1), Some(2), Some(3)]);
    let mut left = names(&folder.path(""));
    left.sort();
    assert_eq!(left, ["a.yaml", "b.yaml", "c.yaml"]);
}

#[tokio::test]
async fn writers_that_come_at_once_lose_nothing() {
    let folder = Folder::new(&[("a.yaml", &pool("a", 1))]);
    let world = std::sync::Arc::new(World::start(&folder).await);
    let writers = (0..16).map(|i| {
        let world = world.clone();
        tokio::spawn(async move {
            let label = json!({"metadata": {"labels": {(format!("l{i}")): "x"}}});
            let (code, status) = merge(&world, &format!("{POOLS}/a"), label).await;
            assert_eq!(code, 200, "{status}");
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        tokio::time::timeout(Duration::from_secs(60), writer).await.unwrap().unwrap();
    }
    let labels = get(&world, &format!("{POOLS}/a")).await["metadata"]["labels"].as_object().unwrap().len();
    assert_eq!(labels, 16);
}
