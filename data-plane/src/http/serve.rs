//! The way of one request through the proxy, step by step.

use std::rc::Rc;

use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode, Version, header};
use http_body::Body;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;

use super::attempt::Template;
use super::body::Source;
use super::connection::ClientConnection;
use super::exchange::Exchange;
use super::forward::Forward;
use super::headers::{self, Upgrade};
use super::request::{self, Refusal};
use super::response::ReplyBody;
use super::upgrade::Asked;
use super::upload_rate::UploadRate;
use super::{expect, grpc, reply};
use crate::matcher::Place;
use crate::reason::Reason;
use crate::table::Routes;

/// Answers one request. Each failure is an answer.
pub async fn serve(connection: Rc<ClientConnection>, request: Request<Incoming>) -> Response<ReplyBody> {
    let origin = connection.origin(request.headers());
    let mut exchange = Exchange::begin(connection, origin);
    let (mut parts, body) = request.into_parts();
    exchange.note_head(&mut parts);
    let websocket = match request::admit(&mut parts, !body.is_end_stream(), &exchange.connection) {
        Ok(websocket) => websocket,
        Err(refusal) => return refuse(exchange, refusal),
    };
    let table = exchange.table.clone();
    let Some(routes) = table.listeners.get(exchange.connection.listener) else {
        return not_configured(exchange);
    };
    let found = find_chain(routes, &parts, &exchange.connection);
    if let Some(trace) = &exchange.trace {
        trace.matched();
    }
    let place = match found {
        Ok(Found::Chain(place)) => place,
        Ok(Found::Nothing) => return no_route(exchange),
        Ok(Found::Elsewhere) => return misdirected(exchange),
        Err(refusal) => return refuse(exchange, refusal),
    };
    if parts.version == Version::HTTP_2 {
        exchange.patience = grpc::timeout(&parts.headers);
    }
    let (template, client) = prepare(parts, body, &exchange);
    let mut forward = Forward::new(exchange, template, client.map(|client| Asked { client, websocket }));
    forward.search(place).await;
    forward.finish()
}

/// What there is for a request.
enum Found {
    /// The chain of the best rule.
    Chain(Place),
    /// No rule.
    Nothing,
    /// Another connection.
    Elsewhere,
}

fn find_chain(routes: &Routes, parts: &Parts, connection: &ClientConnection) -> Result<Found, Refusal> {
    let host = request::host(parts)?;
    if parts.version == Version::HTTP_2 && connection.is_misdirected(&host) {
        return Ok(Found::Elsewhere);
    }
    Ok(routes.find(&request::view(parts, &host)).map_or(Found::Nothing, Found::Chain))
}

/// What upstreams shall see, made once for all tries.
fn prepare(mut parts: Parts, body: Incoming, exchange: &Exchange) -> (Template, Option<OnUpgrade>) {
    let upgrade = Upgrade::asked_by(&parts.headers);
    let client = parts.extensions.remove::<OnUpgrade>().filter(|_| upgrade == Upgrade::Pass);
    let expects_continue = !body.is_end_stream() && expect::is_expected(&parts.headers);
    headers::prepare_request(&mut parts.headers, &exchange.connection.downstream, parts.version, upgrade);
    let rate = UploadRate::new(exchange.connection.worker.shared.limits.min_body_rate);
    let body = Source::new(body, expects_continue, rate);
    if body.is_some() && !parts.headers.contains_key(header::CONTENT_LENGTH) {
        // hyper would add it by itself, but not to a GET, whose body would get lost.
        parts.headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    let Parts { method, uri, version, headers, .. } = parts;
    (
        Template {
            method,
            uri,
            version,
            headers,
            body,
            id: exchange.id,
            origin: exchange.origin,
            began: exchange.began,
            patience: exchange.patience,
            trace: exchange.trace.clone(),
        },
        client,
    )
}

/// Closes the connection as well: after a malformed request nobody knows where the next one begins.
fn refuse(exchange: Box<Exchange>, refusal: Refusal) -> Response<ReplyBody> {
    let mut response = reply::local(exchange, refusal.status, refusal.reason(), refusal.text);
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

fn no_route(exchange: Box<Exchange>) -> Response<ReplyBody> {
    reply::local(exchange, StatusCode::NOT_FOUND, Reason::NoRoute, "no rule matches this request\n")
}

fn misdirected(exchange: Box<Exchange>) -> Response<ReplyBody> {
    let text = "this host has a certificate of its own: ask on a connection that was made for it\n";
    reply::local(exchange, StatusCode::MISDIRECTED_REQUEST, Reason::Misdirected, text)
}

/// Before the first table nobody knows whether there is a route.
fn not_configured(exchange: Box<Exchange>) -> Response<ReplyBody> {
    let text = "this proxy has no configuration yet\n";
    reply::local(exchange, StatusCode::SERVICE_UNAVAILABLE, Reason::NoBackend, text)
}
