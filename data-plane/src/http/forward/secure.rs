//! What a pool asks of the connection of a request: that it is one of TLS, and that the client is certified.

use http::header::HOST;
use http::{HeaderName, HeaderValue};
use weir_proto::model::{ClientCa, Tls};

use super::{Forward, Last, Search, TurnedAway};
use crate::http::attempt::Template;
use crate::http::connection::ClientConnection;
use crate::matcher::host;
use crate::plugin::change::{HeaderChange, after_taking_out};
use crate::plugin::{Change, Changes};
use crate::tls::Identity;

const SUBJECT: HeaderName = HeaderName::from_static("x-client-certificate-subject");
const NAMES: HeaderName = HeaderName::from_static("x-client-certificate-names");

/// What a pool makes of a request that came by a connection.
#[derive(Debug)]
pub(crate) enum Demand {
    /// It takes the request, with these changes.
    Met(Changes),
    /// It sends the client there.
    Redirects(HeaderValue),
    /// The connection does not do.
    Misdirected,
}

impl Forward {
    /// Whether the pool of this number takes the request; if not, what its client is answered is decided.
    pub(super) fn secure(&mut self, tls: &Tls, number: usize) -> Search {
        self.last = match demand(tls, &self.exchange.connection, &self.visit.effects.request) {
            Demand::Met(changes) => {
                self.visit.effects.apply(changes);
                return Search::GoesOn;
            }
            Demand::Redirects(location) => Last::Redirected(location, number),
            Demand::Misdirected => Last::TurnedAway(TurnedAway::Misdirected, number),
        };
        Search::Ends
    }
}

/// Whether these terms let the request in.
pub(crate) fn demand(tls: &Tls, connection: &ClientConnection, request: &Template) -> Demand {
    if tls.redirect && request.origin.scheme != "https" {
        return location(request).map_or(Demand::Misdirected, Demand::Redirects);
    }
    match &tls.client_ca {
        Some(ca) => identify(ca, connection, request),
        None => Demand::Met(Changes::new()),
    }
}

/// The same over https, at its own port. A request without a host can be sent nowhere.
fn location(request: &Template) -> Option<HeaderValue> {
    let host = host::normalise(request.headers.get(HOST)?.to_str().ok()?).ok().filter(|host| !host.is_empty())?;
    let target = request.uri.path_and_query().map_or("/", |target| target.as_str());
    let target = if target.starts_with('/') { target } else { "/" };
    HeaderValue::try_from(format!("https://{host}{target}")).ok()
}

/// Says to plugins and backends who the client is, if these authorities were asked about it: a connection that was
/// made for another host, with other authorities or none, says nothing here.
fn identify(ca: &ClientCa, connection: &ClientConnection, request: &Template) -> Demand {
    let identity = connection.secured.get().and_then(|secured| secured.identity_by(ca));
    if ca.required && identity.is_none() {
        return Demand::Misdirected;
    }
    Demand::Met(after_taking_out(&[SUBJECT, NAMES], &request.headers, identity.map(told).unwrap_or_default()))
}

fn told(identity: &Identity) -> Changes {
    let Identity { subject, names } = identity.clone();
    let told = [(SUBJECT, subject), (NAMES, names)];
    told.into_iter().map(|(name, value)| Change::Request(HeaderChange::Set(name, value))).collect()
}
