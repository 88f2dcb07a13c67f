//! Writes one status into its object, if it is not there already.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::{Client, Error};
use serde_json::{Value, json};
use weir_proto::model::{Key, Kind};

use super::document::Document;
use super::events::{Events, notes};
use super::{ConditionState, Observed, Seen, Status};
use crate::api::{API_VERSION, Backend, Plugin, Pool};
use crate::metrics::Metrics;

const FIELD_MANAGER: &str = "weir-control-plane";

/// A patch that takes longer has failed.
const WITHIN: Duration = Duration::from_secs(10);

/// Writes one status at a time; cheap to clone.
#[derive(Clone)]
pub(super) struct Patcher {
    pub(super) client: Client,
    pub(super) observed: Arc<Observed>,
    pub(super) events: Events,
    pub(super) metrics: Arc<Metrics>,
}

/// What has become of a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The object has it, or is gone.
    Done,
    /// The API server cannot take it now.
    Busy,
    /// The API server does not want it: there is no permission, or the definition in the cluster is another.
    Refused,
}

impl Patcher {
    /// Writes a status, unless the object has it already. What only proxies can know is left as it is until it
    /// `is_settled`.
    pub(super) async fn write(&self, key: &Key, status: &Status, is_settled: bool) -> Outcome {
        // One that is not known is gone, or will be seen soon, and looked at then.
        let Some(seen) = self.observed.get(key) else { return Outcome::Done };
        if !is_settled && is_judged(status, &seen) {
            return Outcome::Done;
        }
        let document = Document::new(status, &seen, Timestamp::now());
        if seen.has(&document) {
            return Outcome::Done;
        }
        let result = tokio::time::timeout(WITHIN, self.patch(key, &seen, &document)).await;
        let outcome = match &result {
            Ok(Ok(object)) => {
                self.observed.wrote(key, &object.metadata, object.data.get("status"));
                notes(&seen, status).into_iter().for_each(|note| self.events.tell(key, &seen, note));
                Outcome::Done
            }
            Ok(Err(error)) => failure(key, error),
            Err(_) => Outcome::Busy,
        };
        self.metrics.patched(key.kind, matches!(result, Ok(Ok(_))));
        outcome
    }

    async fn patch(&self, key: &Key, seen: &Seen, document: &Document) -> Result<DynamicObject, Error> {
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        self.api(key).patch_status(key.name.name(), &parameters, &Patch::Apply(body(key, seen, document))).await
    }

    fn api(&self, key: &Key) -> Api<DynamicObject> {
        let resource = match key.kind {
            Kind::Pool => ApiResource::erase::<Pool>(&()),
            Kind::Plugin => ApiResource::erase::<Plugin>(&()),
            Kind::Backend | Kind::Endpoints => ApiResource::erase::<Backend>(&()),
        };
        Api::namespaced_with(self.client.clone(), key.name.namespace(), &resource)
    }
}

/// The uid makes sure that another object of the same name does not get it.
fn body(key: &Key, seen: &Seen, document: &Document) -> Value {
    json!({
        "apiVersion": API_VERSION,
        "kind": key.kind.as_str(),
        "metadata": {"namespace": key.name.namespace(), "name": key.name.name(), "uid": seen.uid},
        "status": document,
    })
}

/// Whether an object says already what can be said without any proxy.
fn is_judged(status: &Status, seen: &Seen) -> bool {
    let [accepted, resolved, _] = status.conditions();
    let says = |condition: &ConditionState| seen.says(condition.kind, condition.reason, &condition.message);
    seen.generation().is_some() && seen.generation() == status.verdict.generation && says(&accepted) && says(&resolved)
}

fn failure(key: &Key, error: &Error) -> Outcome {
    match error {
        // It is gone, or another one by now, which will be seen.
        Error::Api(status) if matches!(status.code, 404 | 409) => Outcome::Done,
        Error::Api(status) if (400..500).contains(&status.code) && status.code != 429 => {
            tracing::warn!(resource = %key, %error, "a status is refused");
            Outcome::Refused
        }
        _ => {
            tracing::debug!(resource = %key, %error, "a status cannot be written now");
            Outcome::Busy
        }
    }
}
