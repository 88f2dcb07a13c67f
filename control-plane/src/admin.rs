//! For people and probes, over HTTP: `/metrics`, `/healthz`, `/readyz`, `/api/v1/proxies`, `/api/v1/resources`,
//! `/api/v1/orphans`, what each proxy tells below `/api/v1/proxies/ID`, and the web page. Read only, but for the API for
//! kubectl (`kube_api`), which it hands requests on to.

mod orphans;
mod relay;

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::{Body, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use weir_proto::page::{self, About};

use crate::kube_api::KubeApi;
use crate::metrics::Metrics;
use crate::status::{self, Sources};
use relay::Relay;

type Reply = Response<Full<Bytes>>;

/// Makes a page.
type Page = Box<dyn Fn(&Admin) -> Reply + Send>;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const METRICS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A client that does not finish its request head in this time is cut off.
const HEAD_WITHIN: Duration = Duration::from_secs(10);

/// How long answers under way may take at the end.
const END_WITHIN: Duration = Duration::from_secs(1);

/// After a failed accept (no file descriptors left, say), to not spin.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// What the pages show.
#[derive(Debug, Clone)]
pub struct Admin {
    sources: Sources,
    metrics: Arc<Metrics>,
    relay: Relay,
    api: Arc<KubeApi>,
}

impl Admin {
    pub(crate) fn new(sources: Sources, metrics: Arc<Metrics>, api: Arc<KubeApi>) -> Self {
        Self { relay: Relay::new(sources.nodes.clone()), sources, metrics, api }
    }

    async fn answer<B>(&self, request: Request<B>) -> Reply
    where
        B: Body<Data = Bytes>,
        B::Error: Into<relay::BodyError>,
    {
        if let Some(question) = self.relay.question(request.uri()) {
            return self.relay.ask(question, request).await;
        }
        match self.page(request.uri().path()) {
            None => reply(StatusCode::NOT_FOUND, TEXT, "not found\n"),
            Some(_) if !matches!(*request.method(), Method::GET | Method::HEAD) => not_allowed("GET, HEAD"),
            Some(page) => page(self),
        }
    }

    fn page(&self, path: &str) -> Option<Page> {
        let page: fn(&Self) -> Reply = match path {
            "/metrics" => |this| reply(StatusCode::OK, METRICS, this.metrics.encode(&this.sources.board)),
            "/healthz" => |_| reply(StatusCode::OK, TEXT, "ok\n"),
            "/readyz" => Self::readiness,
            "/api/v1/proxies" => |this| json_reply(&this.sources.nodes.to_json()),
            "/api/v1/resources" => Self::resources,
            "/api/v1/about" => |this| json_reply(&About::of("control-plane", this.api.changes())),
            "/api/v1/orphans" => |this| json_reply(&orphans::of(&this.sources.statuses())),
            _ => {
                return page::file(path)
                    .map(|file| -> Box<dyn Fn(&Self) -> Reply + Send> { Box::new(move |_| web(file)) });
            }
        };
        Some(Box::new(page))
    }

    fn readiness(&self) -> Reply {
        match self.sources.snapshot.borrow().is_some() {
            true => reply(StatusCode::OK, TEXT, "ready\n"),
            false => reply(StatusCode::SERVICE_UNAVAILABLE, TEXT, "waiting for: first snapshot\n"),
        }
    }

    fn resources(&self) -> Reply {
        let statuses = self.sources.statuses();
        let resources: Vec<Value> = statuses.iter().map(|(key, status)| status::to_json(key, status)).collect();
        let problems: Vec<_> = self.sources.board.problems().into_values().flatten().collect();
        let version = self.sources.snapshot.borrow().as_ref().map(|s| s.version().to_string());
        json_reply(&json!({"version": version, "resources": resources, "problems": problems}))
    }
}

fn reply(status: StatusCode, kind: HeaderValue, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(body.into()));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, kind);
    reply
}

fn not_allowed(allowed: &'static str) -> Reply {
    let mut refused = reply(StatusCode::METHOD_NOT_ALLOWED, TEXT, "method not allowed\n");
    refused.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    refused
}

fn web(file: page::File) -> Reply {
    let mut reply = reply(StatusCode::OK, HeaderValue::from_static(file.content_type), file.text);
    let headers = page::HEADERS.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    reply.headers_mut().extend(headers);
    reply
}

