//! Which replica writes statuses: the one that holds a Lease of the cluster.
//!
//! As Kubernetes' own controllers do it: a Lease that somebody else holds and that has not changed for its whole
//! duration, by our own clock, is free. Nothing depends on clocks of different machines that agree. A holder that
//! cannot renew in time lets go before anybody else may take over, and one that ends gives the Lease back.

use std::fmt;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client, Error};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::config::LeaseArgs;
use crate::metrics::Metrics;

/// How long a Lease is held without being renewed.
const DURATION: Duration = Duration::from_secs(6);

/// A holder renews this often, and the others look as often: one that is gone is replaced within 8 s, one that
/// ends at once.
const EVERY: Duration = Duration::from_secs(1);

/// A holder that could not renew for so long is none any more.
const LET_GO: Duration = Duration::from_secs(4);

/// A request that takes longer has failed.
const WITHIN: Duration = Duration::from_secs(2);

/// Where the Lease is, and who we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseConfig {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease.
    pub name: String,
    /// The pod, for people.
    pub pod: String,
}

impl LeaseConfig {
    /// What the flags come to.
    #[must_use]
    pub fn new(args: LeaseArgs, client: &Client) -> Self {
        let LeaseArgs { lease_namespace, lease_name, pod_name } = args;
        let namespace = lease_namespace.unwrap_or_else(|| client.default_namespace().to_owned());
        Self { namespace, name: lease_name, pod: pod_name.unwrap_or_else(host_name) }
    }
}

/// As the kernel has it: a container's is that of its pod.
fn host_name() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").map_or_else(|_| String::new(), |name| name.trim().to_owned())
}

/// Holds the Lease whenever that is possible, until stopped; then gives it back.
pub(crate) async fn hold(
    client: Client,
    config: LeaseConfig,
    holder: watch::Sender<bool>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) {
    let api = Api::namespaced(client, &config.namespace);
    let mut candidate = Candidate::new(config);
    loop {
        let step = timeout(WITHIN, candidate.step(&api));
        let result = tokio::select! {
            () = stop.cancelled() => break,
            result = step => result,
        };
        match result {
            Ok(Ok(())) => {}
            Ok(Err(error)) => candidate.failed(&error),
            Err(elapsed) => candidate.failed(&elapsed),
        }
        announce(&holder, &metrics, candidate.is_holder(Instant::now()));
        tokio::select! {
            () = stop.cancelled() => break,
            () = sleep(EVERY) => {}
        }
    }
    announce(&holder, &metrics, false);
    if let Ok(Err(error)) = timeout(WITHIN, candidate.give_back(&api)).await {
        tracing::warn!(%error, "the Lease is not given back, and runs out");
    }
}

fn announce(holder: &watch::Sender<bool>, metrics: &Metrics, is_holder: bool) {
    let changed = holder.send_if_modified(|was| std::mem::replace(was, is_holder) != is_holder);
    if changed {
        tracing::info!(is_holder, "writer of statuses");
        metrics.status_writer.set(i64::from(is_holder));
    }
}

/// One that would like to hold the Lease.
#[derive(Debug)]
struct Candidate {
    name: String,
    /// Another one at each start: two processes with the same pod name are two candidates.
    identity: String,
    /// The Lease as it was last seen, and when it became so.
    seen: Option<(Lease, Instant)>,
    /// When we last took or renewed it.
    renewed: Option<Instant>,
}

impl Candidate {
    fn new(config: LeaseConfig) -> Self {
        let LeaseConfig { namespace: _, name, pod } = config;
        let identity = format!("{pod}_{:016x}", rand::random::<u64>());
        Self { name, identity, seen: None, renewed: None }
    }

    fn is_holder(&self, now: Instant) -> bool {
        self.renewed.is_some_and(|renewed| now.duration_since(renewed) < LET_GO)
    }

    fn failed(&mut self, error: &impl fmt::Display) {
        tracing::warn!(%error, lease = self.name, "the Lease cannot be read or renewed");
    }

    /// Renews the Lease, takes it if it is free, or looks whether it is.
    async fn step(&mut self, api: &Api<Lease>) -> Result<(), Error> {
        let start = Instant::now();
        let lease = match api.get_opt(&self.name).await? {
            Some(lease) => lease,
            None => return self.create(api, start).await,
        };
        self.look(lease, start);
        match self.claim(start) {
            Some(claim) => self.replace(api, &claim, start).await,
            None => Ok(()),
        }
    }

