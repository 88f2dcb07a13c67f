//! Changes: each is planned, written and answered before the next one begins.

use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use serde_json::Value;
use tokio::time::sleep;
use weir_proto::model::Key;

use super::candidate::{self, Must, Plan};
use super::query::Query;
use super::refusal::Refusal;
use super::reply::{self, Reply};
use super::route::Collection;
use super::{Files, body};
use crate::objects::IDENTITIES;
use crate::source::file::{WriteError, replace_soon};

/// How often a change is planned anew, as somebody is changing the files under it, and the time between.
const ATTEMPTS: usize = 10;
const PAUSE: Duration = Duration::from_millis(30);

pub(super) async fn create(
    files: &Arc<Files>,
    of: &Collection,
    query: &Query,
    request: Request<Incoming>,
) -> Result<Reply, Refusal> {
    let body = body::value(request).await?;
    let key = candidate::key_of(of.kind, &body, of.namespace.as_deref())?;
    let made = put(files, query, key, body, Must::BeNew).await?;
    Ok(reply::created(&made))
}

pub(super) async fn replace(
    files: &Arc<Files>,
    key: &Key,
    query: &Query,
    request: Request<Incoming>,
) -> Result<Reply, Refusal> {
    let body = body::value(request).await?;
    candidate::key_of(key.kind, &body, Some(key.name.namespace()))?;
    Ok(reply::json(&put(files, query, key.clone(), body, Must::Exist).await?))
}

async fn put(files: &Arc<Files>, query: &Query, key: Key, body: Value, must: Must) -> Result<Value, Refusal> {
    let plan = move |files: &Files| {
        let now = files.objects.get(&key);
        Ok(vec![candidate::put(&key, now.as_ref(), body.clone(), must)?])
    };
    Ok(commit(files, query.dry_run, plan).await?.swap_remove(0).1)
}

pub(super) async fn delete(
    files: &Arc<Files>,
    key: &Key,
    query: &Query,
    request: Request<Incoming>,
) -> Result<Reply, Refusal> {
    let options = body::optional(request).await?;
    let is_dry = query.dry_run || options["dryRun"].as_array().is_some_and(|stages| !stages.is_empty());
    let key = key.clone();
    let plan = move |files: &Files| {
        let now = files.objects.get(&key);
        Ok(vec![candidate::delete(&key, now.as_ref(), &options["preconditions"])?])
    };
    let (plan, _) = commit(files, is_dry, plan).await?.swap_remove(0);
    Ok(reply::json(&candidate::deleted(&plan)))
}

/// Carries out what is planned, all or nothing, and gives each object as it is then. It comes to its end even if the
/// client leaves.
pub(super) async fn commit(
    files: &Arc<Files>,
    is_dry: bool,
    plan: impl Fn(&Files) -> Result<Vec<Plan>, Refusal> + Send + 'static,
) -> Result<Vec<(Plan, Value)>, Refusal> {
    let files = files.clone();
    let work = tokio::spawn(async move {
        let _writing = files.writing.lock().await;
        for _ in 0..ATTEMPTS {
            let plans = plan(&files)?;
            if is_dry {
                let shown: Vec<Value> = plans.iter().map(|plan| plan.preview.clone()).collect();
                return Ok(plans.into_iter().zip(shown).collect());
            }
            match carry_out(&files, &plans).await {
                Ok(()) => return recorded(&files, plans).await,
                Err(WriteError::Changed) => sleep(PAUSE).await,
                Err(error) => return Err(Refusal::internal(error.to_string())),
            }
        }
        Err(Refusal::busy())
    });
    work.await.map_err(|error| Refusal::internal(error.to_string()))?
}

async fn carry_out(files: &Files, plans: &[Plan]) -> Result<(), WriteError> {
    let wishes: Vec<_> = plans.iter().filter_map(|plan| plan.wish.clone()).collect();
    plans.iter().for_each(|plan| files.objects.note(&plan.key, plan.note.clone()));
    let outcome = if wishes.is_empty() { Ok(()) } else { files.editor.write(wishes).await };
    plans.iter().for_each(|plan| files.objects.settle(&plan.key, outcome.is_err()));
    outcome
}

/// Keeps what cannot be seen in the user's files, and gives the objects.
async fn recorded(files: &Files, plans: Vec<Plan>) -> Result<Vec<(Plan, Value)>, Refusal> {
    let keys: Vec<Key> = plans.iter().map(|plan| plan.key.clone()).collect();
    if let Some(text) = files.objects.record(&keys) {
        let path = files.folder.join(IDENTITIES);
        let write = tokio::task::spawn_blocking(move || replace_soon(&path, &text));
        let written = write.await.map_err(|error| Refusal::internal(error.to_string()))?;
        written.map_err(|error| {
            Refusal::internal(format!("the change is in force, but not what kubectl noted: {error}"))
        })?;
    }
    let shown = |plan: Plan| {
        let now = files.objects.get(&plan.key).map(|entry| Arc::unwrap_or_clone(entry.object));
        (plan, now.unwrap_or_default())
    };
    Ok(plans.into_iter().map(shown).collect())
}
