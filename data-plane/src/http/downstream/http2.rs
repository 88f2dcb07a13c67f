//! HTTP/2 with a client, many requests at a time.

use std::convert::Infallible;
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::debug;

use super::client_io::ClientIo;
use super::drive;
use super::fault::Fault;
use super::floods::{Flood, FrameWatch};
use super::stall::{Streams, TakenBody, Taking};
use crate::http::connection::ClientConnection;
use crate::http::grpc;
use crate::http::response::ReplyBody;
use crate::http::serve;

/// Bytes of one upload that may wait for its upstream.
const STREAM_WINDOW: u32 = 256 << 10;
/// Bytes of all uploads of a connection that may wait.
const CONNECTION_WINDOW: u32 = 1 << 20;
/// Bytes of one response that may wait for the client.
const SEND_BUFFER: usize = 64 << 10;
/// Streams that we reset as their client broke a rule (MadeYouReset, CVE-2025-8671).
const MISTAKES: usize = 100;
/// A client that answers no PING for so long is gone. Only one with running requests is asked: the others are closed
/// before, when they are idle.
const PING_INTERVAL: Duration = Duration::from_secs(80);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Serves `stream`, from which `first` was read, until it ends or is told to.
pub(super) async fn run<S>(stream: S, first: Bytes, connection: Rc<ClientConnection>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let handle = &connection.handle;
    handle.activity.opened();
    handle.says_goodbye.set(true);
    let flood = Flood::default();
    let watch = FrameWatch::new(handle.activity.now(), flood.clone());
    let io = ClientIo::new(stream, first, handle.activity.clone(), watch);
    let streams = Streams::new(connection.worker.shared.limits.send_timeout);
    let service = service_fn(|request| answer(connection.clone(), request, streams.begin()));
    let serving = pin!(builder(&connection, streams.clone()).serve_connection(TokioIo::new(io), service));
    if let Err(error) = drive(serving, handle, |serving| serving.graceful_shutdown()).await {
        debug!(%error, client = %connection.peer, "a connection ended");
        if let Some(fault) = flood.get().or_else(|| Fault::of(&error)) {
            connection.listener_stats().faults[fault as usize].fetch_add(1, Relaxed);
        }
    }
}

fn builder(connection: &ClientConnection, streams: Streams) -> http2::Builder<Streams> {
    let limits = &connection.worker.shared.limits;
    let mut builder = http2::Builder::new(streams);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.http2_max_streams)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(u32::try_from(limits.head_buffer()).unwrap_or(u32::MAX))
        .max_local_error_reset_streams(MISTAKES)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .enable_connect_protocol();
    builder
}

async fn answer(
    connection: Rc<ClientConnection>,
    request: Request<Incoming>,
    taking: Rc<Taking>,
) -> Result<Response<TakenBody>, Infallible> {
    let (method, is_grpc) = (request.method().clone(), grpc::is_asked(request.headers()));
    if connection.count_request() || connection.worker.shared.drain.is_turn_of(connection.number.get()) {
        connection.handle.finish();
    }
    let mut response = serve::serve(connection, request).await;
    if is_grpc {
        grpc::translate(&mut response);
    }
    // A field of HTTP/1.1.
    response.headers_mut().remove(CONNECTION);
    if method == Method::HEAD {
        tell_length(&mut response);
    }
    let has_content = has_content(&method, response.status());
    Ok(response.map(|body| TakenBody::new(has_content.then_some(body), taking)))
}

/// Whether a response has content at all (RFC 9110, 6.4.1). hyper sees to it for HTTP/1.1 only.
fn has_content(method: &Method, status: StatusCode) -> bool {
    *method != Method::HEAD && !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// Says how long the content of an answer made here would be.
fn tell_length(response: &mut Response<ReplyBody>) {
    if matches!(response.body(), ReplyBody::Local { .. })
        && let Some(length) = response.body().size_hint().exact()
    {
        response.headers_mut().entry(CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
    }
}
