//! What a plugin sees of a request, and how it changes it (P6).

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use http::header::HOST;
use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Map, Value};
use tokio::time::Instant;
use weir_proto::model::plugin::param::Carrier;

use super::Change;
use super::change::HeaderChange;
use super::tally::Tally;
use crate::http::attempt::Template;
use crate::http::connection::ClientConnection;
use crate::http::{carrier, cookie};
use crate::pool::{Candidate, Pool};
use crate::worker::Worker;

/// Where a request is: the same for all plugins of one hook.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// Whose request it is.
    pub connection: &'a Rc<ClientConnection>,
    /// The pool that it is in.
    pub pool: &'a Arc<Pool>,
    /// The rule that matched.
    pub rule: &'a str,
    /// The chosen backend, once there is one.
    pub server: Option<&'a Candidate>,
}

/// One plugin's view of one request. What it changes takes effect when its hook has come to a good end, and is seen by
/// the plugins that follow.
#[derive(Debug)]
pub struct Session<'a> {
    scene: Scene<'a>,
    request: &'a Rc<Template>,
    tally: Option<&'a Tally>,
    /// `None` if no hook runs.
    began: Option<Instant>,
    changes: Vec<Change>,
}

impl<'a> Session<'a> {
    /// A view that has changed nothing.
    #[must_use]
    pub fn new(scene: Scene<'a>, request: &'a Rc<Template>) -> Self {
        Self { scene, request, tally: None, began: None, changes: Vec::new() }
    }

    /// The same for a plugin that counts here.
    #[must_use]
    pub fn counting(self, tally: Option<&'a Tally>) -> Self {
        Self { tally, ..self }
    }

    /// The same for a hook that runs since then.
    #[must_use]
    pub fn running_since(self, began: Instant) -> Self {
        Self { began: Some(began), ..self }
    }

    /// Since when the hook runs.
    #[must_use]
    pub fn began(&self) -> Instant {
        self.began.unwrap_or_else(Instant::now)
    }

    /// Where the request is.
    #[must_use]
    pub fn scene(&self) -> Scene<'a> {
        self.scene
    }

    /// The request, as the upstream shall see it.
    #[must_use]
    pub fn request(&self) -> &'a Template {
        self.request
    }

    /// Where the plugin counts, if it is one that does.
    #[must_use]
    pub fn tally(&self) -> Option<&'a Tally> {
        self.tally
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &'a Method {
        &self.request.method
    }

    /// `http` or `https`, as the client sees it.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        self.request.origin.scheme
    }

    /// The host as the client wrote it, with a port if there is one; empty if there is none.
    #[must_use]
    pub fn host(&self) -> &'a str {
        self.header(HOST.as_str()).and_then(|host| host.to_str().ok()).unwrap_or_default()
    }

    /// The path, normalised (M5).
    #[must_use]
    pub fn path(&self) -> &'a str {
        self.request.uri.path()
    }

    /// The query without its question mark.
    #[must_use]
    pub fn query(&self) -> Option<&'a str> {
        self.request.uri.query()
    }

    /// The header, as the upstream shall see it.
    #[must_use]
    pub fn headers(&self) -> &'a HeaderMap {
        &self.request.headers
    }

    /// The first field of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a HeaderValue> {
        self.request.headers.get(name)
    }

    /// The first cookie of this name.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&'a [u8]> {
        cookie::value(&self.request.headers, name)
    }

    /// The value of this header or cookie.
    #[must_use]
    pub fn carried(&self, carrier: &Carrier) -> Option<&'a [u8]> {
        carrier::value(carrier, &self.request.headers)
    }

    /// Where the client is.
    #[must_use]
    pub fn client(&self) -> IpAddr {
        self.request.origin.client.ip()
    }

    /// The pool that the request is in.
    #[must_use]
    pub fn pool(&self) -> &'a Pool {
        self.scene.pool
    }

    /// The pool's free values.
    #[must_use]
    pub fn config(&self) -> &'a Map<String, Value> {
        &self.scene.pool.config.config
    }

    /// Canonical text of the rule that matched.
    #[must_use]
    pub fn rule(&self) -> &'a str {
        self.scene.rule
    }

    /// The chosen backend; `None` before the choice, and in `post` if there was none to choose.
    #[must_use]
    pub fn server(&self) -> Option<&'a Candidate> {
        self.scene.server
    }

    /// The worker that serves the request.
    #[must_use]
    pub fn worker(&self) -> &'a Rc<Worker> {
        &self.scene.connection.worker
    }

    /// Changes something.
    pub fn change(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// Makes changes that a plugin has collected elsewhere.
    pub fn change_all(&mut self, changes: Vec<Change>) {
        if self.changes.is_empty() {
            self.changes = changes;
        } else {
            self.changes.extend(changes);
        }
    }

    /// Changes a field of the request's header.
    pub fn change_request(&mut self, change: HeaderChange) {
        self.change(Change::Request(change));
    }

    /// Changes a field of the response's header.
    pub fn change_response(&mut self, change: HeaderChange) {
        self.change(Change::Response(change));
    }

    /// What was changed so far.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// What was changed.
    #[must_use]
    pub fn into_changes(self) -> Vec<Change> {
        self.changes
    }

    /// The same view for code that cannot borrow.
    #[must_use]
    pub fn keep(&self) -> Kept {
        let Scene { connection, pool, rule, server } = self.scene;
        Kept {
            connection: connection.clone(),
            pool: pool.clone(),
            rule: rule.into(),
            server: server.cloned(),
            request: self.request.clone(),
        }
    }
}

/// What a view shows, owned: for code that a request cannot be lent to, such as an instance of a component.
#[derive(Debug)]
pub struct Kept {
    connection: Rc<ClientConnection>,
    pool: Arc<Pool>,
    rule: Box<str>,
    server: Option<Candidate>,
    request: Rc<Template>,
}

impl Kept {
    /// The view.
    #[must_use]
    pub fn session(&self) -> Session<'_> {
        let Self { connection, pool, rule, server, request } = self;
        Session::new(Scene { connection, pool, rule, server: server.as_ref() }, request)
    }
}
