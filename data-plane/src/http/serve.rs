//! The way of one request through the proxy, step by step.

use std::convert::Infallible;
use std::rc::Rc;

use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode, header};
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
use super::{expect, reply};
use crate::matcher::Place;
use crate::reason::Reason;
use crate::table::Routes;

/// Answers one request.
///
/// # Errors
/// Never: each failure is an answer.
pub async fn serve(
    connection: Rc<ClientConnection>,
    request: Request<Incoming>,
) -> Result<Response<ReplyBody>, Infallible> {
    let (worker, is_last) = (connection.worker.clone(), connection.count_request());
    let origin = connection.origin(request.headers());
    let mut response = answer(Exchange::begin(connection, origin), request).await;
    if (is_last || worker.shared.drain.is_leaving()) && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

async fn answer(mut exchange: Box<Exchange>, request: Request<Incoming>) -> Response<ReplyBody> {
    let (mut parts, body) = request.into_parts();
    exchange.log_request(&parts);
    if let Err(refusal) = request::admit(&mut parts, !body.is_end_stream(), &exchange.connection) {
        return refuse(exchange, refusal);
    }
    let table = exchange.table.clone();
    let Some(routes) = table.listeners.get(exchange.connection.listener) else {
        return not_configured(exchange);
    };
    let place = match find_chain(routes, &parts) {
        Ok(Some(place)) => place,
        Ok(None) => return no_route(exchange),
        Err(refusal) => return refuse(exchange, refusal),
    };
    let (template, upgrade) = prepare(parts, body, &exchange);
    let mut forward = Forward::new(exchange, template, upgrade);
    forward.search(place).await;
    forward.finish()
}

/// Where the chain of the best rule is.
fn find_chain(routes: &Routes, parts: &Parts) -> Result<Option<Place>, Refusal> {
    let host = request::host(parts)?;
    Ok(routes.find(&request::view(parts, &host)))
}

/// What upstreams shall see, made once for all tries.
fn prepare(mut parts: Parts, body: Incoming, exchange: &Exchange) -> (Template, Option<OnUpgrade>) {
    let upgrade = Upgrade::asked_by(&parts.headers);
    let client = parts.extensions.remove::<OnUpgrade>().filter(|_| upgrade == Upgrade::Pass);
    let expects_continue = !body.is_end_stream() && expect::is_expected(&parts.headers);
    headers::prepare_request(&mut parts.headers, &exchange.connection.downstream, parts.version, upgrade);
    let body = Source::new(body, expects_continue);
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

/// Before the first table nobody knows whether there is a route.
fn not_configured(exchange: Box<Exchange>) -> Response<ReplyBody> {
    let text = "this proxy has no configuration yet\n";
    reply::local(exchange, StatusCode::SERVICE_UNAVAILABLE, Reason::NoBackend, text)
}
