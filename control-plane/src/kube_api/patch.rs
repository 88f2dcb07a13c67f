//! Changes that say what is different: merge patches and JSON patches.

use std::sync::Arc;

use hyper::Request;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use serde_json::Value;
use weir_proto::model::Key;

use super::candidate::{self, Must};
use super::query::Query;
use super::refusal::Refusal;
use super::reply::{self, Reply};
use super::write::commit;
use super::{Files, body};

/// Media types.
pub(super) const MERGE: &str = "application/merge-patch+json";
pub(super) const JSON: &str = "application/json-patch+json";

/// A change of a value.
#[derive(Debug)]
enum Patch {
    Merge(Value),
    Json(json_patch::Patch),
}

pub(super) async fn patch(
    files: &Arc<Files>,
    key: &Key,
    query: &Query,
    request: Request<Incoming>,
) -> Result<Reply, Refusal> {
    let patch = read(request).await?;
    let key = key.clone();
    let plan = move |files: &Files| {
        let now = files.objects.get(&key).ok_or_else(|| Refusal::no_object(&key))?;
        let mut object = Value::clone(&now.object);
        patch.apply(&key, &mut object)?;
        Ok(vec![candidate::put(&key, Some(&now), object, Must::Exist)?])
    };
    Ok(reply::json(&commit(files, query.dry_run, plan).await?.swap_remove(0).1))
}

async fn read(request: Request<Incoming>) -> Result<Patch, Refusal> {
    match body::form(&request).as_str() {
        MERGE => Ok(Patch::Merge(parsed(request).await?)),
        JSON => Ok(Patch::Json(parsed(request).await?)),
        _ => Err(Refusal::unsupported(&format!("{JSON}, {MERGE}"))),
    }
}

async fn parsed<T: DeserializeOwned>(request: Request<Incoming>) -> Result<T, Refusal> {
    let bytes = body::bytes(request).await?;
    serde_json::from_slice(&bytes).map_err(|error| Refusal::bad_request(format!("error decoding patch: {error}")))
}

impl Patch {
    fn apply(&self, key: &Key, object: &mut Value) -> Result<(), Refusal> {
        match self {
            Self::Merge(patch) => {
                json_patch::merge(object, patch);
                Ok(())
            }
            Self::Json(patch) => json_patch::patch(object, patch)
                .map_err(|error| Refusal::invalid(key, &[(error.path.to_string(), error.kind.to_string())])),
        }
    }
}
