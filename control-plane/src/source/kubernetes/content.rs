//! Secrets and ConfigMaps: each that is named is watched by itself, so that no others are ever read.
//!
//! LIFECYCLE of one: named -> list of one -> told (that it is there, that it is not, or why nobody knows) -> each
//! change told -> not named any more. After a failure, what was told stays.

use std::collections::BTreeMap;
use std::fmt::Debug;

use futures_util::stream::{BoxStream, StreamExt};
use k8s_openapi::ByteString;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::core::DeserializeGuard;
use kube::runtime::utils::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_stream::StreamMap;

use super::backoff::Doubling;
use super::config;
use super::failures::{Failures, reason};
use crate::contents::{Content, ContentKey, ContentKind, Told, Wanted};
use crate::metrics::Metrics;
use crate::source::{Batch, Event as Change};

/// What one watch says: what the object holds, or why that cannot be read.
type Step = watcher::Result<Event<Result<Content, String>>>;

/// Watches what is wanted, until nobody listens any more.
pub(super) async fn watch(
    client: Client,
    mut wanted: watch::Receiver<Wanted>,
    batches: mpsc::Sender<Batch>,
    metrics: &Metrics,
) {
    let mut watches = Watches::new(client, metrics);
    // Something may be wanted already.
    wanted.mark_changed();
    loop {
        let told = tokio::select! {
            Some(((key, asked), step)) = watches.streams.next() => watches.step(key, asked, step),
            changed = wanted.changed() => match changed {
                Ok(()) => {
                    watches.follow(&wanted.borrow_and_update());
                    None
                }
                Err(_) => return,
            },
        };
        let Some((key, told)) = told else { continue };
        let batch = Batch { changes: vec![Change::Content(key, told)], since: Instant::now(), done: None };
        if batches.send(batch).await.is_err() {
            return;
        }
    }
}

struct Watches {
    client: Client,
    streams: StreamMap<(ContentKey, u64), BoxStream<'static, Step>>,
    watched: BTreeMap<ContentKey, Watched>,
    failures: [Failures; ContentKind::ALL.len()],
}

struct Watched {
    asked: u64,
    /// What the list that is coming in holds.
    listed: Told,
    is_told: bool,
}

impl Watches {
    fn new(client: Client, metrics: &Metrics) -> Self {
        let failures = ContentKind::ALL.map(|kind| Failures::new(kind.as_str(), metrics.watch_failures(kind.as_str())));
        Self { client, streams: StreamMap::new(), watched: BTreeMap::new(), failures }
    }

    /// Begins to watch what is new among these, and ends what is not there.
    fn follow(&mut self, wanted: &Wanted) {
        let is_wanted = |key: &ContentKey, watched: &Watched| wanted.get(key) == Some(&watched.asked);
        let gone: Vec<(ContentKey, u64)> = self
            .watched
            .iter()
            .filter(|(key, watched)| !is_wanted(key, watched))
            .map(|(key, watched)| (key.clone(), watched.asked))
            .collect();
        for watch in gone {
            self.streams.remove(&watch);
            self.watched.remove(&watch.0);
            self.failures[watch.0.kind as usize].forget(place(watch.1));
        }
        for (key, asked) in wanted {
            if !self.watched.contains_key(key) {
                let begun = Watched { asked: *asked, listed: Told::Missing, is_told: false };
                self.watched.insert(key.clone(), begun);
                self.streams.insert((key.clone(), *asked), stream(&self.client, key));
            }
        }
    }

    /// What is to be told after a step.
    fn step(&mut self, key: ContentKey, asked: u64, step: Step) -> Option<(ContentKey, Told)> {
        let watched = self.watched.get_mut(&key)?;
        if let (Err(error), false) = (&step, watched.is_told) {
            // Who waits for it is to know that it may take long, and why.
            watched.is_told = true;
            let told = Told::Unreadable(reason(error));
            self.failures[key.kind as usize].sift(place(asked), step);
            return Some((key, told));
        }
        let told = match self.failures[key.kind as usize].sift(place(asked), step)? {
            Event::Init => {
                watched.listed = Told::Missing;
                return None;
            }
            Event::InitApply(object) => {
                watched.listed = told(object);
                return None;
            }
            Event::InitDone => watched.listed.clone(),
            Event::Apply(object) => told(object),
            Event::Delete(_) => Told::Missing,
        };
        watched.is_told = true;
        Some((key, told))
    }
}

/// The number of a watch among those of its kind.
fn place(asked: u64) -> usize {
    asked.try_into().unwrap_or(usize::MAX)
}

fn told(object: Result<Content, String>) -> Told {
    match object {
        Ok(content) => Told::There(content),
        Err(why) => Told::Unreadable(why),
    }
}

fn stream(client: &Client, key: &ContentKey) -> BoxStream<'static, Step> {
    match key.kind {
        ContentKind::Secret => stream_of(client, key, secret),
        ContentKind::ConfigMap => stream_of(client, key, config_map),
    }
}

fn stream_of<K>(client: &Client, key: &ContentKey, reduce: fn(K) -> Content) -> BoxStream<'static, Step>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    K: Clone + DeserializeOwned + Debug + Send + 'static,
{
    let api: Api<DeserializeGuard<K>> = Api::namespaced(client.clone(), key.name.namespace());
    let config = config().fields(&format!("metadata.name={}", key.name.name()));
    let reduced = move |object: DeserializeGuard<K>| object.0.map(reduce).map_err(|_| "it is malformed".to_owned());
    let stream = watcher(api, config).backoff(Doubling::new());
    stream.map(move |step| step.map(|event| map(event, reduced))).boxed()
}

fn map<K, T>(event: Event<K>, reduce: impl Fn(K) -> T) -> Event<T> {
    match event {
        Event::Init => Event::Init,
        Event::InitApply(object) => Event::InitApply(reduce(object)),
        Event::InitDone => Event::InitDone,
        Event::Apply(object) => Event::Apply(reduce(object)),
        Event::Delete(object) => Event::Delete(reduce(object)),
    }
}

fn secret(object: Secret) -> Content {
    let entries = object.data.into_iter().flatten().map(|(key, ByteString(bytes))| (key, bytes));
    Content::from(entries.collect::<BTreeMap<_, _>>())
}

fn config_map(object: ConfigMap) -> Content {
    let text = object.data.into_iter().flatten().map(|(key, text)| (key, text.into_bytes()));
    let binary = object.binary_data.into_iter().flatten().map(|(key, ByteString(bytes))| (key, bytes));
    Content::from(text.chain(binary).collect::<BTreeMap<_, _>>())
}
