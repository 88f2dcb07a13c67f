//! Writes statuses into the objects of the cluster, by server-side apply on the status subresource.
//!
//! Works on levels: an object whose status is what it should be is left alone, whoever wrote it and whenever, so
//! that neither a restart nor a change of the writer patches anything. Only the holder of the lease writes.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use weir_proto::model::Key;

use super::Status;
use super::patcher::{Outcome, Patcher};
use super::wanted::Wanted;
use crate::pace::Pace;

/// Patches under way at a time.
const IN_FLIGHT: usize = 8;

/// Patches of mere counts, at once and a second: a proxy that comes or goes changes them in every object.
const MINOR_BURST: u32 = 200;
const MINOR_A_SECOND: u32 = 50;

/// While the API server cannot take patches, each place in flight waits this long, then twice as long and so on.
const BUSY_FIRST: Duration = Duration::from_millis(100);
const BUSY_DOUBLINGS: u32 = 6;

/// A new holder leaves alone what only proxies can know for so long: after a restart they have to come back first,
/// and nobody is to read that none is connected.
const SETTLED_AFTER: Duration = Duration::from_secs(5);

/// A status that is refused is tried again after this.
const REFUSED_AGAIN: Duration = Duration::from_secs(30);

/// After this at the end, patches under way are left alone: the next holder writes what is missing.
const STOP_WITHIN: Duration = Duration::from_secs(2);

/// What should be written; filled by a sink, emptied by a [`Writer`].
#[derive(Debug, Default)]
pub(super) struct Inbox {
    wanted: Mutex<Wanted>,
    filled: Notify,
}

impl Inbox {
    /// An object should have this status; `None` = it is gone.
    pub(super) fn set(&self, key: Key, status: Option<Arc<Status>>) {
        self.wanted.lock().set(key, status);
        self.filled.notify_one();
    }
}

/// The task that writes.
pub(super) struct Writer {
    patcher: Patcher,
    inbox: Arc<Inbox>,
    /// Whether we are the one who writes.
    is_holder: watch::Receiver<bool>,
    /// The same, as far as we have taken it in.
    writes: bool,
    patches: JoinSet<(Key, Outcome)>,
    /// Objects whose status was refused, until it is tried again.
    resting: JoinSet<Key>,
    minor: Pace,
    /// When a new holder knows its proxies; `None` = it does.
    settled: Option<Instant>,
    /// Times in a row that the API server could not take a patch.
    busy: u32,
}

impl Writer {
    pub(super) fn new(patcher: Patcher, inbox: Arc<Inbox>, is_holder: watch::Receiver<bool>) -> Self {
        let writes = *is_holder.borrow();
        let minor = Pace::new(MINOR_BURST, MINOR_A_SECOND, Instant::now());
        Self {
            patcher,
            inbox,
            is_holder,
            writes,
            patches: JoinSet::new(),
            resting: JoinSet::new(),
            minor,
            settled: None,
            busy: 0,
        }
    }

    /// Writes until stopped; patches under way come to their end.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let observed = self.patcher.observed.clone();
        loop {
            let wake = self.start();
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.inbox.filled.notified() => {}
                () = at(wake) => {}
                () = at(self.settled) => self.settle(),
                changed = self.is_holder.changed() => match changed {
                    Ok(()) => self.holder_changed(),
                    Err(_) => break,
                },
                changed = observed.changes() => changed.into_iter().for_each(|key| self.again(key)),
                Some(ended) = self.patches.join_next() => self.ended(ended),
                Some(Ok(key)) = self.resting.join_next() => self.again(key),
            }
        }
        let to_the_end = async { while self.patches.join_next().await.is_some() {} };
        if timeout(STOP_WITHIN, to_the_end).await.is_err() {
            tracing::warn!("statuses under way are left alone");
        }
    }

    /// A new holder looks at everything: it does not know what the old one wrote last.
    fn holder_changed(&mut self) {
        self.writes = *self.is_holder.borrow_and_update();
        if self.writes {
            self.settled = Some(Instant::now() + SETTLED_AFTER);
            self.inbox.wanted.lock().all_again();
        }
    }

    fn settle(&mut self) {
        self.settled = None;
        self.inbox.wanted.lock().all_again();
    }

    fn again(&self, key: Key) {
        self.inbox.wanted.lock().again(key);
    }

    /// Starts as many patches as may be; gives back when there may be more, if that is a matter of time.
    fn start(&mut self) -> Option<Instant> {
        while self.writes && self.patches.len() < IN_FLIGHT {
            let due = self.minor.due();
            let is_due = due <= Instant::now();
            let mut wanted = self.inbox.wanted.lock();
            let (key, status) = match wanted.next() {
                Some(next) => next,
                None if !is_due => return wanted.has_minor().then_some(due),
                None => wanted.next_minor().inspect(|_| self.minor.spend(Instant::now()))?,
            };
            drop(wanted);
            let (patcher, rest) = (self.patcher.clone(), BUSY_FIRST * 2_u32.pow(self.busy.min(BUSY_DOUBLINGS)));
            let is_settled = self.settled.is_none();
            self.patches.spawn(async move {
                let outcome = patcher.write(&key, &status, is_settled).await;
                if outcome == Outcome::Busy {
                    sleep(rest).await;
                }
                (key, outcome)
            });
        }
        None
    }

    fn ended(&mut self, ended: Result<(Key, Outcome), JoinError>) {
        let (key, outcome) = match ended {
            Ok(ended) => ended,
            // Nobody cancels patches, so it panicked.
            Err(error) => return error.try_into_panic().map_or((), |panic| resume_unwind(panic)),
        };
        self.inbox.wanted.lock().done(&key);
        self.busy = if outcome == Outcome::Busy { self.busy + 1 } else { 0 };
        match outcome {
            Outcome::Done => {}
            Outcome::Busy => self.again(key),
            Outcome::Refused => drop(self.resting.spawn(async move {
                sleep(REFUSED_AGAIN).await;
                key
            })),
        }
    }
}

/// At a time, or never.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
