//! What is logged of a request, and of a connection of TCP.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::explain::live::Try;

/// What is logged of one request.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// When its head was complete.
    #[serde(serialize_with = "milliseconds")]
    pub time: Timestamp,
    /// Names it in other lines of the log.
    pub request: String,
    /// The trace that it is part of, if that is recorded.
    pub trace: Option<String>,
    /// Address of the client.
    pub client: String,
    /// Name of the listener.
    pub listener: String,
    /// Request method.
    pub method: String,
    /// `Host`, as sent.
    pub host: String,
    /// Path and query, as sent.
    pub path: String,
    /// `HTTP/1.1` and the like.
    pub protocol: String,
    /// Status of the response.
    pub status: u16,
    /// Length of the response body.
    pub bytes: u64,
    /// From request head to the end of the response.
    #[serde(serialize_with = "seconds")]
    pub duration: Duration,
    /// From the choice of the endpoint to its response head.
    #[serde(serialize_with = "seconds_if_any")]
    pub upstream_duration: Option<Duration>,
    /// `namespace/name` of the pool.
    pub pool: Option<String>,
    /// Name of the backend that answered.
    pub backend: Option<String>,
    /// Address of the endpoint that answered.
    pub address: Option<String>,
    /// Tries of endpoints.
    pub attempts: u32,
    /// Short reason, if Weir answered or something failed.
    pub reason: Option<&'static str>,
    /// `User-Agent`, as sent.
    pub user_agent: Option<String>,
    /// The headers that the format of the log names, as sent; in JSON there are none.
    #[serde(skip)]
    pub headers: Vec<Option<String>>,
    /// Tries that came to nothing; not in the log.
    #[serde(skip)]
    pub tries: Vec<Try>,
    /// The plugin that answered; not in the log.
    #[serde(skip)]
    pub halted_by: Option<Arc<str>>,
}

/// What is logged of one connection of TCP.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TcpRecord {
    /// When it was accepted.
    #[serde(serialize_with = "milliseconds")]
    pub time: Timestamp,
    /// Address of the client.
    pub client: String,
    /// Name of the listener.
    pub listener: String,
    /// `TCP`, which tells it from a request.
    pub protocol: &'static str,
    /// Bytes that went to the endpoint.
    pub bytes_upstream: u64,
    /// Bytes that went to the client.
    pub bytes_downstream: u64,
    /// From the accept to the end.
    #[serde(serialize_with = "seconds")]
    pub duration: Duration,
    /// From the accept until an endpoint was connected to.
    #[serde(serialize_with = "seconds_if_any")]
    pub connect_duration: Option<Duration>,
    /// `namespace/name` of the pool.
    pub pool: Option<String>,
    /// Name of the backend that took it.
    pub backend: Option<String>,
    /// Address of the endpoint that took it.
    pub address: Option<String>,
    /// Tries of endpoints.
    pub attempts: u32,
    /// Short reason, if nobody took it or it broke off.
    pub reason: Option<&'static str>,
}

fn milliseconds<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{time:.3}"))
}

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

fn seconds_if_any<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => seconds(duration, serializer),
        None => serializer.serialize_none(),
    }
}
