//! The pages of the admin server.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::Full;
use prometheus::TEXT_FORMAT;
use serde::Serialize;
use serde_json::json;
use weir_proto::model::ResourceName;
use weir_proto::page::{self, About, Changes, File};

use super::csv;
use super::overview::Overview;
use super::query::Asked;
use super::state::{PoolState, PoolsState};
use super::{Shown, Sources};
use crate::discovery::handle::Ended;
use crate::discovery::orphans::Orphans;
use crate::stats::families::Families;

/// Body of every answer.
pub(super) type Body = Full<Bytes>;

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const CSV: &str = "text/csv; charset=utf-8";

/// A page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Page {
    /// Prometheus text.
    Metrics,
    /// 200 while the process lives.
    Healthy,
    /// 200 if ready, or what is missing.
    Ready,
    /// The process as a whole.
    Overview,
    /// What this is, for the web page.
    About,
    /// The state of the pools that are asked for.
    Pools(Asked),
    /// The state of one pool.
    Pool(ResourceName),
    /// What is held and of no use.
    Orphans,
    /// A file of the web page.
    Web(File),
}

impl Page {
    /// The page of this path, if there is one.
    ///
    /// # Errors
    /// Says what is wrong with the query.
    pub(super) fn of(path: &str, query: &str) -> Result<Option<Self>, String> {
        Ok(match path {
            "/metrics" => Some(Self::Metrics),
            "/healthz" => Some(Self::Healthy),
            "/readyz" => Some(Self::Ready),
            "/api/v1/about" => Some(Self::About),
            "/api/v1/overview" => Some(Self::Overview),
            "/api/v1/pools" => Some(Self::Pools(Asked::parse(query)?)),
            "/api/v1/orphans" => Some(Self::Orphans),
            _ => {
                let pool = path.strip_prefix("/api/v1/pools/").and_then(|name| name.parse().ok());
                pool.map(Self::Pool).or_else(|| page::file(path).map(Self::Web))
            }
        })
    }

    /// The page of this moment.
    pub(super) async fn show(&self, shown: &Shown) -> Response<Body> {
        let Shown { sources, families } = shown;
        match self {
            Self::Metrics => metrics(families),
            Self::Healthy => reply(StatusCode::OK, TEXT, "ok\n"),
            Self::Ready => ready(&sources.readiness.missing()),
            Self::About => json(StatusCode::OK, &About::of("data-plane", Changes::No)),
            Self::Overview => json(StatusCode::OK, &Overview::read(sources)),
            Self::Pools(asked) => pools(sources, asked),
            Self::Pool(name) => pool(sources, name),
            Self::Orphans => orphans(sources.control.orphans().await),
            Self::Web(file) => web(file),
        }
    }
}

fn pools(sources: &Sources, asked: &Asked) -> Response<Body> {
    let pools = PoolsState::read(&sources.table.load_full(), &sources.recent, &asked.pools);
    match asked.csv {
        true => reply(StatusCode::OK, CSV, csv::text(&sources.stats, &pools)),
        false => json(StatusCode::OK, &pools),
    }
}

fn pool(sources: &Sources, name: &ResourceName) -> Response<Body> {
    let table = sources.table.load_full();
    match table.pools.get(name) {
        Some(pool) => json(StatusCode::OK, &PoolState::of(pool, &table, &sources.recent)),
        None => not_found("no such pool"),
    }
}

fn orphans(orphans: Result<Orphans, Ended>) -> Response<Body> {
    match orphans {
        Ok(orphans) => json(StatusCode::OK, &orphans),
        Err(ended) => json(StatusCode::SERVICE_UNAVAILABLE, &json!({"error": ended.to_string()})),
    }
}

fn web(file: &File) -> Response<Body> {
    let mut response = reply(StatusCode::OK, file.content_type, file.text);
    let headers = page::HEADERS.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    response.headers_mut().extend(headers);
    response
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

/// 400.
pub(super) fn bad_request(what: &str) -> Response<Body> {
    json(StatusCode::BAD_REQUEST, &json!({"error": what}))
}

/// 404.
pub(super) fn not_found(what: &str) -> Response<Body> {
    json(StatusCode::NOT_FOUND, &json!({"error": what}))
}

fn metrics(families: &Families) -> Response<Body> {
    match families.text() {
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

pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
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
        let of = |path| Page::of(path, "").unwrap();
        assert_eq!(of("/api/v1/pools/shop/web"), Some(Page::Pool("shop/web".parse().unwrap())));
        assert_eq!(of("/metrics"), Some(Page::Metrics));
        assert!(matches!(of("/"), Some(Page::Web(_))));
        for path in ["/metrics/", "/api/v1/pools/", "/api/v1/pools/shop", "/api/v1/pools/a/b/c", "/api", "/page/"] {
            assert_eq!(of(path), None, "{path}");
        }
        assert!(Page::of("/api/v1/pools", "limit=x").is_err());
    }

    #[test]
    fn s3_what_is_missing_is_named_one_a_line() {
        assert_eq!(ready(&[]).status(), StatusCode::OK);
        assert_eq!(ready(&["draining", "first table"]).status(), StatusCode::SERVICE_UNAVAILABLE);
    }
}
