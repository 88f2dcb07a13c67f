//! An upstream's response on its way to the client.

use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Response, StatusCode, Version};
use hyper::upgrade::OnUpgrade;

use super::attempt::Answer;
use super::exchange::Exchange;
use super::failure::Failure;
use super::headers::{self, Upgrade};
use super::reply;
use super::response::ReplyBody;
use super::upgrade::{self, Asked};
use crate::plugin::Effects;

/// Passes an upstream's response on: headers adjusted, body streamed, other protocols tunnelled. `asked`
/// is what it says if it asked for another protocol; `effects` are those of plugins.
#[must_use]
pub fn pass(
    mut exchange: Box<Exchange>,
    answer: Answer,
    effects: Effects,
    asked: Option<Asked>,
) -> Response<ReplyBody> {
    let Effects { request, response: changes, compression } = effects;
    let Answer { response, lease, in_flight, after } = answer;
    let (mut parts, incoming) = response.into_parts();
    let label = in_flight.endpoint().label.clone();
    exchange.answered(parts.status, after);
    let switches = parts.status == StatusCode::SWITCHING_PROTOCOLS;
    let protocol = if switches { Upgrade::Pass } else { Upgrade::Strip };
    headers::prepare_response(&mut parts.headers, parts.version, protocol);
    changes.into_iter().for_each(|change| change.apply(&mut parts.headers));
    if let Some(pool) = exchange.pool() {
        reply::debug_headers(&mut parts.headers, pool, Some(&label), exchange.attempts);
    }
    exchange.in_flight = Some(in_flight);
    parts.version = Version::HTTP_11;
    // To a client of HTTP/2 each 2xx says that its WebSocket is open.
    let misleads = parts.status.is_success() && asked.as_ref().is_some_and(|asked| asked.websocket.is_some());
    if !switches && !misleads {
        let encoder = compression.and_then(|how| {
            let length = length(&parts.headers);
            how.prepare(&request.method, &mut parts, length)
        });
        let body = ReplyBody::upstream(incoming, lease, exchange, request).compressed(encoder);
        return Response::from_parts(parts, body);
    }
    let upstream = parts.extensions.remove::<OnUpgrade>();
    let mut response = Response::from_parts(parts, ReplyBody::Empty);
    match (asked, upstream) {
        (Some(asked), Some(upstream)) if asked.is_granted_by(&mut response) => {
            upgrade::spawn(asked.client, upstream, lease, exchange);
            response
        }
        // The upstream switches to what nobody asked for.
        _ => bad_response(exchange),
    }
}

fn bad_response(exchange: Box<Exchange>) -> Response<ReplyBody> {
    let failure = Failure::BadResponse;
    if let (Some(pool), Some(in_flight)) = (exchange.pool(), &exchange.in_flight) {
        pool.runtime.fail(in_flight.endpoint(), failure.reason());
    }
    reply::local(exchange, failure.status(), failure.reason(), failure.text())
}

/// The length of the body, also of one that is left out as the request is a HEAD.
fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
