//! One route, which is changed and then asked for until a request sees the change.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use futures_util::TryStreamExt;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use weir_control_plane::api::{Backend, Pool};
use weir_tests::{Client, Kube};

const NAME: &str = "changing";

/// Between two requests: requests without a pause would take the CPU from what is measured.
const ASK_EVERY: Duration = Duration::from_millis(1);

/// Between two changes, so that the one before has come to its end, its status included.
const PAUSE: Duration = Duration::from_millis(50);

/// A change that is not live by then never will be.
const LIVE_WITHIN: Duration = Duration::from_secs(20);

/// A Pool with one rule, the path of the change before.
pub(crate) struct Route {
    pools: Api<Pool>,
    client: Client,
    /// What a watch of the Pool sees, as it sees it.
    events: mpsc::UnboundedReceiver<(String, Instant)>,
    number: usize,
}

/// The times of one change.
pub(crate) struct Change {
    asked: Instant,
    /// When another watch of the same API server got the event.
    event: Instant,
    /// When the first answer by the new route was there.
    answered: Instant,
}

impl Change {
    /// From the request to write it to the API server's event.
    pub(crate) fn written(&self) -> Duration {
        self.event - self.asked
    }

    /// From the API server's event to the first request that saw it.
    pub(crate) fn live(&self) -> Duration {
        self.answered.saturating_duration_since(self.event)
    }
}

impl Route {
    /// Makes the Pool, and a Backend at this address.
    pub(crate) async fn prepare(
        kube: &Kube,
        namespace: &str,
        proxy: SocketAddr,
        server: SocketAddr,
    ) -> anyhow::Result<Self> {
        let pools: Api<Pool> = Api::namespaced(kube.client(), namespace);
        let backends: Api<Backend> = Api::namespaced(kube.client(), namespace);
        let new = PostParams::default();
        pools.create(&new, &Pool::new(NAME, serde_json::from_value(spec("/0"))?)).await?;
        let to_server = json!({"pool": NAME, "address": server.to_string()});
        backends.create(&new, &Backend::new(NAME, serde_json::from_value(to_server)?)).await?;
        let events = watch(&pools).await?;
        let mut route = Self { pools, client: Client::connect(proxy).await?, events, number: 0 };
        route.is_live("/0").await?;
        Ok(route)
    }

    /// Gives the Pool another path, and waits until a request sees it.
    pub(crate) async fn change(&mut self) -> anyhow::Result<Change> {
        sleep(PAUSE).await;
        self.number += 1;
        let path = format!("/{}", self.number);
        let patch = Patch::Merge(json!({"spec": spec(&path)}));
        let pools = self.pools.clone();
        let asked = Instant::now();
        let write = tokio::spawn(async move { pools.patch(NAME, &PatchParams::default(), &patch).await });
        let answered = self.is_live(&path).await?;
        write.await??;
        Ok(Change { asked, event: self.event(&path).await?, answered })
    }

    /// Asks for a path until there is a route for it; gives the time of the answer.
    async fn is_live(&mut self, path: &str) -> anyhow::Result<Instant> {
        let mut ticks = interval(ASK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let ask = async {
            while self.client.get(path).await?.status != 200 {
                ticks.tick().await;
            }
            anyhow::Ok(Instant::now())
        };
        timeout(LIVE_WITHIN, ask).await.with_context(|| format!("{path} is not live"))?
    }

    /// When the watch saw this path first: events of the status come later.
    async fn event(&mut self, path: &str) -> anyhow::Result<Instant> {
        loop {
            let (seen, at) = timeout(LIVE_WITHIN, self.events.recv()).await?.context("the watch has ended")?;
            if seen == path {
                return Ok(at);
            }
        }
    }
}

fn spec(path: &str) -> Value {
    json!({"match": [{"path": {"type": "Exact", "value": path}}]})
}

/// The path of the Pool after each event, and when it came.
async fn watch(pools: &Api<Pool>) -> anyhow::Result<mpsc::UnboundedReceiver<(String, Instant)>> {
    let (seen, events) = mpsc::unbounded_channel();
    let only = WatchParams::default().fields(&format!("metadata.name={NAME}"));
    let stream = pools.watch(&only, "0").await?;
    tokio::spawn(async move {
        let each = stream.try_for_each(|event| {
            let at = Instant::now();
            let path = path(event);
            path.into_iter().for_each(|path| drop(seen.send((path, at))));
            std::future::ready(Ok(()))
        });
        // Whoever waits for an event is told by the end of the channel.
        if let Err(error) = each.await {
            eprintln!("watch: {error}");
        }
    });
    Ok(events)
}

fn path(event: WatchEvent<Pool>) -> Option<String> {
    let (WatchEvent::Added(pool) | WatchEvent::Modified(pool)) = event else { return None };
    pool.spec.rules.into_iter().flatten().find_map(|rule| Some(rule.path?.value))
}
