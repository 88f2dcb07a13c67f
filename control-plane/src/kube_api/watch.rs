//! Changes as they come, a line each, until the client leaves, its time is over, or the control plane stops.
//!
//! LIFECYCLE of a watch: what there is (unless a version was named) -> each change since -> an error and the end, if it
//! falls behind what is remembered; its client then lists anew.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::watch as channel;
use tokio::time::{Instant, Interval, interval_at, sleep_until};
use tokio_util::sync::CancellationToken;

use super::Files;
use super::query::Query;
use super::read::{chosen, is_chosen};
use super::refusal::Refusal;
use super::reply::{self, Reply};
use super::route::Collection;
use super::table::table;
use crate::api;
use crate::objects::{Change, ChangeKind, Objects, TooOld};

/// A client that asks for no time of its own is let go after this, and comes again.
const LONGEST: Duration = Duration::from_secs(30 * 60);

/// How often a client that wants to know is told the newest version, so that it need not list after a pause.
const BOOKMARKS: Duration = Duration::from_secs(30);

/// Marks the bookmark after what there was at the beginning.
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

pub(super) fn start(files: &Files, of: &Collection, query: &Query, stop: &CancellationToken) -> Result<Reply, Refusal> {
    let versions = files.objects.versions();
    let now = Instant::now();
    let mut watch = Watch {
        objects: files.objects.clone(),
        of: of.clone(),
        query: query.clone(),
        lines: VecDeque::new(),
        told: query.version,
        versions,
        bookmarks: interval_at(now + BOOKMARKS, BOOKMARKS),
        end: now + query.timeout.unwrap_or(LONGEST).min(LONGEST),
        stop: stop.clone(),
    };
    if query.version.is_none() || query.initial_events {
        watch.begin(files);
    }
    Ok(reply::lines(futures_util::stream::unfold(watch, async |mut watch| {
        let line = watch.next().await?;
        Some((line, watch))
    })))
}

struct Watch {
    objects: Arc<Objects>,
    of: Collection,
    query: Query,
    lines: VecDeque<Bytes>,
    /// All up to this version is told, or waits to be; `None` = the end is told.
    told: Option<u64>,
    versions: channel::Receiver<u64>,
    bookmarks: Interval,
    end: Instant,
    stop: CancellationToken,
}

impl Watch {
    fn begin(&mut self, files: &Files) {
        let (version, objects) = chosen(files, &self.of, &self.query);
        objects.iter().for_each(|object| self.tell("ADDED", object));
        self.told = Some(version);
        if self.query.initial_events && self.query.bookmarks {
            self.bookmark(json!({(INITIAL_EVENTS_END): "true"}));
        }
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Some(line);
            }
            self.catch_up()?;
            if !self.lines.is_empty() {
                continue;
            }
            tokio::select! {
                () = self.stop.cancelled() => return None,
                () = sleep_until(self.end) => return None,
                changed = self.versions.changed() => changed.ok()?,
                _ = self.bookmarks.tick(), if self.query.bookmarks => self.bookmark(Value::Null),
            }
        }
    }

    /// `None` after the end.
    fn catch_up(&mut self) -> Option<()> {
        self.versions.mark_unchanged();
        match self.objects.since(self.told?) {
            Ok(changes) => {
                self.told = changes.last().map(|change| change.version).or(self.told);
                changes.iter().for_each(|change| self.change(change));
            }
            Err(TooOld) => {
                self.told = None;
                self.line(json!({"type": "ERROR", "object": Refusal::expired().status}));
            }
        }
        Some(())
    }

    /// An object that is not meant any more is gone for this client, and one that is meant now is new.
    fn change(&mut self, change: &Change) {
        if change.of != self.of.kind {
            return;
        }
        let is_chosen = |object: &Value| is_chosen(&self.of, &self.query, object);
        let was_meant = change.before.as_deref().is_some_and(is_chosen);
        let is_meant = change.kind != ChangeKind::Deleted && is_chosen(&change.object);
        match (was_meant, is_meant) {
            (true, true) => self.tell("MODIFIED", &change.object),
            (false, true) => self.tell("ADDED", &change.object),
            (true, false) => self.tell("DELETED", &change.object),
            (false, false) => {}
        }
    }

    fn tell(&mut self, what: &str, object: &Arc<Value>) {
        let shown = if self.query.as_table {
            let version = object["metadata"]["resourceVersion"].as_str().unwrap_or_default();
            table(self.of.kind, std::slice::from_ref(object), version, self.query.row_object)
        } else {
            Value::clone(object)
        };
        self.line(json!({"type": what, "object": shown}));
    }

    fn bookmark(&mut self, annotations: Value) {
        let Some(version) = self.told.map(|version| version.to_string()) else { return };
        let mut metadata = json!({"resourceVersion": version});
        if !annotations.is_null() {
            metadata["annotations"] = annotations;
        }
        let object = json!({"apiVersion": api::API_VERSION, "kind": self.of.kind.as_str(), "metadata": metadata});
        self.line(json!({"type": "BOOKMARK", "object": object}));
    }

    fn line(&mut self, event: Value) {
        self.lines.push_back(format!("{event}\n").into());
    }
}
