//! The pages of the admin server.

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use http_body_util::Full;
use prometheus::TEXT_FORMAT;
use serde::Serialize;
use serde_json::json;
use weir_proto::model::ResourceName;

use super::Sources;
use super::state::{PoolState, PoolsState};

/// Body of every answer.
pub(super) type Body = Full<Bytes>;

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

/// A page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Page {
    /// Prometheus text.
    Metrics,
    /// 200 while the process lives.
    Healthy,
    /// 200 if ready, or what is missing.
    Ready,
    /// The state of all pools.
    Pools,
    /// The state of one pool.
    Pool(ResourceName),
}

impl Page {
    /// The page of this path.
    pub(super) fn of(path: &str) -> Option<Self> {
        match path {
            "/metrics" => Some(Self::Metrics),
            "/healthz" => Some(Self::Healthy),
            "/readyz" => Some(Self::Ready),
            "/api/v1/pools" => Some(Self::Pools),
            _ => path.strip_prefix("/api/v1/pools/")?.parse().ok().map(Self::Pool),
        }
    }

    /// The page of this moment.
    pub(super) fn show(&self, sources: &Sources) -> Response<Body> {
        match self {
            Self::Metrics => metrics(sources),
            Self::Healthy => reply(StatusCode::OK, TEXT, "ok\n"),
            Self::Ready => ready(&sources.readiness.missing()),
            Self::Pools => json(StatusCode::OK, &PoolsState::read(&sources.table.load_full())),
            Self::Pool(name) => match sources.table.load_full().pools.get(name) {
                Some(pool) => json(StatusCode::OK, &PoolState::read(pool)),
                None => not_found("no such pool"),
            },
        }
    }
}

/// Whether a method only reads; the server itself leaves the body out for HEAD.
pub(super) fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// 405.
pub(super) fn method_not_allowed() -> Response<Body> {
    let mut response = json(StatusCode::METHOD_NOT_ALLOWED, &json!({"error": "only GET and HEAD"}));
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

/// 404.
pub(super) fn not_found(what: &str) -> Response<Body> {
    json(StatusCode::NOT_FOUND, &json!({"error": what}))
}

fn metrics(sources: &Sources) -> Response<Body> {
    match sources.families.text() {
        Ok(text) => reply(StatusCode::OK, TEXT_FORMAT, text),
        Err(error) => reply(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{error}\n")),
    }
}

fn ready(missing: &[&str]) -> Response<Body> {
    match missing {
        [] => reply(StatusCode::OK, TEXT, "ready\n"),
        _ => reply(StatusCode::SERVICE_UNAVAILABLE, TEXT, missing.join("\n") + "\n"),
    }
}

fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    match serde_json::to_vec(value) {
        Ok(text) => reply(status, JSON, text),
        Err(error) => reply(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{error}\n")),
    }
}

fn reply(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_found_by_their_paths() {
        let pool = Page::Pool("shop/web".parse().unwrap());
        assert_eq!(Page::of("/api/v1/pools/shop/web"), Some(pool));
        assert_eq!(Page::of("/metrics"), Some(Page::Metrics));
        for path in ["/", "/metrics/", "/api/v1/pools/", "/api/v1/pools/shop", "/api/v1/pools/a/b/c", "/api"] {
            assert_eq!(Page::of(path), None, "{path}");
        }
    }

    #[test]
    fn s3_what_is_missing_is_named_one_a_line() {
        assert_eq!(ready(&[]).status(), StatusCode::OK);
        assert_eq!(ready(&["draining", "first table"]).status(), StatusCode::SERVICE_UNAVAILABLE);
    }
}
