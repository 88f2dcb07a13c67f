//! In file mode: statuses go into the objects that the API shows, too.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;
use weir_proto::model::Kind;

use super::document::Document;
use super::{Seen, Status, StatusSink, Update};
use crate::objects::Objects;

/// Takes each change of a status to the objects, if there are any, and then to another sink.
pub(crate) struct ObjectsSink<S> {
    pub(crate) objects: Option<Arc<Objects>>,
    pub(crate) inner: S,
}

impl<S: StatusSink> StatusSink for ObjectsSink<S> {
    const GATHER: std::time::Duration = S::GATHER;

    async fn write(&mut self, update: Update) {
        if let (Some(objects), Update::Resource { key, after, .. }) = (&self.objects, &update) {
            objects.set_status(key, after.as_ref());
        }
        self.inner.write(update).await;
    }
}

impl Status {
    /// What it says as the field `status` of an object, which keeps the times of what stays.
    pub(crate) fn document(&self, kind: Kind, object: &Value, now: Timestamp) -> Value {
        let seen = Seen::new(kind, &ObjectMeta::default(), object.get("status"));
        // A status always has a JSON form.
        serde_json::to_value(Document::new(self, &seen, now)).unwrap_or_default()
    }
}
