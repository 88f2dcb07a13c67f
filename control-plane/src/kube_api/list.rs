//! Several objects in one request: `POST /apis/weir.dev/v1alpha1` of a List makes each of them, or replaces what there
//! is; with `?atomic=true` all or none, in one step for the proxies too.

use std::collections::BTreeSet;
use std::sync::Arc;

use hyper::Request;
use hyper::body::Incoming;
use serde_json::{Value, json};
use weir_proto::model::{Key, Kind};

use super::candidate::{self, Must, Plan};
use super::query::Query;
use super::refusal::Refusal;
use super::reply::{self, Reply};
use super::write::commit;
use super::{Files, body};

/// What is to become of one item.
type Item = Result<(Key, Value), Refusal>;

pub(super) async fn apply(files: &Arc<Files>, query: &Query, request: Request<Incoming>) -> Result<Reply, Refusal> {
    let items = items(body::value(request).await?)?;
    let shown = if query.atomic { together(files, query, items).await? } else { each(files, query, items).await };
    Ok(reply::json(&json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": shown})))
}

fn items(mut list: Value) -> Result<Vec<Item>, Refusal> {
    let is_list = list["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
    let Value::Array(items) = list["items"].take() else {
        return Err(Refusal::bad_request("a List with items is needed"));
    };
    if !is_list {
        return Err(Refusal::bad_request("kind: a List is needed"));
    }
    let items: Vec<Item> = items.into_iter().map(item).collect();
    let mut keys = BTreeSet::new();
    match items.iter().flatten().find(|(key, _)| !keys.insert(key)) {
        Some((key, _)) => Err(Refusal::bad_request(format!("{key} is in the List twice"))),
        None => Ok(items),
    }
}

fn item(body: Value) -> Item {
    let kind = Kind::GIVEN.into_iter().find(|kind| body["kind"] == kind.as_str());
    let kind = kind.ok_or_else(|| Refusal::bad_request(format!("kind: {} is none of Weir's", body["kind"])))?;
    Ok((candidate::key_of(kind, &body, None)?, body))
}

/// All, or none and what is wrong with each.
async fn together(files: &Arc<Files>, query: &Query, items: Vec<Item>) -> Result<Vec<Value>, Refusal> {
    let plan = move |files: &Files| {
        let outcomes = items.iter().map(|item| planned(files, item));
        let (mut plans, mut refused) = (Vec::new(), Vec::new());
        for (i, outcome) in outcomes.enumerate() {
            match outcome {
                Ok(plan) => plans.push(plan),
                Err(refusal) => refused.push((i, refusal)),
            }
        }
        if refused.is_empty() { Ok(plans) } else { Err(all_refused(&refused)) }
    };
    Ok(commit(files, query.dry_run, plan).await?.into_iter().map(|(_, object)| object).collect())
}

fn planned(files: &Files, item: &Item) -> Result<Plan, Refusal> {
    let (key, body) = item.clone()?;
    candidate::put(&key, files.objects.get(&key).as_ref(), body, Must::Either)
}

fn all_refused(refused: &[(usize, Refusal)]) -> Refusal {
    let lines: Vec<String> = refused.iter().map(|(i, refusal)| format!("items[{i}]: {}", refusal.message())).collect();
    let mut causes = Vec::new();
    for (i, refusal) in refused {
        let mut own = refusal.causes();
        if own.is_empty() {
            own.push(Default::default());
            own[0].message = Some(refusal.message().to_owned());
        }
        for mut cause in own {
            cause.field =
                Some(cause.field.map_or_else(|| format!("items[{i}]"), |field| format!("items[{i}].{field}")));
            causes.push(cause);
        }
    }
    Refusal::together(format!("nothing was changed: {}", lines.join("; ")), &refused[0].1, causes)
}

/// Each for itself: objects as they are then, and refusals as Statuses.
async fn each(files: &Arc<Files>, query: &Query, items: Vec<Item>) -> Vec<Value> {
    let mut shown = Vec::new();
    for item in items {
        let plan = move |files: &Files| Ok(vec![planned(files, &item)?]);
        shown.push(match commit(files, query.dry_run, plan).await {
            Ok(mut outcome) => outcome.swap_remove(0).1,
            // A Status always has a JSON form.
            Err(refusal) => serde_json::to_value(&refusal.status).unwrap_or_default(),
        });
    }
    shown
}
