//! An upstream's response on its way to the client.

use http::{HeaderValue, Response, StatusCode, Version, header};
use hyper::upgrade::OnUpgrade;

use super::attempt::Answer;
use super::exchange::Exchange;
use super::failure::Failure;
use super::headers::{self, Upgrade};
use super::reply;
use super::response::ReplyBody;
use super::upgrade;

/// Passes an upstream's response on: headers adjusted, body streamed, other protocols tunnelled.
#[must_use]
pub fn pass(mut exchange: Exchange, answer: Answer, client: Option<OnUpgrade>) -> Response<ReplyBody> {
    let Answer { response, lease, in_flight, after } = answer;
    let (mut parts, incoming) = response.into_parts();
    let label = in_flight.endpoint().label.clone();
    exchange.answered(parts.status, after);
    let switches = parts.status == StatusCode::SWITCHING_PROTOCOLS;
    let protocol = if switches { Upgrade::Pass } else { Upgrade::Strip };
    headers::prepare_response(&mut parts.headers, parts.version, protocol);
    if let Some(pool) = exchange.pool() {
        reply::debug_headers(&mut parts.headers, pool, Some(&label), exchange.attempts);
    }
    exchange.in_flight = Some(in_flight);
    parts.version = Version::HTTP_11;
    if !switches {
        if exchange.connection.worker.shared.drain.is_leaving() {
            parts.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        return Response::from_parts(parts, ReplyBody::upstream(incoming, lease, exchange));
    }
    match (client, parts.extensions.remove::<OnUpgrade>()) {
        (Some(client), Some(upstream)) => {
            upgrade::spawn(client, upstream, lease, exchange);
            Response::from_parts(parts, ReplyBody::Empty)
        }
        // The upstream switches to what nobody asked for.
        _ => {
            let failure = Failure::BadResponse;
            reply::local(exchange, failure.status(), failure.reason(), failure.text())
        }
    }
}
