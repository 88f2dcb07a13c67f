//! A pool's plugins run for a request that is made up: what `weir plugin test` shows.
//!
//! All of it is the proxy's own: resources are applied as they come from a control plane, the request is admitted and
//! matched, and the pool's chain runs its hooks, with a [`witness`] in front of each stage. Only the upstream is missing:
//! it is taken to answer at once.

mod lines;
mod witness;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use tracing::subscriber;
use weir_proto::model::PoolProtocol;
use weir_proto::pb;

use super::chain::Link;
use super::session::Scene;
use super::wasm::Modules;
use super::{Chain, Effects, Halt, Outcome, Visit};
use crate::balance::Tried;
use crate::discovery::apply::{Applier, Rejected};
use crate::drain::Drain;
use crate::http::attempt::Template;
use crate::http::choose::Chooser;
use crate::http::connection::ClientConnection;
use crate::http::headers::Downstream;
use crate::http::request::{self, Refusal};
use crate::limits::Limits;
use crate::listener::Served;
use crate::listener::crowd::Place;
use crate::listener::numbers::ConnectionNumbers;
use crate::pool::runtime::Environment;
use crate::pool::{Candidate, InFlight, Pool};
use crate::stats::ProcessStats;
use crate::stats::access_log::AccessLog;
use crate::table::{self, TableHandle};
use crate::tls::{CertificateStore, CertificatesHandle};
use crate::trace::Tracer;
use crate::trusted::TrustedProxies;
use crate::worker::{Shared, Worker};

pub use witness::{Answer, Call};
pub(crate) use witness::{Notes, Witness};

const LISTENER: &str = "http";

/// What is made up.
#[derive(Debug)]
pub struct Scenario {
    /// The request as a client sends it.
    pub request: Parts,
    /// Whether it comes over TLS.
    pub tls: bool,
    /// Where the client is.
    pub client: SocketAddr,
    /// Other requests in flight, by backend.
    pub in_flight: BTreeMap<String, u32>,
    /// The status with which the upstream answers.
    pub status: u16,
}

/// Why there is nothing to run.
#[derive(Debug)]
pub enum Refused {
    /// Resources that a proxy does not take.
    Resources(Vec<Rejected>),
    /// A request that it does not serve.
    Request(Refusal),
    /// No pool takes the request.
    NoRoute,
}

/// A request in a pool, ready to be run again and again on one worker.
#[derive(Debug)]
pub struct Rehearsal {
    connection: Rc<ClientConnection>,
    pool: Arc<Pool>,
    /// The same pool with witnesses.
    watched: Arc<Pool>,
    rule: Arc<table::Chain>,
    request: Parts,
    status: u16,
    notes: Notes,
    _busy: Vec<InFlight>,
}

/// One way through the hooks.
#[derive(Debug)]
pub struct Run {
    /// Each call of a hook, in order.
    pub calls: Vec<Call>,
    /// Where the request would have gone.
    pub server: Option<String>,
    /// The answer in place of the upstream's.
    pub halt: Option<Box<Halt>>,
}

impl Rehearsal {
    /// Takes resources as a proxy does; the request goes to the pool that takes it.
    ///
    /// # Errors
    /// If a proxy would refuse any of it.
    pub async fn new(resources: Vec<pb::Resource>, scenario: Scenario) -> Result<Self, Refused> {
        let Scenario { mut request, tls, client, in_flight, status } = scenario;
        let table = TableHandle::default();
        apply(resources, &table).await.map_err(Refused::Resources)?;
        let connection = connection(worker(table, rand::random()), client, tls);
        request::admit(&mut request, false, &connection).map_err(Refused::Request)?;
        let (rule, pool) = route(&connection, &request)?;
        let notes = Notes::default();
        let (watched, busy) = (witnessed(&pool, &notes), busy(&pool, &in_flight));
        Ok(Self { connection, pool, watched, rule, request, status, notes, _busy: busy })
    }

    /// Runs every hook once, as the request path does.
    pub async fn run(&self) -> Run {
        let _lines = subscriber::set_default(self.notes.lines());
        let (server, halt) = match self.pass(&self.watched).await {
            Ok((server, _)) => (server, None),
            Err(halt) => (None, Some(halt)),
        };
        let server = server.map(|server| server.endpoint.backend.name().to_owned());
        Run { calls: self.notes.take(), server, halt }
    }

    /// The same with nobody watching, so that it takes as long as in the proxy. Gives what was made of the request.
    ///
    /// # Errors
    /// The answer in place of the upstream's.
    pub async fn run_unwatched(&self) -> Result<Effects, Box<Halt>> {
        self.pass(&self.pool).await.map(|(_, effects)| effects)
    }

    async fn pass(&self, pool: &Arc<Pool>) -> Result<(Option<Candidate>, Effects), Box<Halt>> {
        let mut visit = Visit::new(self.template());
        let ended = self.enter(pool, &mut visit).await;
        if let Some(plugins) = &pool.plugins {
            let (server, halt) = match &ended {
                Ok(server) => (server.as_ref(), None),
                Err(halt) => (None, Some(&**halt)),
            };
            plugins.done(self.scene(pool, server), &visit.effects, &self.outcome(server, halt));
        }
        ended.map(|server| (server, visit.effects))
    }

