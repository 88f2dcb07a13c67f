//! Other Pools that change all the time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use anyhow::ensure;
use futures_util::{StreamExt, TryStreamExt, stream};
use http::Request;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval};
use tokio_stream::wrappers::IntervalStream;
use tokio_util::sync::CancellationToken;
use weir_control_plane::api::Pool;
use weir_tests::client::full;
use weir_tests::{Kube, eventually, send};

/// Writes at the same time.
const WRITERS: usize = 8;

/// Changes Pools in turn until it is stopped.
pub(crate) struct Churn {
    since: Instant,
    changed: Arc<AtomicUsize>,
    stop: CancellationToken,
    task: JoinHandle<kube::Result<()>>,
}

impl Churn {
    /// Makes this many Pools, waits until the proxy has them, and begins to change `rate` of them a second.
    pub(crate) async fn start(
        kube: &Kube,
        namespace: &str,
        proxy: SocketAddr,
        others: usize,
        rate: u32,
    ) -> anyhow::Result<Self> {
        ensure!(others > 0 && rate > 0, "there is nothing to change");
        let pools = Api::namespaced(kube.client(), namespace);
        create(&pools, others).await?;
        eventually("the proxy has all Pools", async || is_live(proxy, others - 1).await).await;
        let (changed, stop) = (Arc::<AtomicUsize>::default(), CancellationToken::new());
        let changes = change(pools, others, Duration::from_secs(1) / rate, changed.clone());
        let stopped = stop.clone();
        let task = tokio::spawn(async move { stopped.run_until_cancelled(changes).await.unwrap_or(Ok(())) });
        Ok(Self { since: Instant::now(), changed, stop, task })
    }

    /// Stops; gives how many Pools changed a second.
    pub(crate) async fn stop(self) -> anyhow::Result<f64> {
        let rate = self.changed.load(Relaxed) as f64 / self.since.elapsed().as_secs_f64();
        self.stop.cancel();
        self.task.await??;
        Ok(rate)
    }
}

async fn create(pools: &Api<Pool>, others: usize) -> anyhow::Result<()> {
    let each = stream::iter(0..others).map(async |number| {
        let pool = Pool::new(&name(number), serde_json::from_value(spec(number, 0))?);
        pools.create(&PostParams::default(), &pool).await?;
        anyhow::Ok(())
    });
    each.buffer_unordered(WRITERS).try_collect().await
}

/// Every Pool in turn gets another path, again and again.
async fn change(pools: Api<Pool>, others: usize, pause: Duration, changed: Arc<AtomicUsize>) -> kube::Result<()> {
    let turns = IntervalStream::new(interval(pause)).enumerate().map(Ok);
    let each = turns.try_for_each_concurrent(WRITERS, async |(turn, _)| {
        let patch = Patch::Merge(json!({"spec": spec(turn % others, turn / others + 1)}));
        pools.patch(&name(turn % others), &PatchParams::default(), &patch).await?;
        changed.fetch_add(1, Relaxed);
        Ok(())
    });
    each.await
}

fn name(number: usize) -> String {
    format!("other-{number}")
}

fn spec(number: usize, round: usize) -> Value {
    let host = format!("{}.test", name(number));
    json!({"match": [{"hosts": [host], "path": {"type": "Prefix", "value": format!("/{round}")}}]})
}

/// A Pool without backends answers 503, no Pool 404.
async fn is_live(proxy: SocketAddr, number: usize) -> Option<()> {
    let request = Request::get("/0").header("host", format!("{}.test", name(number))).body(full("")).ok()?;
    (send(proxy, request).await.ok()?.status == 503).then_some(())
}
