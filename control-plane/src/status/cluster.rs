//! Statuses in a cluster: written into the objects by the replica that holds the lease, with Events; each replica
//! has them in its log too.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::events::{self, Events, Note};
use super::patcher::Patcher;
use super::writer::{Inbox, Writer};
use super::{LineSink, Observed, StatusSink, Update};
use crate::config::LeaseArgs;
use crate::lease::{self, LeaseConfig};
use crate::metrics::Metrics;
use crate::source::kubernetes::KubernetesSource;

/// What is needed to write statuses.
pub(crate) struct Cluster {
    client: Client,
    observed: Arc<Observed>,
    lease: LeaseConfig,
    metrics: Arc<Metrics>,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("lease", &self.lease).finish_non_exhaustive()
    }
}

/// Takes each change of a status to the writer, the Events and the log.
pub(crate) struct ClusterSink {
    lines: LineSink,
    inbox: Arc<Inbox>,
    observed: Arc<Observed>,
    events: Events,
    is_holder: watch::Receiver<bool>,
}

impl Cluster {
    /// For the cluster of a source.
    ///
    /// # Errors
    /// If there is one already that shows its metrics.
    pub(crate) fn new(source: &KubernetesSource, lease: LeaseArgs, metrics: Arc<Metrics>) -> prometheus::Result<Self> {
        metrics.show_status_writer()?;
        let client = source.client().clone();
        let lease = LeaseConfig::new(lease, &client);
        Ok(Self { client, observed: source.observed().clone(), lease, metrics })
    }

    /// The sink, and the task that writes what it takes until it is stopped.
    pub(crate) fn start(self, lines: LineSink, stop: CancellationToken) -> (ClusterSink, impl Future<Output = ()>) {
        let Self { client, observed, lease, metrics } = self;
        let (events, sender) = events::channel(client.clone(), lease.pod.clone());
        let (holder, is_holder) = watch::channel(false);
        let inbox = Arc::new(Inbox::default());
        let patcher = Patcher {
            client: client.clone(),
            observed: observed.clone(),
            events: events.clone(),
            metrics: metrics.clone(),
        };
        let writer = Writer::new(patcher, inbox.clone(), is_holder.clone());
        let sink = ClusterSink { lines, inbox, observed, events, is_holder };
        let task = async move {
            // The Lease is given up when the last patch is written, and not before.
            let give_up = CancellationToken::new();
            let write = async {
                writer.run(stop).await;
                give_up.cancel();
            };
            let told = CancellationToken::new();
            let hold = async {
                lease::hold(client, lease, holder, metrics, give_up.clone()).await;
                told.cancel();
            };
            tokio::join!(write, hold, sender.run(told.clone()));
        };
        (sink, task)
    }
}

impl StatusSink for ClusterSink {
    /// Most proxies have answered a change by then, so that it is one patch and not two.
    const GATHER: Duration = Duration::from_millis(100);

    async fn write(&mut self, update: Update) {
        match &update {
            Update::Resource { key, before: _, after } => self.inbox.set(key.clone(), after.clone()),
            Update::Endpoint(transition) if *self.is_holder.borrow() => {
                if let Some(seen) = self.observed.get(&transition.backend) {
                    self.events.tell(&transition.backend, &seen, Note::from(transition));
                }
            }
            Update::Endpoint(_) | Update::Place { .. } => {}
        }
        self.lines.write(update).await;
    }
}
