//! A copy of all objects of a kind in a namespace.

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use kube::runtime::reflector::{Store, reflector, store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_stream::StreamExt;

/// Kept up to date by a watch until it is dropped.
#[derive(Debug)]
pub(super) struct Mirror<K: Resource<DynamicType: Eq + Hash + Clone + Debug> + Clone + Debug + 'static> {
    store: Store<K>,
    changes: watch::Receiver<()>,
    task: JoinHandle<()>,
}

impl<K> Mirror<K>
where
    K: Resource<DynamicType: Default + Eq + Hash + Clone + Debug>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
    K::DynamicType: Send + Sync,
{
    pub(super) fn start(api: Api<K>) -> Self {
        let (store, writer) = store();
        let (changed, changes) = watch::channel(());
        let task = tokio::spawn(async move {
            let events = reflector(writer, watcher(api, watcher::Config::default()).default_backoff());
            let mut events = std::pin::pin!(events);
            while let Some(event) = events.next().await {
                // An error is followed by another try; an API server may be away for a while.
                if event.is_ok() {
                    changed.send_replace(());
                }
            }
        });
        Self { store, changes, task }
    }

    /// Tells of each change from now on.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changes.clone()
    }

    pub(super) fn all(&self) -> Vec<Arc<K>> {
        self.store.state()
    }

    pub(super) fn get(&self, name: &str) -> Option<Arc<K>> {
        self.store.find(|object| object.meta().name.as_deref() == Some(name))
    }
}

impl<K: Resource<DynamicType: Eq + Hash + Clone + Debug> + Clone + Debug + 'static> Drop for Mirror<K> {
    fn drop(&mut self) {
        self.task.abort();
    }
}
