//! From a listener to an endpoint: along the chain of its pools, and within each pool from endpoint to endpoint, until
//! one takes the connection or nothing is left (F1, F5).

use std::future::ready;
use std::io;
use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::session::Session;
use crate::balance::Tried;
use crate::pool::{Candidate, Endpoint, InFlight, Pool};
use crate::proxy_protocol::Ends;
use crate::reason::Reason;
use crate::table::Chain;
use crate::upstream::ConnectError;
use crate::upstream::connect::{Open, in_time};
use crate::upstream::stream::Stream;
use crate::upstream::tls::Spoken;
use crate::upstream::transport::Transport;

/// A connection to an endpoint.
#[derive(Debug)]
pub struct Upstream {
    /// Its bytes.
    pub stream: Transport,
    /// Counts it among what the endpoint does.
    pub in_flight: InFlight,
    /// Counts it as open.
    pub open: Open,
}

/// A connection looking for an endpoint.
#[derive(Debug)]
pub struct Search<'a> {
    pub(super) session: &'a mut Session,
    pub(super) client: &'a TcpStream,
    pub(super) tried: Tried,
    /// How the last try ended.
    pub(super) failed: Option<Reason>,
    /// Why there is no connection so far, if that is known.
    pub(super) reason: Option<Reason>,
    /// The first disabled pool that was passed over.
    disabled: Option<Arc<Pool>>,
}

/// An endpoint that can take the connection, and its slot.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) candidate: Candidate,
    pub(super) in_flight: InFlight,
}

/// Whether the search goes on.
pub(super) enum Found {
    Upstream(Box<Upstream>),
    /// Not here.
    Nothing,
    /// Nowhere: the trouble is this process's own, it took too long, or the client left.
    Nowhere,
}

impl<'a> Search<'a> {
    /// For a client that has not been tried anywhere.
    #[must_use]
    pub fn new(session: &'a mut Session, client: &'a TcpStream) -> Self {
        Self { session, client, tried: Tried::default(), failed: None, reason: None, disabled: None }
    }

    /// Tries the pools of the listener in their order. If nobody was there to try, once more in the live table:
    /// backends may have moved meanwhile, to a pool that was passed already or that the table does not have (S5).
    ///
    /// # Errors
    /// Says why there is none.
    pub async fn run(mut self) -> Result<Box<Upstream>, Reason> {
        let mut found = self.search_chain().await;
        if matches!(found, Found::Nothing) && self.reason.is_none() && self.looks_again() {
            found = self.search_chain().await;
        }
        match found {
            Found::Upstream(upstream) => Ok(upstream),
            Found::Nothing | Found::Nowhere => Err(self.reason()),
        }
    }

    fn looks_again(&mut self) -> bool {
        let live = self.session.connection.worker.table();
        let routes = live.listeners.get(self.session.connection.listener);
        let moved = routes.and_then(|routes| routes.only()).is_some_and(|chain| chain.has_candidates(&live.pools));
        if moved {
            self.session.leave_pool();
            self.session.table = live;
            self.disabled = None;
        }
        moved
    }

    /// The chain of all pools of the listener.
    pub(super) fn chain(&self) -> Option<Arc<Chain>> {
        self.session.table.listeners.get(self.session.connection.listener)?.only().cloned()
    }

    async fn search_chain(&mut self) -> Found {
        let (table, chain) = (self.session.table.clone(), self.chain());
        for number in chain.iter().flat_map(|chain| chain.order()) {
            let Some(pool) = table.pools.at(number) else { continue };
            if !pool.config.enabled {
                self.disabled.get_or_insert_with(|| pool.clone());
                continue;
            }
            self.session.enter_pool(pool);
            match self.search_pool(pool).await {
                Found::Nothing => {}
                found => return found,
            }
        }
        Found::Nothing
    }

    async fn search_pool(&mut self, pool: &Arc<Pool>) -> Found {
        for _ in 0..=pool.config.retry.attempts {
            let chosen = match self.choose(pool) {
                Some(chosen) => chosen,
                None => match self.wait(pool).await {
                    Ok(chosen) => chosen,
                    Err(found) => return found,
                },
            };
            if let Some(reason) = self.failed {
                pool.runtime.shards.of(self.session.worker()).retries[reason as usize].increment();
            }
            match self.try_endpoint(pool, chosen).await {
                Found::Nothing => {}
                found => return found,
            }
        }
        Found::Nothing
    }

    async fn try_endpoint(&mut self, pool: &Pool, chosen: Chosen) -> Found {
        let Chosen { candidate, in_flight } = chosen;
        self.session.attempts += 1;
        self.tried.add(candidate.endpoint.id);
        self.session.begin_flight();
        match self.connect_in_time(pool, &candidate).await {
            Ok(stream) => {
                let open = Open::new(candidate.endpoint.clone(), self.session.worker());
                Found::Upstream(Box::new(Upstream { stream, in_flight, open }))
            }
            Err(error) => {
                self.session.end_flight();
                self.fail(pool, &candidate.endpoint, &error)
            }
        }
    }

    fn fail(&mut self, pool: &Pool, endpoint: &Arc<Endpoint>, error: &ConnectError) -> Found {
        let reason = match error {
            ConnectError::Timeout => Reason::ConnectTimeout,
            ConnectError::Tls(fault) => fault.reason(),
            ConnectError::Exhausted(_) | ConnectError::Io(_) => Reason::ConnectFailure,
        };
        (self.failed, self.reason) = (Some(reason), Some(reason));
        if matches!(error, ConnectError::Exhausted(_)) {
            return Found::Nowhere;
        }
        pool.runtime.fail(endpoint, reason);
        Found::Nothing
    }

    /// For `PeakEwma` a connection is as slow as it is to make.
    async fn connect_in_time(&self, pool: &Pool, candidate: &Candidate) -> Result<Transport, ConnectError> {
        let began = Instant::now();
        let connected = in_time(pool.config.timeouts.connect, self.connect(candidate)).await;
        if pool.policy.tracks_latency && matches!(connected, Ok(_) | Err(ConnectError::Timeout)) {
            let now = Instant::now();
            candidate.endpoint.latency.observe(now, now.saturating_duration_since(began));
        }
        connected
    }

    /// A new connection, with what it begins with if the Backend wants that.
    async fn connect(&self, candidate: &Candidate) -> io::Result<Transport> {
        let mut stream = Stream::connect(&candidate.endpoint.address).await?;
        if let Some(version) = candidate.origin.backend.proxy_protocol {
            let connection = &self.session.connection;
            let ends = Ends::new(connection.peer, connection.local);
            stream.write_all(&ends.header(version)).await?;
        }
        Transport::within(ready(Ok(stream)), candidate.endpoint.terms().as_deref(), Spoken::Bytes).await
    }

    /// Why nothing was found. A connection that no pool took counts in the disabled one that it would have got.
    fn reason(self) -> Reason {
        if let Some(reason) = self.reason {
            return reason;
        }
        match (self.session.pool(), self.disabled) {
            (Some(_), _) => Reason::NoBackend,
            (None, Some(pool)) => {
                self.session.enter_pool(&pool);
                Reason::Disabled
            }
            // Before the first table nobody knows whether there is a route.
            (None, None) if self.session.table.listeners.is_empty() => Reason::NoBackend,
            (None, None) => Reason::NoRoute,
        }
    }
}
