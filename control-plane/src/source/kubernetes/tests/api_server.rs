//! An API server that lists and watches as it is told to.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio_stream::wrappers::UnboundedReceiverStream;

type Body = BoxBody<Bytes, std::io::Error>;

/// Shared with the server; what is not told otherwise works and is empty.
#[derive(Clone, Default)]
pub(super) struct ApiServer {
    state: Arc<Mutex<BTreeMap<String, Collection>>>,
    changed: Arc<Notify>,
}

/// The objects of one path.
#[derive(Default)]
struct Collection {
    items: Vec<Value>,
    version: u64,
    /// Objects of one page; 0 = all.
    page: usize,
    /// Answers to the next lists in place of the right one.
    answers: VecDeque<Answer>,
    /// Lists are not answered.
    is_held: bool,
    watches: Vec<mpsc::UnboundedSender<std::io::Result<Bytes>>>,
    /// Queries of all requests.
    queries: Vec<String>,
}

/// Status and `Retry-After` of an answer.
#[derive(Clone, Copy)]
pub(super) struct Answer(pub(super) u16, pub(super) Option<u32>);

impl ApiServer {
    pub(super) async fn start() -> (Self, SocketAddr) {
        let (server, listener) = (Self::default(), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let address = listener.local_addr().unwrap();
        let accepting = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = accepting.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| server.clone().answer(request));
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        (server, address)
    }

    /// Sets what the next lists give; watches hear nothing of it.
    pub(super) fn put(&self, path: &str, items: Vec<Value>) {
        self.with(path, |collection| {
            collection.version += 10;
            collection.items = items;
        });
    }

    /// Lists give so many objects at once.
    pub(super) fn page(&self, path: &str, objects: usize) {
        self.with(path, |collection| collection.page = objects);
    }

    /// The next lists are answered by these, in order.
    pub(super) fn fail(&self, path: &str, answers: &[Answer]) {
        self.with(path, |collection| collection.answers.extend(answers));
    }

    /// Lists wait, or do not any more.
    pub(super) fn hold(&self, path: &str, is_held: bool) {
        self.with(path, |collection| collection.is_held = is_held);
    }

    /// Tells all watches an event.
    pub(super) fn tell(&self, path: &str, kind: &str, object: &Value) {
        let line = format!("{}\n", json!({"type": kind, "object": object}));
        self.with(path, |collection| collection.watches.retain(|watch| watch.send(Ok(line.clone().into())).is_ok()));
    }

    /// Breaks the connections of all watches.
    pub(super) fn break_off(&self, path: &str) {
        self.with(path, |collection| {
            for watch in collection.watches.drain(..) {
                let _ = watch.send(Err(std::io::ErrorKind::ConnectionReset.into()));
            }
        });
    }

    /// Ends all watches well, as an API server does after some minutes.
    pub(super) fn end(&self, path: &str) {
        self.with(path, |collection| collection.watches.clear());
    }

    /// Waits until somebody watches, and gives the query of each request so far.
    pub(super) async fn watched(&self, path: &str) -> Vec<String> {
        self.until(path, |collection| !collection.watches.is_empty()).await
    }

    /// Waits for so many requests, and gives the query of each.
    pub(super) async fn requested(&self, path: &str, times: usize) -> Vec<String> {
        self.until(path, |collection| collection.queries.len() >= times).await
    }

    /// Every path that was asked for.
    pub(super) fn paths(&self) -> Vec<String> {
        self.state.lock().keys().cloned().collect()
    }

    async fn until(&self, path: &str, is_so: impl Fn(&Collection) -> bool) -> Vec<String> {
        let waiting = async {
            loop {
                let changed = self.changed.notified();
                if let Some(collection) = self.state.lock().get(path).filter(|collection| is_so(collection)) {
                    return collection.queries.clone();
                }
                changed.await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("a request within time")
    }

    fn with<R>(&self, path: &str, use_it: impl FnOnce(&mut Collection) -> R) -> R {
        let result = use_it(self.state.lock().entry(path.to_owned()).or_default());
        self.changed.notify_waiters();
        result
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let path = request.uri().path().to_owned();
        let query = request.uri().query().unwrap_or_default().to_owned();
        self.with(&path, |collection| collection.queries.push(query.clone()));
        if query.contains("watch=true") {
            return Ok(self.watch(&path));
        }
        self.until(&path, |collection| !collection.is_held).await;
        Ok(self.with(&path, |collection| match collection.answers.pop_front() {
            Some(answer) if answer.0 != 200 => failure(answer),
            _ => full(200, None, &collection.list(&query)),
        }))
    }

    fn watch(&self, path: &str) -> Response<Body> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.with(path, |collection| collection.watches.push(sender));
        let frames = UnboundedReceiverStream::new(receiver).map(|line| line.map(Frame::data));
        Response::new(BodyExt::boxed(StreamBody::new(frames)))
    }
}

impl Collection {
    /// A page; the token of the next one is the place of its first object.
    fn list(&self, query: &str) -> Value {
        let page = if self.page == 0 { usize::MAX } else { self.page };
        let token = query.split('&').find_map(|part| part.strip_prefix("continue="));
        let begin: usize = token.and_then(|token| token.parse().ok()).unwrap_or_default();
        let end = begin.saturating_add(page).min(self.items.len());
        let next = if end < self.items.len() { end.to_string() } else { String::new() };
        let metadata = json!({"resourceVersion": self.version.to_string(), "continue": next});
        json!({"apiVersion": "v1", "kind": "List", "metadata": metadata, "items": self.items[begin..end]})
    }
}

fn failure(answer: Answer) -> Response<Body> {
    let Answer(code, retry_after) = answer;
    let status = json!({"kind": "Status", "status": "Failure", "message": "not now", "reason": "Test", "code": code});
    full(code, retry_after, &status)
}

fn full(code: u16, retry_after: Option<u32>, value: &Value) -> Response<Body> {
    let body = Full::new(Bytes::from(value.to_string())).map_err(|never| match never {}).boxed();
    let mut response = Response::builder().status(code);
    if let Some(seconds) = retry_after {
        response = response.header("retry-after", seconds);
    }
    response.body(body).unwrap()
}
