//! The connections of a mock backend.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Behaviour, Counts, Reply};

type Body = BoxBody<Bytes, std::convert::Infallible>;

/// What the connections of one backend share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) behaviour: Mutex<Behaviour>,
    /// True while answers may go out.
    pub(super) gate: watch::Sender<bool>,
    pub(super) counts: Counts,
}

impl Shared {
    fn behaviour(&self) -> Behaviour {
        self.behaviour.lock().clone()
    }

    async fn released(&self) {
        // The sender lives as long as self, so waiting cannot fail.
        let _ = self.gate.subscribe().wait_for(|open| *open).await;
    }
}

/// Accepts until it is dropped, which ends every connection too.
pub(super) async fn run(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        shared.counts.connection();
        while connections.try_join_next().is_some() {}
        // Small answers go out at once: what is measured is the proxy.
        let _ = stream.set_nodelay(true);
        connections.spawn(connection(stream, shared.clone()));
    }
}

/// Its errors are the proxy's doing or part of the test: counted by `Counts`, not reported.
async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    if let Behaviour::Raw(bytes) = shared.behaviour() {
        let _ = raw(stream, &bytes, &shared).await;
        return;
    }
    let service = service_fn(move |request| {
        let shared = shared.clone();
        async move { answer(request, &shared).await }
    });
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
}

async fn raw(mut stream: TcpStream, bytes: &[u8], shared: &Shared) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let in_flight = shared.counts.request();
    shared.released().await;
    stream.write_all(bytes).await?;
    stream.shutdown().await?;
    in_flight.answered();
    Ok(())
}

/// An error closes the connection without an answer.
async fn answer(request: Request<Incoming>, shared: &Shared) -> io::Result<Response<Body>> {
    let in_flight = shared.counts.request();
    shared.released().await;
    let response = match shared.behaviour() {
        Behaviour::Reply(reply) => plain(request, reply).await,
        Behaviour::Echo if request.headers().contains_key(header::UPGRADE) => upgrade(request),
        Behaviour::Echo => echo(request).await,
        Behaviour::Silent => std::future::pending().await,
        Behaviour::CloseEarly | Behaviour::Raw(_) => return Err(io::Error::other("told to close")),
    };
    in_flight.answered();
    Ok(response)
}

async fn plain(request: Request<Incoming>, reply: Reply) -> Response<Body> {
    // Read to its end: a connection with half a request on it could not be kept alive.
    let _ = request.into_body().collect().await;
    tokio::time::sleep(reply.delay).await;
    let body = Full::new(reply.body);
    let body = if reply.trailers.is_empty() {
        body.boxed()
    } else {
        let trailers = header_map(&reply.trailers);
        body.with_trailers(async move { Some(Ok(trailers)) }).boxed()
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(reply.status).expect("a status");
    *response.headers_mut() = header_map(&reply.headers);
    for (name, _) in &reply.trailers {
        // Only announced trailers are sent, and only after chunks.
        response.headers_mut().insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        response.headers_mut().append(header::TRAILER, HeaderValue::from_str(name).expect("a header name"));
    }
    response
}

async fn echo(request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let (body, trailers) = match body.collect().await {
        Ok(collected) => {
            let trailers = collected.trailers().cloned().unwrap_or_default();
            (collected.to_bytes(), trailers)
        }
        Err(_) => Default::default(),
    };
    let told = json!({
        "method": head.method.as_str(),
        "target": head.uri.to_string(),
        "headers": pairs(&head.headers),
        "trailers": pairs(&trailers),
        "body": String::from_utf8_lossy(&body),
    });
    Response::new(Full::new(Bytes::from(told.to_string())).boxed())
}

fn upgrade(mut request: Request<Incoming>) -> Response<Body> {
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let Ok(io) = upgrade.await else { return };
        let (mut reader, mut writer) = tokio::io::split(TokioIo::new(io));
        let _ = tokio::io::copy(&mut reader, &mut writer).await;
        let _ = writer.shutdown().await;
    });
    let mut response = Response::new(Full::default().boxed());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let protocol = request.headers()[header::UPGRADE].clone();
    response.headers_mut().insert(header::UPGRADE, protocol);
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    response
}

fn pairs(headers: &HeaderMap) -> Value {
    headers.iter().map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())])).collect()
}

fn header_map(pairs: &[(String, String)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| {
            let name = HeaderName::try_from(name.as_str()).expect("a header name");
            (name, HeaderValue::from_str(value).expect("a header value"))
        })
        .collect()
}
