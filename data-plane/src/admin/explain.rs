//! `POST /api/v1/explain` and `GET /api/v1/explain/live`.

use std::time::Duration;

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Either, Limited};
use hyper::body::Incoming;
use serde_json::json;
use tokio::time::timeout;

use super::page::{Body, json};
use super::{Shown, Sources};
use crate::explain::live::{Lines, MOST_LISTENERS, Wanted};
use crate::explain::question::Wrong;
use crate::explain::{Question, Unexplained};

/// Most bytes of a question.
const MOST_BYTES: usize = 64 << 10;
/// Time for it to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// The body of a page, or lines as they come.
pub(super) type Reply = Either<Body, Lines>;

/// The answer, if the request is one of these.
pub(super) async fn answer(shown: &Shown, request: &mut Request<Incoming>) -> Option<Response<Reply>> {
    match (request.uri().path(), request.method()) {
        ("/api/v1/explain", &Method::POST) => Some(explain(&shown.sources, request.body_mut()).await.map(Either::Left)),
        ("/api/v1/explain", _) => Some(only("POST").map(Either::Left)),
        ("/api/v1/explain/live", &Method::GET) => Some(listen(&shown.sources, request.uri().query())),
        ("/api/v1/explain/live", _) => Some(only("GET").map(Either::Left)),
        _ => None,
    }
}

async fn explain(sources: &Sources, body: &mut Incoming) -> Response<Body> {
    let body = timeout(BODY_TIMEOUT, Limited::new(body, MOST_BYTES).collect()).await;
    let Ok(Ok(body)) = body else {
        let text = format!("body: breaks off, or has more than {MOST_BYTES} bytes");
        return json(StatusCode::PAYLOAD_TOO_LARGE, &json!({"error": text, "field": "body"}));
    };
    let question = match Question::parse(&body.to_bytes()) {
        Ok(question) => question,
        Err(wrong) => return refuse(&wrong),
    };
    match sources.explainer.explain(&question).await {
        Ok(explanation) => json(StatusCode::OK, &explanation),
        Err(Unexplained::Wrong(wrong)) => refuse(&wrong),
        Err(busy @ Unexplained::Busy) => json(StatusCode::SERVICE_UNAVAILABLE, &json!({"error": busy.to_string()})),
    }
}

fn refuse(wrong: &Wrong) -> Response<Body> {
    json(StatusCode::BAD_REQUEST, &json!({"error": wrong.to_string(), "field": wrong.field}))
}

fn listen(sources: &Sources, query: Option<&str>) -> Response<Reply> {
    let wanted = match Wanted::parse(query.unwrap_or_default()) {
        Ok(wanted) => wanted,
        Err(error) => return json(StatusCode::BAD_REQUEST, &json!({"error": error})).map(Either::Left),
    };
    let count = wanted.count;
    let Some(listening) = sources.stats.live.listen(wanted) else {
        let error = format!("{MOST_LISTENERS} listen already");
        return json(StatusCode::SERVICE_UNAVAILABLE, &json!({"error": error})).map(Either::Left);
    };
    let mut response = Response::new(Either::Right(Lines::new(listening, count)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn only(method: &'static str) -> Response<Body> {
    let mut response = json(StatusCode::METHOD_NOT_ALLOWED, &json!({"error": format!("only {method}")}));
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(method));
    response
}
