//! The answers of a mock backend.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::channel::{Channel, SendError, Sender};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::time::sleep;

use super::Reply;
use super::serve::Shared;

pub(super) type Body = BoxBody<Bytes, std::convert::Infallible>;

/// Answers what it was told to.
pub(super) async fn plain(request: Request<Incoming>, reply: Reply, shared: Arc<Shared>) -> Response<Body> {
    if !reply.head_first {
        // Read to its end: a connection with half a request on it could not be kept alive.
        let _ = request.into_body().collect().await;
    }
    sleep(reply.delay).await;
    let head = head(&reply);
    head.map(|()| body(reply, shared))
}

fn head(reply: &Reply) -> Response<()> {
    let mut head = Response::new(());
    *head.status_mut() = StatusCode::from_u16(reply.status).expect("a status");
    *head.headers_mut() = header_map(&reply.headers);
    for (name, _) in &reply.trailers {
        // Only announced trailers are sent, and only after chunks.
        head.headers_mut().insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        head.headers_mut().append(header::TRAILER, HeaderValue::from_str(name).expect("a header name"));
    }
    if reply.trailers.is_empty() && !reply.is_whole() {
        head.headers_mut().entry(header::CONTENT_LENGTH).or_insert(reply.body.len().into());
    }
    head
}

fn body(reply: Reply, shared: Arc<Shared>) -> Body {
    if reply.is_whole() {
        return Full::new(reply.body).boxed();
    }
    let (sender, body) = Channel::new(1);
    // An error says that nobody wants the rest.
    tokio::spawn(send(reply, sender, shared));
    body.boxed()
}

async fn send(reply: Reply, mut sender: Sender<Bytes>, shared: Arc<Shared>) -> Result<(), SendError> {
    if reply.head_first {
        shared.released().await;
    }
    let size = if reply.trickle.is_zero() { reply.body.len() } else { 1 };
    for piece in reply.body.chunks(size.max(1)) {
        sleep(reply.trickle).await;
        sender.send_data(Bytes::copy_from_slice(piece)).await?;
    }
    if !reply.trailers.is_empty() {
        sender.send_trailers(header_map(&reply.trailers)).await?;
    }
    Ok(())
}

/// Tells what it received, as JSON.
pub(super) async fn echo(request: Request<Incoming>, number: u64) -> Response<Body> {
    let (head, body) = request.into_parts();
    let (body, trailers) = match body.collect().await {
        Ok(collected) => {
            let trailers = collected.trailers().cloned().unwrap_or_default();
            (collected.to_bytes(), trailers)
        }
        Err(_) => Default::default(),
    };
    let told = json!({
        "number": number,
        "method": head.method.as_str(),
        "target": head.uri.to_string(),
        "headers": pairs(&head.headers),
        "trailers": pairs(&trailers),
        "body": String::from_utf8_lossy(&body),
    });
    Response::new(Full::new(Bytes::from(told.to_string())).boxed())
}

/// Accepts any protocol and echoes every byte.
pub(super) fn upgrade(mut request: Request<Incoming>) -> Response<Body> {
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
    if let Some(key) = request.headers().get(header::SEC_WEBSOCKET_KEY) {
        response.headers_mut().insert(header::SEC_WEBSOCKET_ACCEPT, accept(key));
    }
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    response
}

/// RFC 6455, 4.2.2.
fn accept(key: &HeaderValue) -> HeaderValue {
    let joined = [key.as_bytes(), b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"].concat();
    let accept = STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &joined));
    HeaderValue::try_from(accept).expect("base64")
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
