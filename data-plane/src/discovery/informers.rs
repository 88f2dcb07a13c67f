//! Streams to the replicas that do not serve this proxy: each is told what it holds and how its endpoints are, so that
//! whichever of them writes statuses knows all proxies.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::debug;
use weir_proto::pb::discovery_client::DiscoveryClient;
use weir_proto::pb::node_message::Body;

use super::connect::Connector;
use super::holdings::Changes;
use super::link::{Link, OPEN_WITHIN, StreamError, ToControlPlane, report, send};
use super::targets::{Candidate, Targets};
use crate::backoff::Backoff;
use crate::causes::chain;

/// How often names are looked up again, as replicas come and go; chance spreads the proxies.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Keeps them.
#[derive(Debug)]
pub(super) struct Informers {
    targets: Targets,
    informer: Informer,
    /// Who serves this proxy; `None` = nobody does yet.
    serving: watch::Receiver<Option<SocketAddr>>,
    running: BTreeMap<SocketAddr, AbortOnDropHandle<()>>,
}

/// What one of them needs.
#[derive(Debug, Clone)]
pub(super) struct Informer {
    pub(super) connector: Connector,
    pub(super) link: Arc<Link>,
}

impl Informers {
    /// To all that `targets` lead to but the one that serves.
    pub(super) fn new(targets: Targets, informer: Informer, serving: watch::Receiver<Option<SocketAddr>>) -> Self {
        Self { targets, informer, serving, running: BTreeMap::new() }
    }

    /// Keeps them up until `stop`; `rng` spreads the tries.
    pub(super) async fn run(self, rng: SmallRng, stop: CancellationToken) {
        stop.run_until_cancelled(self.keep_up(rng)).await;
    }

    async fn keep_up(mut self, mut rng: SmallRng) {
        loop {
            // Without one that serves, all stays as it is for the moment until there is one again.
            let serving = *self.serving.borrow_and_update();
            if let Some(serving) = serving {
                let mut others = self.targets.round(None).await;
                others.retain(|candidate| candidate.address != serving);
                self.keep(others, &mut rng);
            }
            let wait = LOOK_AGAIN.mul_f64(rng.random_range(0.8..1.2));
            if let Ok(Err(_)) = timeout(wait, self.serving.changed()).await {
                return;
            }
        }
    }

    /// One to each of these and to no other; those that run go on.
    fn keep(&mut self, others: Vec<Candidate>, rng: &mut SmallRng) {
        self.running.retain(|address, _| others.iter().any(|candidate| candidate.address == *address));
        for candidate in others {
            let start = || {
                let backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT, SmallRng::from_rng(rng));
                AbortOnDropHandle::new(tokio::spawn(self.informer.clone().keep_up(candidate.clone(), backoff)))
            };
            self.running.entry(candidate.address).or_insert_with(start);
        }
    }
}

impl Informer {
    async fn keep_up(self, to: Candidate, mut backoff: Backoff) {
        loop {
            let mut is_open = false;
            let Err(error) = self.inform(&to, &mut is_open).await;
            debug!(address = %to.address, error = chain(&error), "a replica is not informed");
            if is_open {
                backoff.reset();
            }
            sleep(backoff.next_wait()).await;
        }
    }

    async fn inform(&self, to: &Candidate, is_open: &mut bool) -> Result<Infallible, StreamError> {
        let channel = timeout(OPEN_WITHIN, self.connector.connect(to)).await.map_err(|_| StreamError::Silent)??;
        // Before what is held is looked up: a change in between is told twice, and none is left out.
        let (standing, changes) = self.link.holdings.subscribe();
        let (sender, outgoing) = mpsc::channel(4);
        send(&sender, Body::Subscribe(self.link.subscribe().await?)).await?;
        send(&sender, Body::Holding(standing)).await?;
        *is_open = true;
        let mut client = DiscoveryClient::new(channel);
        tokio::select! {
            ended = client.inform(ReceiverStream::new(outgoing)) => Err(ended.map_or_else(Into::into, |_| StreamError::Closed)),
            Err(error) = self.tell(changes, &sender) => Err(error),
        }
    }

    async fn tell(&self, mut changes: Changes, sender: &ToControlPlane) -> Result<Infallible, StreamError> {
        let reader = self.link.reports.reader();
        loop {
            tokio::select! {
                change = changes.recv() => match change {
                    Ok(holding) => send(sender, Body::Holding(Arc::unwrap_or_clone(holding))).await?,
                    Err(RecvError::Lagged(_) | RecvError::Closed) => return Err(StreamError::Behind),
                },
                sent = report(&reader, sender) => sent?,
            }
        }
    }
}
