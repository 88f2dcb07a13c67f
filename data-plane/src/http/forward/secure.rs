//! What a pool asks of the connection of a request: that it is one of TLS, and that the client is certified.

use http::header::HOST;
use http::{HeaderName, HeaderValue};
use weir_proto::model::{ClientCa, Tls};

use super::{Forward, Last, Search, TurnedAway};
use crate::matcher::host;
use crate::plugin::Change;
use crate::plugin::change::{HeaderChange, after_taking_out};
use crate::tls::Identity;

const SUBJECT: HeaderName = HeaderName::from_static("x-client-certificate-subject");
const NAMES: HeaderName = HeaderName::from_static("x-client-certificate-names");

impl Forward {
    /// Whether the pool of this number takes the request; if not, what its client is answered is decided.
    pub(super) fn secure(&mut self, tls: &Tls, number: usize) -> Search {
        if tls.redirect && self.exchange.origin.scheme != "https" {
            self.last = match self.location() {
                Some(location) => Last::Redirected(location, number),
                None => Last::TurnedAway(TurnedAway::Misdirected, number),
            };
            return Search::Ends;
        }
        match &tls.client_ca {
            Some(ca) => self.identify(ca, number),
            None => Search::GoesOn,
        }
    }

    /// The same over https, at its own port. A request without a host can be sent nowhere.
    fn location(&self) -> Option<HeaderValue> {
        let request = &self.visit.effects.request;
        let host = host::normalise(request.headers.get(HOST)?.to_str().ok()?).ok().filter(|host| !host.is_empty())?;
        let target = request.uri.path_and_query().map_or("/", |target| target.as_str());
        let target = if target.starts_with('/') { target } else { "/" };
        HeaderValue::try_from(format!("https://{host}{target}")).ok()
    }

    /// Says to plugins and backends who the client is, if these authorities were asked about it: a connection that was
    /// made for another host, with other authorities or none, says nothing here.
    fn identify(&mut self, ca: &ClientCa, number: usize) -> Search {
        let connection = self.exchange.connection.clone();
        let identity = connection.secured.get().and_then(|secured| secured.identity_by(ca));
        if ca.required && identity.is_none() {
            self.last = Last::TurnedAway(TurnedAway::Misdirected, number);
            return Search::Ends;
        }
        let headers = &self.visit.effects.request.headers;
        let changes = after_taking_out(&[SUBJECT, NAMES], headers, identity.map(told).unwrap_or_default());
        self.visit.effects.apply(changes);
        Search::GoesOn
    }
}

fn told(identity: &Identity) -> Vec<Change> {
    let Identity { subject, names } = identity.clone();
    [(SUBJECT, subject), (NAMES, names)].map(|(name, value)| Change::Request(HeaderChange::Set(name, value))).into()
}
