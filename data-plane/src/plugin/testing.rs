//! A request in a pool, made up: what stages are tested with.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use weir_proto::model;

use super::session::Scene;
use super::{Candidates, Session, rehearsal};
use crate::balance::Tried;
use crate::balance::tests::candidates;
use crate::http::attempt::Template;
use crate::http::connection::ClientConnection;
use crate::http::origin::Origin;
use crate::http::request_id::RequestId;
use crate::listener::crowd::Place;
use crate::pool::runtime::Environment;
use crate::pool::{Candidate, Pool, PoolRuntime};

/// Whose requests they are.
const CLIENT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 4711);

/// A request on worker 0, in pool `shop/web`, and the pool's candidates.
#[derive(Debug)]
pub struct Fixture {
    /// Whose request it is: a client at 192.0.2.1.
    pub connection: Rc<ClientConnection>,
    /// The pool.
    pub pool: Arc<Pool>,
    /// The rule that matched.
    pub rule: Arc<str>,
    /// The request; by default `GET /a/b?c=d` for `shop.example.com`.
    pub request: Rc<Template>,
    /// The candidates, `b000`, `b001` and so on.
    pub candidates: Vec<Candidate>,
    /// The chosen one.
    pub server: Option<Candidate>,
}

impl Fixture {
    /// With candidates of these weights; `change` makes the pool another one.
    ///
    /// # Panics
    /// If it is not within a runtime.
    pub fn new(weights: &[u32], change: impl FnOnce(&mut model::Pool)) -> Self {
        let mut config = model::Pool::new("shop/web".parse().unwrap());
        change(&mut config);
        let config = Arc::new(config);
        let environment = Environment::without_tasks(1);
        let pool = Arc::new(Pool::new(config.clone(), PoolRuntime::new(config, environment)));
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 80));
        let connection =
            ClientConnection::new(rehearsal::worker(Arc::default(), 7), 0, local, CLIENT, Place::default());
        let request = Rc::new(request("/a/b?c=d", &[("host", "shop.example.com")]));
        Self { connection, pool, rule: "* /".into(), request, candidates: candidates(weights), server: None }
    }

    /// With another target and these headers.
    #[must_use]
    pub fn with_request(self, target: &'static str, headers: &[(&'static str, &'static str)]) -> Self {
        Self { request: Rc::new(request(target, headers)), ..self }
    }

    /// Where it is.
    #[must_use]
    pub fn scene(&self) -> Scene<'_> {
        let Self { connection, pool, rule, server, .. } = self;
        Scene { connection, pool, rule: Some(rule), server: server.as_ref() }
    }

    /// A stage's view of it.
    #[must_use]
    pub fn session(&self) -> Session<'_> {
        Session::new(self.scene(), &self.request)
    }

    /// All candidates.
    #[must_use]
    pub fn all(&self) -> Candidates<'_> {
        Candidates::new(&self.candidates, &Tried::default())
    }
}

pub(crate) fn request(target: &'static str, headers: &[(&'static str, &'static str)]) -> Template {
    let mut head = http::Request::get(target).body(()).unwrap().into_parts().0;
    let headers = headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    head.headers.extend(headers);
    Template::of(head, RequestId::default(), Origin { client: CLIENT, scheme: "http" })
}
