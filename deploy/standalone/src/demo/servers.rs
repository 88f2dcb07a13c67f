//! The demo's own upstream servers: they say who they are and count what they answer.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use anyhow::Context;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::traffic;

/// Names the server in its responses.
pub(super) const SERVER_HEADER: &str = "x-demo-server";

/// One server.
///
/// LIFECYCLE: `start` -> (`stop` -> `restart`)* -> `stop`.
#[derive(Debug)]
pub(super) struct Server {
    name: Arc<str>,
    address: SocketAddr,
    counts: Arc<Counts>,
    running: Option<Running>,
}

/// Requests answered so far.
#[derive(Debug, Default)]
pub(super) struct Counts {
    demo: AtomicU64,
    yours: AtomicU64,
}

impl Counts {
    /// Those of the demo's own traffic.
    pub(super) fn demo(&self) -> u64 {
        self.demo.load(Relaxed)
    }

    /// Those of anybody else.
    pub(super) fn yours(&self) -> u64 {
        self.yours.load(Relaxed)
    }
}

#[derive(Debug)]
struct Running {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    /// Listens at `address`.
    pub(super) async fn start(name: &str, address: SocketAddr) -> anyhow::Result<Self> {
        let mut server = Self { name: name.into(), address, counts: Arc::default(), running: None };
        server.restart().await?;
        Ok(server)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn counts(&self) -> Arc<Counts> {
        self.counts.clone()
    }

    /// Refuses new connections, answers running requests, closes every connection.
    pub(super) async fn stop(&mut self) {
        if let Some(Running { stop, tasks }) = self.running.take() {
            stop.cancel();
            tasks.close();
            tasks.wait().await;
        }
    }

    /// Listens again after [`Server::stop`], on the same port.
    pub(super) async fn restart(&mut self) -> anyhow::Result<()> {
        let listener = TcpListener::bind(self.address).await.with_context(|| {
            format!(
                "the demo's server {} cannot listen on {}: choose another port with --backend-port",
                self.name, self.address
            )
        })?;
        // With port 0 the first start decides.
        self.address = listener.local_addr()?;
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let accept = accept(listener, self.name.clone(), self.counts.clone(), stop.clone(), tasks.clone());
        tasks.spawn(accept);
        self.running = Some(Running { stop, tasks });
        Ok(())
    }
}

async fn accept(
    listener: TcpListener,
    name: Arc<str>,
    counts: Arc<Counts>,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, _)) => drop(tasks.spawn(serve(stream, name.clone(), counts.clone(), stop.clone()))),
            Err(e) => tracing::warn!(server = &*name, error = %e, "cannot accept"),
        }
    }
}

async fn serve(stream: TcpStream, name: Arc<str>, counts: Arc<Counts>, stop: CancellationToken) {
    let service = service_fn(|request| std::future::ready(Ok::<_, Infallible>(answer(&name, &counts, &request))));
    let connection = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let result = tokio::select! {
        done = connection.as_mut() => done,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(e) = result {
        tracing::debug!(server = &*name, error = %e, "connection ended");
    }
}

fn answer(name: &str, counts: &Counts, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let ours = request.headers().get(header::USER_AGENT).is_some_and(|agent| agent == traffic::USER_AGENT);
    if ours { &counts.demo } else { &counts.yours }.fetch_add(1, Relaxed);
    let mut response = Response::new(Full::from(format!("hello from {name}\n")));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    if let Ok(value) = HeaderValue::from_str(name) {
        response.headers_mut().insert(SERVER_HEADER, value);
    }
    response
}
