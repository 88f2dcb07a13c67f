//! Spans on their way to the collector, in batches.
//!
//! LIFECYCLE of a batch: gathered until it is large or old enough -> sent -> sent again while the collector cannot be
//! had, as the queue fills behind it -> taken, or refused for good, which drops it. At the end what is left is sent once.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::resource::v1::Resource;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Status};
use tracing::{info, warn};

use super::args::Collector;
use super::span::Finished;
use super::{Settings, otlp};
use crate::backoff::Backoff;
use crate::stats::ProcessStats;

/// Most requests of a batch.
const BATCH: usize = 256;
/// How long the first request of a batch waits for others.
const LINGER: Duration = Duration::from_secs(1);
/// How long the collector may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the end of the process waits for the last spans.
const LAST_SPANS: Duration = Duration::from_secs(1);
/// Waits between two sends of a batch.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Sends what workers hand over.
#[derive(Debug)]
pub struct Exporter {
    collector: Collector,
    resource: Resource,
    finished: mpsc::Receiver<Box<Finished>>,
    stats: Arc<ProcessStats>,
    backoff: Backoff,
    failing: bool,
}

/// Whether a batch is to be sent again.
enum Sent {
    Done,
    Again,
}

impl Exporter {
    pub(super) fn new(settings: Settings, finished: mpsc::Receiver<Box<Finished>>, stats: Arc<ProcessStats>) -> Self {
        let Settings { collector, sample: _, instance } = settings;
        let resource = otlp::resource(&instance);
        let backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT, SmallRng::seed_from_u64(rand::random()));
        Self { collector, resource, finished, stats, backoff, failing: false }
    }

    /// Sends until `stop`, then what is left, but not for long.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut client = match channel(&self.collector) {
            Ok(channel) => TraceServiceClient::new(channel),
            Err(error) => return warn!(%error, "traces are not sent: --trace-endpoint cannot be used"),
        };
        let mut batch = Vec::new();
        while let Some(()) = stop.run_until_cancelled(self.gather(&mut batch)).await {
            if stop.run_until_cancelled(self.deliver(&mut client, &batch)).await.is_none() {
                break;
            }
            batch.clear();
        }
        if timeout(LAST_SPANS, self.finish(&mut client, &mut batch)).await.is_err() {
            self.drop_spans(&batch);
        }
    }

    /// Adds to the batch until it is large enough, or the first has waited for long enough.
    async fn gather(&mut self, batch: &mut Vec<Finished>) {
        match self.finished.recv().await {
            Some(finished) => batch.push(*finished),
            // Nobody is left who could hand over more: the end is near.
            None => return pending().await,
        }
        let more = async {
            while batch.len() < BATCH
                && let Some(finished) = self.finished.recv().await
            {
                batch.push(*finished);
            }
        };
        // Those who come later are of the next one.
        let _ = timeout(LINGER, more).await;
    }

    /// Sends a batch until it is taken or refused.
    async fn deliver(&mut self, client: &mut TraceServiceClient<Channel>, batch: &[Finished]) {
        while let Sent::Again = self.send(client, batch).await {
            sleep(self.backoff.next_wait()).await;
        }
        self.backoff.reset();
    }

    /// Sends what is left, once.
    async fn finish(&mut self, client: &mut TraceServiceClient<Channel>, batch: &mut Vec<Finished>) {
        self.finished.close();
        loop {
            while batch.len() < BATCH
                && let Ok(finished) = self.finished.try_recv()
            {
                batch.push(*finished);
            }
            if batch.is_empty() {
                return;
            }
            if let Sent::Again = self.send(client, batch).await {
                self.drop_spans(batch);
            }
            batch.clear();
        }
    }

    async fn send(&mut self, client: &mut TraceServiceClient<Channel>, batch: &[Finished]) -> Sent {
        let request = ExportTraceServiceRequest { resource_spans: vec![otlp::batch(&self.resource, batch)] };
        let result = client.export(request).await;
        self.note(result.as_ref().err());
        match result {
            Ok(response) => {
                let refused = response.into_inner().partial_success.map_or(0, |partial| partial.rejected_spans);
                self.stats.trace_spans_dropped.fetch_add(u64::try_from(refused).unwrap_or_default(), Relaxed);
                Sent::Done
            }
            Err(status) if may_pass(&status) => Sent::Again,
            Err(_) => {
                self.drop_spans(batch);
                Sent::Done
            }
        }
    }

    fn drop_spans(&self, batch: &[Finished]) {
        let spans = batch.iter().map(Finished::len).sum();
        self.stats.trace_spans_dropped.fetch_add(spans, Relaxed);
    }

    /// One line when it begins to fail and one when it ends.
    fn note(&mut self, error: Option<&Status>) {
        let collector = self.collector.url();
        match error {
            Some(status) if !self.failing => {
                warn!(%collector, code = ?status.code(), error = status.message(), "traces cannot be sent");
            }
            None if self.failing => info!(%collector, "traces are sent again"),
            _ => {}
        }
        self.failing = error.is_some();
    }
}

/// Whether the same batch may be taken later; those are the codes that the protocol names.
fn may_pass(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss
            | Code::ResourceExhausted
    )
}

/// Connects when there is something to send, and again when that is lost.
fn channel(collector: &Collector) -> Result<Channel, tonic::transport::Error> {
    let endpoint = Endpoint::from(collector.url().clone()).connect_timeout(PATIENCE).timeout(PATIENCE);
    let endpoint = match collector.is_secure() {
        true => endpoint.tls_config(ClientTlsConfig::new().with_native_roots())?,
        false => endpoint,
    };
    Ok(endpoint.connect_lazy())
}
