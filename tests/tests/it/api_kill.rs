//! `kill -9` while the API writes: what was answered is there afterwards, and no file is broken.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use http::Request;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tempfile::TempDir;
use weir_tests::client::full;
use weir_tests::{Replica, eventually, get, send};

const GROUP: &str = "/apis/weir.dev/v1alpha1";
const BACKENDS: &str = "/apis/weir.dev/v1alpha1/namespaces/default/backends";

/// Writes of a whole run.
const WRITES: usize = 500;
/// An answer may take so long; a kill comes at any moment of that, or after it.
const IN_FLIGHT: Duration = Duration::from_millis(12);

/// A file that people wrote: what they say in it must outlive everything.
const BY_HAND: &str = "\
# of the shop: do not delete
apiVersion: weir.dev/v1alpha1
kind: Pool
metadata: {name: web}
spec: {}   # nothing yet
---
apiVersion: weir.dev/v1alpha1
kind: Backend
metadata: {name: b0}
# agreed with the team
spec: {pool: web, address: \"127.0.0.1:9000\", weight: 0}
";

/// The weight of each Backend; `None` = it is gone.
type Change = Vec<(String, Option<u32>)>;
type Model = BTreeMap<String, u32>;

fn apply(model: &Model, change: &Change) -> Model {
    let mut model = model.clone();
    for (name, weight) in change {
        match weight {
            Some(weight) => drop(model.insert(name.clone(), *weight)),
            None => drop(model.remove(name)),
        }
    }
    model
}

fn manifest(name: &str, weight: u32) -> Value {
    json!({"apiVersion": "weir.dev/v1alpha1", "kind": "Backend", "metadata": {"name": name},
        "spec": {"pool": "web", "address": "127.0.0.1:9000", "weight": weight}})
}

/// Any write that is right, and what it changes.
fn any_write(model: &Model, rng: &mut SmallRng, weight: u32) -> (&'static str, String, Value, Change) {
    let name = format!("b{}", rng.random_range(0..12));
    let path = format!("{BACKENDS}/{name}");
    match (rng.random_range(0..10), model.contains_key(&name)) {
        (0, _) => {
            let names: Vec<String> = (0..4).map(|i| format!("b{}", i * 3)).collect();
            let items: Vec<Value> = names.iter().map(|name| manifest(name, weight)).collect();
            let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
            let change = names.into_iter().map(|name| (name, Some(weight))).collect();
            ("POST", format!("{GROUP}?atomic=true"), list, change)
        }
        (1 | 2, true) if name != "b0" => ("DELETE", path, Value::Null, vec![(name, None)]),
        (3, true) => ("PUT", path, manifest(&name, weight), vec![(name, Some(weight))]),
        (_, true) => ("PATCH", path, json!({"spec": {"weight": weight}}), vec![(name, Some(weight))]),
        (_, false) => ("POST", BACKENDS.to_owned(), manifest(&name, weight), vec![(name, Some(weight))]),
    }
}

async fn write(replica: &Replica, (method, path, body): (&str, &str, &Value)) -> anyhow::Result<u16> {
    let form = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let text = if body.is_null() { String::new() } else { body.to_string() };
    let url = format!("http://{}{path}", replica.admin());
    let request = Request::builder().method(method).uri(url).header("content-type", form).body(full(text))?;
    Ok(send(replica.admin(), request).await?.status)
}

/// What the API shows.
async fn shown(replica: &Replica) -> Model {
    let list = eventually("the API answers", async || {
        let answer = get(replica.admin(), BACKENDS).await.ok()?;
        (answer.status == 200).then(|| answer.json())
    })
    .await;
    let weight = |item: &Value| item["spec"]["weight"].as_u64().and_then(|weight| u32::try_from(weight).ok());
    let items = list["items"].as_array().unwrap().iter();
    items.map(|item| (item["metadata"]["name"].as_str().unwrap().to_owned(), weight(item).unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answered_write_outlives_kill_9_and_no_file_is_broken() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("web.yaml"), BY_HAND).unwrap();
    let (mut rng, mut done, mut kills) = (SmallRng::seed_from_u64(7), 0, 0);
    let mut possible = vec![Model::from([("b0".to_owned(), 0)])];
    while done < WRITES {
        let replica = Replica::start(folder.path(), "127.0.0.1:0", &[]).await;
        let mut model = shown(&replica).await;
        assert!(possible.contains(&model), "after {kills} kills:\n{possible:?}\n{model:?}");
        is_sound(&folder, &replica).await;
        for _ in 0..rng.random_range(5..40) {
            let (method, path, body, change) = any_write(&model, &mut rng, u32::try_from(done).unwrap());
            let code = write(&replica, (method, &path, &body)).await.unwrap();
            assert!(code < 300, "{method} {path}: {code}");
            (model, done) = (apply(&model, &change), done + 1);
        }
        let (method, path, body, change) = any_write(&model, &mut rng, u32::try_from(done).unwrap());
        let killed = tokio::time::sleep(IN_FLIGHT.mul_f64(rng.random()));
        let answered = tokio::select! {
            biased;
            answered = write(&replica, (method, &path, &body)) => answered.is_ok_and(|code| code < 300),
            () = killed => false,
        };
        replica.kill().await;
        kills += 1;
        // With the last write if that was answered, else with or without it, never in between.
        let after = apply(&model, &change);
        possible = if answered { vec![after] } else { vec![model, after] };
    }
    assert!(kills > 10, "{kills}");
}

/// No file is broken, what people wrote is there, and nothing half done is left.
async fn is_sound(folder: &TempDir, replica: &Replica) {
    let resources = get(replica.admin(), "/api/v1/resources").await.unwrap().json();
    assert_eq!(resources["problems"], json!([]));
    let text = fs::read_to_string(folder.path().join("web.yaml")).unwrap();
    let comments = ["# of the shop: do not delete\n", "# nothing yet\n", "# agreed with the team\n"];
    assert!(comments.iter().all(|comment| text.contains(comment)), "{text}");
    for place in [folder.path().to_owned(), folder.path().join("default")] {
        let names =
            fs::read_dir(place).into_iter().flatten().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let left: Vec<String> = names.filter(|name| name.ends_with(".weir-tmp") || name == ".weir-journal").collect();
        assert_eq!(left, [""; 0], "what was left is cleaned up");
    }
}
