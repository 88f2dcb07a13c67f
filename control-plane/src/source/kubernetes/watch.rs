//! The watches of one kind, one per namespace, as one stream of batches.
//!
//! LIFECYCLE of a watch: list, in pages -> watch -> resumed where it broke off, or a new list if that is too long
//! ago. After a failure it waits; what was told stays as it was meanwhile.

use std::fmt::Debug;
use std::sync::Arc;

use futures_util::stream::{BoxStream, StreamExt, select_all};
use kube::Api;
use kube::core::Resource;
use kube::runtime::utils::WatchStreamExt;
use kube::runtime::watcher::{self, watcher};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::time::Instant;
use weir_proto::model::ResourceName;

use super::backoff::Doubling;
use super::failures::Failures;
use super::lists::{Lists, Named, Told};
use crate::source::{Batch, Changes};

/// Most steps that make one batch.
const BATCH: usize = 1024;

/// What one watch says.
type Step<T> = watcher::Result<watcher::Event<Option<Named<T>>>>;

/// Watches of one kind.
pub(super) struct Watches<T> {
    streams: Vec<BoxStream<'static, (usize, Step<T>)>>,
    namespaces: Vec<Option<Arc<str>>>,
}

impl<T: Send + 'static> Watches<T> {
    pub(super) fn new() -> Self {
        Self { streams: Vec::new(), namespaces: Vec::new() }
    }

    /// One more watch. Each object is reduced as it comes in, so that a list never stands whole in memory.
    pub(super) fn add<K>(
        &mut self,
        api: Api<K>,
        config: watcher::Config,
        namespace: Option<Arc<str>>,
        reduce: impl Fn(ResourceName, K) -> T + Send + Sync + 'static,
    ) where
        K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    {
        let place = self.streams.len();
        let stream = watcher(api, config).backoff(Doubling::new());
        let stream = stream.map(move |step| (place, step.map(|event| reduced(event, &reduce))));
        self.streams.push(stream.boxed());
        self.namespaces.push(namespace);
    }

    /// Sends what is told, until nobody listens any more. Steps that are ready together make one batch.
    pub(super) async fn run(
        self,
        batches: mpsc::Sender<Batch>,
        mut failures: Failures,
        mut changes: impl FnMut(Told<T>) -> Changes,
    ) {
        let mut lists = Lists::new(self.namespaces);
        let mut ready = select_all(self.streams).ready_chunks(BATCH);
        while let Some(steps) = ready.next().await {
            let since = Instant::now();
            let mut batch = Changes::new();
            for (place, step) in steps {
                let told = failures.sift(place, step).and_then(|event| lists.step(place, event));
                batch.extend(told.into_iter().flat_map(&mut changes));
            }
            if !batch.is_empty() && batches.send(Batch { changes: batch, since, done: None }).await.is_err() {
                return;
            }
        }
    }
}

fn reduced<K: Resource, T>(
    event: watcher::Event<K>,
    reduce: impl Fn(ResourceName, K) -> T,
) -> watcher::Event<Option<Named<T>>> {
    let named = |object: K| {
        let name = name(&object)?;
        Some((name.clone(), reduce(name, object)))
    };
    match event {
        watcher::Event::Init => watcher::Event::Init,
        watcher::Event::InitApply(object) => watcher::Event::InitApply(named(object)),
        watcher::Event::InitDone => watcher::Event::InitDone,
        watcher::Event::Apply(object) => watcher::Event::Apply(named(object)),
        watcher::Event::Delete(object) => watcher::Event::Delete(named(object)),
    }
}

/// The API server takes no name that is none.
fn name(object: &impl Resource) -> Option<ResourceName> {
    let meta = object.meta();
    ResourceName::new(meta.namespace.as_deref()?, meta.name.as_deref()?).ok()
}