    /// Until there is a server, or an answer in its place.
    async fn enter(&self, pool: &Arc<Pool>, visit: &mut Visit) -> Result<Option<Candidate>, Box<Halt>> {
        if let Some(plugins) = &pool.plugins
            && let Some(pending) = plugins.pre(self.scene(pool, None), visit)?
        {
            plugins.resume_pre(pending, self.scene(pool, None), visit).await?;
        }
        let view = pool.runtime.view.load_full();
        let chooser = Chooser { scene: self.scene(pool, None), effects: &visit.effects, tried: &Tried::default() };
        let server = chooser.choose(&view)?.map(|(candidate, _)| candidate.clone());
        let mut effects: Effects = visit.effects.clone();
        let scene = self.scene(pool, server.as_ref());
        if let Some(plugins) = &pool.plugins
            && let Some(pending) = plugins.post(scene, &mut effects)?
        {
            plugins.resume_post(pending, scene, &mut effects).await?;
        }
        visit.effects = effects;
        Ok(server)
    }

    fn scene<'a>(&'a self, pool: &'a Arc<Pool>, server: Option<&'a Candidate>) -> Scene<'a> {
        Scene { connection: &self.connection, pool, rule: Some(self.rule.rule()), server }
    }

    fn template(&self) -> Template {
        let origin = self.connection.origin(&self.request.headers);
        Template::of(self.request.clone(), self.connection.worker.next_request(), origin)
    }

    fn outcome(&self, server: Option<&Candidate>, halt: Option<&Halt>) -> Outcome {
        let unavailable = if server.is_some() { self.status } else { 503 };
        Outcome {
            status: halt.map_or(unavailable, |halt| halt.status.as_u16()),
            duration: Duration::from_millis(1),
            upstream: server.map(|_| Duration::from_millis(1)),
            bytes: halt.map_or(0, |halt| halt.body.len() as u64),
        }
    }
}

/// Applies resources as those of a delta.
async fn apply(resources: Vec<pb::Resource>, table: &TableHandle) -> Result<(), Vec<Rejected>> {
    let environment = Environment::without_tasks(1);
    let modules = Modules::new(None);
    modules.prepare(&resources).await;
    let mut applier = Applier::new(listeners(), table.clone(), environment, modules, CertificateStore::default());
    let rejected = applier.apply(resources, Vec::new()).rejected;
    if rejected.is_empty() { Ok(()) } else { Err(rejected) }
}

/// The only listener.
fn listeners() -> Arc<[Served]> {
    Arc::new([Served { name: LISTENER.to_owned(), protocol: PoolProtocol::Http, tls: false, proxy: false }])
}

/// A worker that serves no socket.
pub(crate) fn worker(table: TableHandle, seed: u64) -> Rc<Worker> {
    let shared = Shared {
        listeners: listeners(),
        table,
        stats: Arc::new(ProcessStats::new(&[LISTENER.to_owned()], 1)),
        log: AccessLog::off(),
        tracer: Tracer::off(),
        numbers: ConnectionNumbers::default(),
        drain: Drain::default(),
        certificates: CertificatesHandle::default(),
        limits: Limits::default(),
        trusted: TrustedProxies::default(),
        crowd: Arc::default(),
    };
    Worker::new(0, Arc::new(shared), seed)
}

fn connection(worker: Rc<Worker>, client: SocketAddr, tls: bool) -> Rc<ClientConnection> {
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, if tls { 443 } else { 80 }));
    let mut connection = ClientConnection::new(worker, 0, local, client, Place::default());
    if let Some(connection) = Rc::get_mut(&mut connection) {
        connection.downstream = Downstream::new(client.ip(), tls, false);
    }
    connection
}

/// The rule that takes a request, and the first pool of its chain.
fn route(connection: &ClientConnection, request: &Parts) -> Result<(Arc<table::Chain>, Arc<Pool>), Refused> {
    let table = connection.worker.table();
    let host = request::host(request).map_err(Refused::Request)?;
    let found = table.listeners.first().and_then(|routes| {
        let chain = routes.chain(routes.find(&request::view(request, &host))?)?;
        let pool = table.pools.at(chain.order().next()?)?;
        Some((chain.clone(), pool.clone()))
    });
    found.ok_or(Refused::NoRoute)
}

/// The same pool with a witness for each of its plugins.
fn witnessed(pool: &Arc<Pool>, notes: &Notes) -> Arc<Pool> {
    let witnessed = |link: &Link| {
        let witness = Witness::new(link.stage.clone(), &link.stats.name, notes);
        Link { stage: Arc::new(witness), ..link.clone() }
    };
    let plugins = pool.plugins.as_ref().map(|plugins| {
        let links = plugins.links().iter().map(witnessed).collect();
        Arc::new(Chain::new(links, plugins.missing().to_vec()))
    });
    Arc::new(Pool::new(pool.config.clone(), pool.runtime.clone()).with_plugins(plugins))
}

/// So many requests in flight to each backend.
fn busy(pool: &Pool, in_flight: &BTreeMap<String, u32>) -> Vec<InFlight> {
    let members = pool.runtime.members();
    let count = |name: &str| in_flight.get(name).copied().unwrap_or(0);
    let of = |member: crate::pool::Member| {
        let number = count(member.endpoint.backend.name());
        (0..number).map(move |_| InFlight::start(member.endpoint.clone(), 0))
    };
    members.into_iter().flat_map(of).collect()
}
