//! From a listener to an endpoint: along the chain of its pools, and within each pool from endpoint to endpoint, until
//! one takes the connection or nothing is left (F1, F5).

use std::io;
use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::Instant;
use weir_proto::model::Balance;

use super::proxy_protocol::Ends;
use super::session::Session;
use crate::balance::hash::key_of_address;
use crate::balance::{Choice, Tried};
use crate::pool::{Candidate, Endpoint, InFlight, Pool};
use crate::reason::Reason;
use crate::table::Chain;
use crate::upstream::ConnectError;
use crate::upstream::connect::{Open, in_time};
use crate::upstream::stream::Stream;

/// A connection to an endpoint.
#[derive(Debug)]
pub struct Upstream {
    /// Its bytes.
    pub stream: Stream,
    /// Counts it among what the endpoint does.
    pub in_flight: InFlight,
    /// Counts it as open.
    pub open: Open,
}

/// A connection looking for an endpoint.
#[derive(Debug)]
pub struct Search<'a> {
    session: &'a mut Session,
    client: &'a TcpStream,
    tried: Tried,
    /// How the last try ended.
    last: Option<Reason>,
    /// The first disabled pool that was passed over.
    disabled: Option<Arc<Pool>>,
}

/// Whether the search goes on.
enum Found {
    Upstream(Box<Upstream>),
    /// Not here.
    Nothing,
    /// Nowhere: the trouble is this process's own.
    Exhausted,
}

impl<'a> Search<'a> {
    /// For a client that has not been tried anywhere.
    #[must_use]
    pub fn new(session: &'a mut Session, client: &'a TcpStream) -> Self {
        Self { session, client, tried: Tried::default(), last: None, disabled: None }
    }

    /// Tries the pools of the listener in their order. If nobody was there to try, once more in the live table:
    /// backends may have moved meanwhile, to a pool that was passed already or that the table does not have (S5).
    ///
    /// # Errors
    /// Says why there is none.
    pub async fn run(mut self) -> Result<Box<Upstream>, Reason> {
        let mut found = self.search_chain().await;
        if matches!(found, Found::Nothing) && self.tried.is_empty() && self.looks_again() {
            found = self.search_chain().await;
        }
        match found {
            Found::Upstream(upstream) => Ok(upstream),
            Found::Nothing | Found::Exhausted => Err(self.reason()),
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
    fn chain(&self) -> Option<Arc<Chain>> {
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

    async fn search_pool(&mut self, pool: &Pool) -> Found {
        for _ in 0..=pool.config.retry.attempts {
            let Some(candidate) = self.choose(pool) else { break };
            if let Some(reason) = self.last {
                pool.runtime.shards.of(self.session.worker()).retries[reason as usize].increment();
            }
            match self.try_endpoint(pool, &candidate).await {
                Found::Nothing => {}
                found => return found,
            }
        }
        Found::Nothing
    }

    fn choose(&self, pool: &Pool) -> Option<Candidate> {
        let connection = &self.session.connection;
        let view = pool.runtime.view.load();
        let mut choice = Choice {
            tried: &self.tried,
            cursor: &pool.runtime.cursor,
            key: match pool.config.balance {
                Balance::Hash(_) => key_of_address(connection.peer.ip().to_canonical()),
                _ => 0,
            },
            connection: connection.number.get(),
            rng: &mut connection.worker.rng.borrow_mut(),
        };
        let place = view.picker.pick(&view.candidates, &mut choice)?;
        Some(view.candidates[place].clone())
    }

    async fn try_endpoint(&mut self, pool: &Pool, candidate: &Candidate) -> Found {
        let (endpoint, worker) = (&candidate.endpoint, self.session.worker());
        self.session.attempts += 1;
        self.tried.add(endpoint.id);
        let in_flight = InFlight::start(endpoint.clone(), worker);
        match self.connect_in_time(pool, candidate).await {
            Ok(stream) => {
                let open = Open::new(endpoint.clone(), worker);
                Found::Upstream(Box::new(Upstream { stream, in_flight, open }))
            }
            Err(error) => self.fail(pool, endpoint, &error),
        }
    }

    fn fail(&mut self, pool: &Pool, endpoint: &Arc<Endpoint>, error: &ConnectError) -> Found {
        let reason = match error {
            ConnectError::Timeout => Reason::ConnectTimeout,
            ConnectError::Exhausted(_) | ConnectError::Io(_) => Reason::ConnectFailure,
        };
        self.last = Some(reason);
        if matches!(error, ConnectError::Exhausted(_)) {
            return Found::Exhausted;
        }
        pool.runtime.fail(endpoint, reason);
        Found::Nothing
    }

    /// For `PeakEwma` a connection is as slow as it is to make.
    async fn connect_in_time(&self, pool: &Pool, candidate: &Candidate) -> Result<Stream, ConnectError> {
        let began = Instant::now();
        let connected = in_time(pool.config.timeouts.connect, self.connect(candidate)).await;
        if pool.policy.tracks_latency && matches!(connected, Ok(_) | Err(ConnectError::Timeout)) {
            let now = Instant::now();
            candidate.endpoint.latency.observe(now, now.saturating_duration_since(began));
        }
        connected
    }

    /// A new connection, with what it begins with if the Backend wants that.
    async fn connect(&self, candidate: &Candidate) -> io::Result<Stream> {
        let mut stream = Stream::connect(&candidate.endpoint.address).await?;
        if let Some(version) = candidate.origin.backend.proxy_protocol {
            let ends = Ends::new(self.session.connection.peer, self.client.local_addr()?);
            stream.write_all(&ends.header(version)).await?;
        }
        Ok(stream)
    }

    /// Why nothing was found. A connection that no pool took counts in the disabled one that it would have got.
    fn reason(self) -> Reason {
        if let Some(reason) = self.last {
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
