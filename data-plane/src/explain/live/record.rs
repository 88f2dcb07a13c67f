//! What is told of one request.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::reason::Reason;
use crate::stats::access_log::Record;

/// One request, and what became of it; a line of `GET /api/v1/explain/live`. Durations are in seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LiveRecord {
    /// When its head was complete.
    pub time: String,
    /// Names it in logs.
    pub request: String,
    /// Its method.
    pub method: String,
    /// `Host`, as sent.
    pub host: String,
    /// Path and query, as sent.
    pub path: String,
    /// Address of the client.
    pub client: String,
    /// The listener that it came by.
    pub listener: String,
    /// The rule that took it.
    pub rule: Option<String>,
    /// The pool where it ended.
    pub pool: Option<String>,
    /// The tries that came to nothing, in order.
    pub tries: Vec<Try>,
    /// The plugin that answered it.
    pub halted_by: Option<String>,
    /// The backend that answered.
    pub backend: Option<String>,
    /// The endpoint that answered.
    pub address: Option<String>,
    /// Status of the response.
    pub status: u16,
    /// Short reason, if Weir answered or something failed.
    pub reason: Option<String>,
    /// From request head to the end of the response.
    pub duration: f64,
    /// From the choice of the endpoint to its response head.
    pub upstream_duration: Option<f64>,
}

/// An endpoint that was tried in vain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Try {
    /// Name of the Backend.
    pub backend: String,
    /// Of the endpoint.
    pub address: String,
    /// Why it came to nothing.
    pub reason: String,
}

impl Try {
    /// A try of this endpoint.
    #[must_use]
    pub fn new(endpoint: &crate::pool::Endpoint, reason: Reason) -> Self {
        let (backend, address) = (endpoint.backend.name().to_owned(), endpoint.address.to_string());
        Self { backend, address, reason: reason.as_str().to_owned() }
    }
}

impl LiveRecord {
    /// Of a request with this rule.
    #[must_use]
    pub fn new(record: &Record, rule: Option<&Arc<str>>) -> Self {
        Self {
            time: format!("{:.3}", record.time),
            request: record.request.clone(),
            method: record.method.clone(),
            host: record.host.clone(),
            path: record.path.clone(),
            client: record.client.clone(),
            listener: record.listener.clone(),
            rule: rule.map(ToString::to_string),
            pool: record.pool.clone(),
            tries: record.tries.clone(),
            halted_by: record.halted_by.as_deref().map(str::to_owned),
            backend: record.backend.clone(),
            address: record.address.clone(),
            status: record.status,
            reason: record.reason.map(str::to_owned),
            duration: record.duration.as_secs_f64(),
            upstream_duration: record.upstream_duration.map(|duration| duration.as_secs_f64()),
        }
    }
}
