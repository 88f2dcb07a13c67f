//! Requests that have been answered, as they come: for whoever listens.
//!
//! While nobody does, a request looks at one flag. Otherwise the worker hands a record to each listener that wants it:
//! a queue of a bounded length, and a worker never waits. What does not fit is lost and counted, and the listener is told.

mod record;
mod stream;
mod wanted;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rand::rngs::SmallRng;
use tokio::sync::mpsc;

pub use record::{LiveRecord, Try};
pub use stream::Lines;
pub use wanted::{Only, Wanted};

use crate::stats::access_log::Record;

/// Most listeners at a time.
pub const MOST_LISTENERS: usize = 16;

/// Records that may wait for one listener.
const QUEUE: usize = 1024;

/// Who listens.
#[derive(Debug, Default)]
pub struct Live {
    /// Whether anybody does.
    watched: AtomicBool,
    listeners: ArcSwap<Vec<Arc<Listener>>>,
    /// Held while that list changes.
    changes: Mutex<()>,
}

/// One that listens.
#[derive(Debug)]
struct Listener {
    wanted: Wanted,
    records: mpsc::Sender<Arc<LiveRecord>>,
    lost: AtomicU64,
}

/// What one listens with; listens no more when it is dropped.
#[derive(Debug)]
pub struct Listening {
    live: Arc<Live>,
    listener: Arc<Listener>,
    records: mpsc::Receiver<Arc<LiveRecord>>,
    /// How many losses were told.
    told: u64,
}

/// What a listener hears.
#[derive(Debug, Clone)]
pub enum Heard {
    /// A request.
    Request(Arc<LiveRecord>),
    /// So many requests that it wanted are lost.
    Lost(u64),
}

impl Live {
    /// Whether anybody wants records.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        self.watched.load(Relaxed)
    }

    /// Listens from now on; `None` if too many do.
    #[must_use]
    pub fn listen(self: &Arc<Self>, wanted: Wanted) -> Option<Listening> {
        let (sender, records) = mpsc::channel(QUEUE);
        let listener = Arc::new(Listener { wanted, records: sender, lost: AtomicU64::new(0) });
        let _changing = self.changes.lock();
        let mut listeners = (*self.listeners.load_full()).clone();
        if listeners.len() >= MOST_LISTENERS {
            return None;
        }
        listeners.push(listener.clone());
        self.listeners.store(Arc::new(listeners));
        self.watched.store(true, Relaxed);
        Some(Listening { live: self.clone(), listener, records, told: 0 })
    }

    /// Hands a record to those who want it.
    pub fn tell(&self, record: &Record, rule: Option<&Arc<str>>, rng: &mut SmallRng) {
        let mut made: Option<Arc<LiveRecord>> = None;
        for listener in self.listeners.load().iter().filter(|listener| listener.wanted.wants(record, rng)) {
            let record = made.get_or_insert_with(|| Arc::new(LiveRecord::new(record, rule)));
            if listener.records.try_send(record.clone()).is_err() {
                listener.lost.fetch_add(1, Relaxed);
            }
        }
    }

    fn forget(&self, listener: &Arc<Listener>) {
        let _changing = self.changes.lock();
        let mut listeners = (*self.listeners.load_full()).clone();
        listeners.retain(|other| !Arc::ptr_eq(other, listener));
        self.watched.store(!listeners.is_empty(), Relaxed);
        self.listeners.store(Arc::new(listeners));
    }
}

impl Listening {
    /// The next request, or what is lost before it. `None` never comes while it listens.
    fn poll_next(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<Option<Heard>> {
        let lost = self.listener.lost.load(Relaxed);
        if lost > self.told {
            let news = lost - std::mem::replace(&mut self.told, lost);
            return std::task::Poll::Ready(Some(Heard::Lost(news)));
        }
        self.records.poll_recv(cx).map(|record| record.map(Heard::Request))
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.live.forget(&self.listener);
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn record(pool: &str, status: u16) -> Record {
        Record { pool: Some(pool.to_owned()), status, ..Record::default() }
    }

    fn tell(live: &Live, record: &Record) {
        live.tell(record, None, &mut SmallRng::seed_from_u64(7));
    }

    async fn next(listening: &mut Listening) -> Option<Heard> {
        std::future::poll_fn(|cx| listening.poll_next(cx)).await
    }

    #[tokio::test]
    async fn t2_who_listens_hears_what_it_wants_until_it_is_gone() {
        let live = Arc::new(Live::default());
        assert!(!live.is_watched());
        let wanted: Wanted = Wanted::parse("pool=web&only=errors").unwrap();
        let mut listening = live.listen(wanted).unwrap();
        assert!(live.is_watched());
        [record("shop/web", 200), record("shop/api", 503), record("shop/web", 503)].iter().for_each(|r| tell(&live, r));
        let Some(Heard::Request(heard)) = next(&mut listening).await else { panic!("a request") };
        assert_eq!((heard.pool.as_deref(), heard.status), (Some("shop/web"), 503));
        drop(listening);
        assert!(!live.is_watched());
    }

    #[tokio::test]
    async fn r_what_does_not_fit_is_lost_and_told_and_listeners_are_bounded() {
        let live = Arc::new(Live::default());
        let mut listening = live.listen(Wanted::default()).unwrap();
        for _ in 0..QUEUE + 7 {
            tell(&live, &record("shop/web", 200));
        }
        assert!(matches!(next(&mut listening).await, Some(Heard::Lost(7))));
        for _ in 0..QUEUE {
            assert!(matches!(next(&mut listening).await, Some(Heard::Request(_))));
        }
        let mut others: Vec<Listening> = (1..MOST_LISTENERS).map(|_| live.listen(Wanted::default()).unwrap()).collect();
        assert!(live.listen(Wanted::default()).is_none());
        others.pop();
        assert!(live.listen(Wanted::default()).is_some());
    }
}