fn json_reply(value: &impl Serialize) -> Reply {
    match serde_json::to_string_pretty(value) {
        Ok(text) => reply(StatusCode::OK, JSON, text + "\n"),
        Err(error) => reply(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{error}\n")),
    }
}

/// Serves until stopped.
pub(crate) async fn serve(admin: Admin, listener: TcpListener, stop: CancellationToken) {
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => drop(connections.spawn(connection(admin.clone(), stream, stop.clone()))),
            Err(error) => {
                tracing::warn!(%error, "admin: cannot accept");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
    connections.close();
    connections.wait().await;
}

async fn connection(admin: Admin, stream: TcpStream, stop: CancellationToken) {
    let service = service_fn(move |request: Request<Incoming>| {
        let admin = admin.clone();
        async move {
            Ok::<_, Infallible>(match KubeApi::serves(request.uri().path()) {
                true => admin.api.answer(request).await.map(Either::Right),
                false => admin.answer(request).await.map(Either::Left),
            })
        }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN);
    let mut connection = pin!(server.serve_connection(TokioIo::new(stream), service));
    let result = tokio::select! {
        result = &mut connection => result,
        () = stop.cancelled() => {
            // Answers under way come to their end; who does not take them is left behind.
            connection.as_mut().graceful_shutdown();
            timeout(END_WITHIN, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "admin: connection");
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tokio::time::Instant;
    use weir_proto::model::Kind;

    use super::*;
    use crate::discovery::Nodes;
    use crate::kube_api::Absent;
    use crate::publish::Publisher;
    use crate::source::Event;
    use crate::status::Board;
    use crate::testing::{backend, pool};

    struct World {
        admin: Admin,
        publisher: Publisher,
    }

    fn world() -> World {
        let metrics = Arc::new(Metrics::new().unwrap());
        let board = Arc::new(Board::default());
        let publisher = Publisher::new(board.clone());
        let nodes = Arc::new(Nodes::new(metrics.clone()));
        let sources = Sources { board, nodes, snapshot: publisher.subscribe() };
        let api = Arc::new(KubeApi::new(Err(Absent::Cluster), CancellationToken::new()));
        World { admin: Admin::new(sources, metrics, api), publisher }
    }

    async fn get(admin: &Admin, method: Method, path: &str) -> (u16, String) {
        let reply = admin.answer(Request::builder().method(method).uri(path).body(Full::default()).unwrap()).await;
        let status = reply.status().as_u16();
        let body = reply.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn readiness_names_what_is_missing_until_the_first_snapshot() {
        let mut world = world();
        assert_eq!(get(&world.admin, Method::GET, "/healthz").await.0, 200);
        let (status, body) = get(&world.admin, Method::GET, "/readyz").await;
        assert_eq!((status, body.as_str()), (503, "waiting for: first snapshot\n"));
        world.publisher.apply(Kind::GIVEN.map(|kind| Event::Reset(kind, Vec::new())).into(), Instant::now());
        assert_eq!(get(&world.admin, Method::GET, "/readyz").await.0, 200);
    }

    #[tokio::test]
    async fn s1_refused_resources_are_shown_with_their_reason_and_counted() {
        let mut world = world();
        let pools = vec![pool("a", "{}"), pool("b", "{inherit: none}"), pool("c", "{weight: 70000}")];
        let mut all = Kind::GIVEN.map(|kind| Event::Reset(kind, Vec::new())).to_vec();
        all[0] = Event::Reset(Kind::Pool, pools);
        world.publisher.apply(all, Instant::now());
        let (status, body) = get(&world.admin, Method::GET, "/api/v1/resources").await;
        let shown: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(status, 200);
        assert_eq!(shown["resources"][0]["conditions"][0]["status"], "True");
        assert_eq!(shown["resources"][1]["conditions"][1]["reason"], "BaseNotFound");
        assert_eq!(shown["resources"][2]["findings"][0]["field"], "spec.weight");
        let (_, metrics) = get(&world.admin, Method::GET, "/metrics").await;
        assert!(metrics.contains(r#"weir_resources{accepted="true",kind="Pool"} 1"#), "{metrics}");
        assert!(metrics.contains(r#"weir_resources{accepted="false",kind="Pool"} 2"#), "{metrics}");
    }

    #[tokio::test]
    async fn other_paths_and_methods_are_refused() {
        let World { admin, .. } = world();
        assert_eq!(get(&admin, Method::GET, "/nowhere").await.0, 404);
        assert_eq!(get(&admin, Method::POST, "/metrics").await.0, 405);
        assert_eq!(get(&admin, Method::HEAD, "/metrics").await.0, 200);
    }

    #[tokio::test]
    async fn t2_what_leads_nowhere_is_listed() {
        let mut world = world();
        let mut all = Kind::GIVEN.map(|kind| Event::Reset(kind, Vec::new())).to_vec();
        all[0] = Event::Reset(Kind::Pool, vec![pool("a", "{}"), pool("b", "{}")]);
        all[1] = Event::Reset(
            Kind::Backend,
            vec![
                backend("b-1", "{pool: b, address: '127.0.0.1:1'}"),
                backend("lost", "{pool: none, address: '127.0.0.1:1'}"),
            ],
        );
        world.publisher.apply(all, Instant::now());
        let (status, body) = get(&world.admin, Method::GET, "/api/v1/orphans").await;
        let orphans: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(status, 200);
        assert_eq!(orphans, json!({"pools": ["default/a"], "backends": ["default/lost"], "plugins": []}));
    }

    #[tokio::test]
    async fn the_page_and_what_an_unknown_proxy_would_tell() {
        let World { admin, .. } = world();
        let (status, body) = get(&admin, Method::GET, "/").await;
        assert!(status == 200 && body.contains("<title>Weir</title>"), "{body}");
        let (status, body) = get(&admin, Method::GET, "/api/v1/proxies/none/api/v1/pools").await;
        assert!(status == 404 && body.contains("no proxy none"), "{status} {body}");
        assert_eq!(get(&admin, Method::GET, "/api/v1/proxies/none/metrics").await.0, 404);
        assert_eq!(get(&admin, Method::POST, "/api/v1/proxies/none/api/v1/pools").await.0, 405);
    }
}
