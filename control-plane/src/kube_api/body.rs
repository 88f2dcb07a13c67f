//! The body of a request as a value.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::Request;
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use serde_json::Value;

use super::refusal::Refusal;
use crate::yaml;

/// As much as the API server of a cluster takes.
const LIMIT: usize = 3 * 1024 * 1024;

/// A body that takes longer is given up.
const WITHIN: Duration = Duration::from_secs(30);

/// Says in which form a body is.
pub(super) fn form<B>(request: &Request<B>) -> String {
    let form = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("application/json");
    form.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// An object, in JSON or YAML.
pub(super) async fn value(request: Request<Incoming>) -> Result<Value, Refusal> {
    let form = form(&request);
    if !matches!(form.as_str(), "application/json" | "application/yaml") {
        return Err(Refusal::unsupported("application/json, application/yaml"));
    }
    parsed(&bytes(request).await?)
}

/// Nothing, or an object.
pub(super) async fn optional(request: Request<Incoming>) -> Result<Value, Refusal> {
    let bytes = bytes(request).await?;
    if bytes.is_empty() { Ok(Value::Null) } else { parsed(&bytes) }
}

/// JSON is YAML too.
fn parsed(bytes: &[u8]) -> Result<Value, Refusal> {
    let bad = |why: String| Refusal::bad_request(format!("the object provided is unrecognized: {why}"));
    let text = std::str::from_utf8(bytes).map_err(|_| bad("it is not UTF-8 text".into()))?;
    match &yaml::documents(text)[..] {
        [document] => document.parse().map_err(|error| bad(format!("line {}: {}", error.line, error.message))),
        [] => Err(bad("it is empty".into())),
        _ => Err(bad("it is more than one document".into())),
    }
}

pub(super) async fn bytes(request: Request<Incoming>) -> Result<Bytes, Refusal> {
    let collected = tokio::time::timeout(WITHIN, Limited::new(request.into_body(), LIMIT).collect()).await;
    match collected {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refusal::too_large(LIMIT)),
        Ok(Err(error)) => Err(Refusal::bad_request(format!("the body cannot be read: {error}"))),
        Err(_) => Err(Refusal::bad_request("the body does not come")),
    }
}
