//! The control loop: owns what this proxy holds, and is the only one that changes the live table.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use weir_proto::pb;
use weir_proto::version::Version;

use super::apply::{Applied, Applier, Rejected};
use super::cache::Cache;
use super::handle::Request;
use super::report::Reports;
use super::starting::Starting;
use crate::health::Transition;
use crate::resolve::Resolved;
use crate::stats::ProcessStats;
use crate::stats::process::TableInfo;
use crate::table::TableHandle;

/// How often draining endpoints are looked at: nobody tells when their last request ends.
const DRAIN_CHECK: Duration = Duration::from_secs(1);

/// Where the loop's work comes from.
#[derive(Debug)]
pub(super) struct Inbox {
    /// The stream's questions.
    pub(super) requests: mpsc::Receiver<Request>,
    /// Answers of DNS.
    pub(super) resolved: mpsc::Receiver<Resolved>,
    /// Endpoints that went up or down.
    pub(super) transitions: mpsc::UnboundedReceiver<Transition>,
}

/// Who is told of changes.
#[derive(Debug)]
pub(super) struct Outbox {
    /// The resolver: names in use.
    pub(super) names: watch::Sender<BTreeSet<String>>,
    /// The control plane: endpoints.
    pub(super) reports: Reports,
    /// The disk.
    pub(super) cache: Option<Cache>,
    /// Figures.
    pub(super) stats: Arc<ProcessStats>,
    /// Readiness.
    pub(super) starting: Starting,
}

/// The control loop.
#[derive(Debug)]
pub(super) struct Control {
    applier: Applier,
    table: TableHandle,
    inbox: Inbox,
    outbox: Outbox,
}

/// What happened.
enum Event {
    Request(Request),
    Resolved(Resolved),
    Transition(Transition),
    WriteDue,
    DrainCheck,
    Stop,
}

impl Control {
    pub(super) fn new(applier: Applier, table: TableHandle, inbox: Inbox, outbox: Outbox) -> Self {
        Self { applier, table, inbox, outbox }
    }

    /// Works until `stop`; the newest table is on disk when this returns.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        self.load().await;
        let mut drain_check = interval(DRAIN_CHECK);
        drain_check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            match self.next(&mut drain_check, &stop).await {
                Event::Request(request) => self.serve(request),
                Event::Resolved(resolved) => self.resolve(resolved),
                Event::Transition(transition) => self.outbox.reports.note(&transition, &self.table.load()),
                Event::WriteDue => self.write(),
                Event::DrainCheck => self.outbox.reports.check_draining(&self.table.load()),
                Event::Stop => break,
            }
        }
        self.finish().await;
    }

    async fn next(&mut self, drain_check: &mut Interval, stop: &CancellationToken) -> Event {
        let Inbox { requests, resolved, transitions } = &mut self.inbox;
        let Outbox { cache, reports, .. } = &mut self.outbox;
        tokio::select! {
            () = stop.cancelled() => Event::Stop,
            Some(request) = requests.recv() => Event::Request(request),
            Some(resolved) = resolved.recv() => Event::Resolved(resolved),
            Some(transition) = transitions.recv() => Event::Transition(transition),
            () = write_due(cache.as_mut()) => Event::WriteDue,
            _ = drain_check.tick(), if reports.draining() => Event::DrainCheck,
        }
    }

    /// Before any stream is answered: a stream says what is held.
    async fn load(&mut self) {
        let Some(table) = self.outbox.cache.as_ref().and_then(Cache::load) else { return };
        self.applier.modules().prepare(&table.upserts).await;
        for rejected in self.apply(table) {
            let Rejected { key, version: _, reason } = rejected;
            warn!(resource = %key, reason, "the last good table holds a resource that this version refuses");
        }
    }

    fn serve(&mut self, request: Request) {
        // An asker may have gone away; what it asked for is done all the same.
        match request {
            Request::Held(answer) => drop(answer.send(self.applier.held())),
            Request::Orphans(answer) => drop(answer.send(self.applier.orphans())),
            Request::Apply(delta, answer) => {
                let changes = !(delta.upserts.is_empty() && delta.removed.is_empty());
                let rejected = self.apply(delta);
                if let (true, Some(cache)) = (changes, &mut self.outbox.cache) {
                    cache.changed();
                }
                drop(answer.send(rejected));
            }
        }
    }

    fn apply(&mut self, delta: pb::Delta) -> Vec<Rejected> {
        let pb::Delta { nonce: _, upserts, removed, last: _, snapshot_version } = delta;
        let Applied { rejected, pools, names } = self.applier.apply(upserts, removed);
        self.note_version(&snapshot_version);
        if let Some(names) = names {
            self.outbox.starting.live(&names);
            self.outbox.names.send_replace(names);
        }
        self.outbox.reports.refresh(&self.table.load(), &pools);
        rejected
    }

    fn note_version(&self, version: &[u8]) {
        let version = Version::from_wire(version).map(|v| v.to_string()).unwrap_or_default();
        let mut live = self.outbox.stats.discovery.table.lock();
        if live.as_ref().is_none_or(|live| live.version != version) {
            *live = Some(TableInfo { version, since: Instant::now() });
        }
    }

    fn resolve(&mut self, resolved: Resolved) {
        let Resolved { name, addresses } = resolved;
        if let Some(addresses) = addresses {
            let pools = self.applier.resolve(&name, addresses);
            self.outbox.reports.refresh(&self.table.load(), &pools);
        }
        self.outbox.starting.answered(&name);
    }

    fn write(&mut self) {
        if let Some(cache) = &mut self.outbox.cache {
            cache.write(self.applier.export());
        }
    }

    async fn finish(&mut self) {
        if let Some(cache) = &mut self.outbox.cache
            && cache.finish().await
        {
            cache.write(self.applier.export());
            cache.finish().await;
        }
    }
}

async fn write_due(cache: Option<&mut Cache>) {
    match cache {
        Some(cache) => cache.due().await,
        None => std::future::pending().await,
    }
}