    /// Notes how the Lease is, and since when.
    fn look(&mut self, lease: Lease, now: Instant) {
        let version = |lease: &Lease| lease.metadata.resource_version.clone();
        let is_same = self.seen.as_ref().is_some_and(|(seen, _)| version(seen) == version(&lease));
        if !is_same {
            self.seen = Some((lease, now));
        }
    }

    /// The Lease as it would be if it were ours; `None` = somebody else has it.
    fn claim(&mut self, now: Instant) -> Option<Lease> {
        let (lease, since) = self.seen.as_ref()?;
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        let is_ours = holder == self.identity;
        let lasts = Duration::from_secs(spec.lease_duration_seconds.unwrap_or_default().try_into().unwrap_or_default());
        if !is_ours {
            self.renewed = None;
        }
        let is_held = !is_ours && !holder.is_empty() && now.duration_since(*since) < lasts;
        if is_held {
            return None;
        }
        let transitions = spec.lease_transitions.unwrap_or_default();
        let spec = LeaseSpec {
            acquire_time: if is_ours { spec.acquire_time } else { None },
            lease_transitions: Some(if is_ours { transitions } else { transitions + 1 }),
            ..LeaseSpec::default()
        };
        Some(Lease { metadata: lease.metadata.clone(), spec: Some(self.ours(spec)) })
    }

    fn ours(&self, spec: LeaseSpec) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            acquire_time: spec.acquire_time.or_else(|| Some(now.clone())),
            renew_time: Some(now),
            ..spec
        }
    }

    async fn create(&mut self, api: &Api<Lease>, start: Instant) -> Result<(), Error> {
        let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
        let spec = Some(self.ours(LeaseSpec::default()));
        let result = api.create(&PostParams::default(), &Lease { metadata, spec }).await;
        self.written(result, start)
    }

    async fn replace(&mut self, api: &Api<Lease>, lease: &Lease, start: Instant) -> Result<(), Error> {
        let result = api.replace(&self.name, &PostParams::default(), lease).await;
        self.written(result, start)
    }

    /// The time counts from before the request: the API server may have written early.
    fn written(&mut self, result: Result<Lease, Error>, start: Instant) -> Result<(), Error> {
        match result {
            Ok(lease) => {
                self.renewed = Some(start);
                self.look(lease, start);
                Ok(())
            }
            // Somebody else was faster.
            Err(Error::Api(status)) if status.code == 409 => {
                self.renewed = None;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Lets the next one take it at once, if it is ours.
    async fn give_back(&self, api: &Api<Lease>) -> Result<(), Error> {
        let Some(mut lease) = api.get_opt(&self.name).await? else { return Ok(()) };
        let Some(spec) = &mut lease.spec else { return Ok(()) };
        if spec.holder_identity.take_if(|holder| *holder == self.identity).is_none() {
            return Ok(());
        }
        api.replace(&self.name, &PostParams::default(), &lease).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate() -> Candidate {
        let text = |text: &str| text.to_owned();
        Candidate::new(LeaseConfig { namespace: text("ns"), name: text("lease"), pod: text("pod") })
    }

    fn lease(holder: &str, version: &str) -> Lease {
        let metadata = ObjectMeta { resource_version: Some(version.into()), ..ObjectMeta::default() };
        let holder_identity = Some(holder.to_owned()).filter(|holder| !holder.is_empty());
        let spec = LeaseSpec { holder_identity, lease_duration_seconds: Some(6), ..LeaseSpec::default() };
        Lease { metadata, spec: Some(spec) }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_of_somebody_else_is_free_when_it_has_not_changed_for_its_duration() {
        let mut candidate = candidate();
        let start = Instant::now();
        candidate.look(lease("other", "1"), start);
        assert!(candidate.claim(start + Duration::from_secs(5)).is_none());
        candidate.look(lease("other", "2"), start + Duration::from_secs(5));
        assert!(candidate.claim(start + Duration::from_secs(10)).is_none(), "it was renewed");
        let claim = candidate.claim(start + Duration::from_secs(11)).unwrap();
        assert_eq!(claim.spec.unwrap().holder_identity, Some(candidate.identity));
    }
}
