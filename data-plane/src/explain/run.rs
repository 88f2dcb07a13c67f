//! One dry run, from the head of the request to its end.

use std::rc::Rc;

use http::StatusCode;
use http::request::Parts;

use super::answer::{Explanation, Seen};
use super::plugins::{Watch, told};
use super::question::Asked;
use super::rules;
use super::walk::{End, Walk, here};
use crate::http::attempt::Template;
use crate::http::connection::ClientConnection;
use crate::http::headers::{self, Upgrade};
use crate::http::request::{self, Refusal};
use crate::plugin::Visit;
use crate::plugin::rehearsal::Notes;
use crate::reason::Reason;

/// Where a request by this connection would go.
pub(super) async fn explain(connection: &Rc<ClientConnection>, asked: Asked, notes: &Notes) -> Explanation {
    let mut parts = asked.parts;
    let admitted = request::admit(&mut parts, false, connection).map(drop);
    let host = admitted.and_then(|()| request::host(&parts).map(std::borrow::Cow::into_owned));
    let mut explanation = Explanation { certain: true, ..Explanation::default() };
    explanation.request = seen(connection, &parts, host.as_deref().unwrap_or_default());
    let host = match host {
        Ok(host) => host,
        Err(refusal) => return refused(explanation, refusal),
    };
    let table = connection.worker.table();
    let Some(routes) = table.listeners.get(connection.listener) else {
        let text = "this proxy has no configuration yet";
        return answered(explanation, (StatusCode::SERVICE_UNAVAILABLE, Reason::NoBackend, text));
    };
    let head = request::view(&parts, &host);
    let place = routes.find(&head);
    let listeners = &connection.worker.shared.listeners;
    explanation.rules = rules::of(&table, listeners, connection.listener, &head, place);
    let Some(chain) = place.and_then(|place| routes.chain(place)).cloned() else {
        return answered(explanation, (StatusCode::NOT_FOUND, Reason::NoRoute, "no rule matches this request"));
    };
    let visit = Visit::new(template(connection, parts));
    let walk = Walk::new(connection, &table, &chain, visit, Watch::new(notes.clone()));
    follow(explanation, walk).await
}

/// Takes note of what is seen on the way.
async fn follow(mut explanation: Explanation, mut walk: Walk<'_>) -> Explanation {
    match walk.run().await {
        End::Chosen(choice) => explanation.choice = Some(choice),
        End::Queued(queued) => explanation.queued = Some(queued),
        End::Answered(answer) => explanation.answer = Some(answer),
    }
    let Walk { watch, pools, candidates, chance, .. } = walk;
    explanation.plugins = watch.calls.iter().map(told).collect();
    explanation.supposed = watch.calls.iter().flat_map(|call| call.supposed.clone()).collect();
    explanation.certain = !chance && explanation.supposed.is_empty();
    Explanation { chain: pools, candidates, ..explanation }
}

fn seen(connection: &ClientConnection, parts: &Parts, host: &str) -> Seen {
    let origin = connection.origin(&parts.headers);
    Seen {
        method: parts.method.to_string(),
        scheme: origin.scheme.to_owned(),
        host: host.to_owned(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().map(str::to_owned),
        client: origin.client.ip().to_string(),
        listener: connection.listener_name().to_owned(),
    }
}

fn refused(explanation: Explanation, refusal: Refusal) -> Explanation {
    answered(explanation, (refusal.status, refusal.reason(), refusal.text))
}

fn answered(explanation: Explanation, answer: (StatusCode, Reason, &str)) -> Explanation {
    Explanation { answer: Some(here(answer, None)), ..explanation }
}

/// What plugins and upstreams see, as the request path makes it.
fn template(connection: &ClientConnection, mut head: Parts) -> Template {
    let origin = connection.origin(&head.headers);
    let upgrade = Upgrade::asked_by(&head.headers);
    headers::prepare_request(&mut head.headers, &connection.downstream, head.version, upgrade);
    Template::of(head, connection.worker.next_request(), origin)
}
