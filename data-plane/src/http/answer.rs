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
use super::upgrade;
use crate::plugin::Effects;

/// Passes an upstream's response on: headers adjusted, body streamed, other protocols tunnelled. `client`
/// is the client's side of the connection if it asked for another protocol; `effects` are those of plugins.
#[must_use]
pub fn pass(
    mut exchange: Box<Exchange>,
    answer: Answer,
    effects: Effects,
    client: Option<OnUpgrade>,
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
    if !switches {
        let encoder = compression.and_then(|how| {
            let length = length(&parts.headers);
            how.prepare(&request.method, &mut parts, length)
        });
        let body = ReplyBody::upstream(incoming, lease, exchange, request).compressed(encoder);
        return Response::from_parts(parts, body);
    }
    match (client, parts.extensions.remove::<OnUpgrade>()) {
        (Some(client), Some(upstream)) => {
            upgrade::spawn(client, upstream, lease, exchange);
            Response::from_parts(parts, ReplyBody::Empty)
        }
        // The upstream switches to what nobody asked for.
        _ => {
            let failure = Failure::BadResponse;
            if let (Some(pool), Some(in_flight)) = (exchange.pool(), &exchange.in_flight) {
                pool.runtime.fail(in_flight.endpoint(), failure.reason());
            }
            reply::local(exchange, failure.status(), failure.reason(), failure.text())
        }
    }
}

/// The length of the body, also of one that is left out as the request is a HEAD.
fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
