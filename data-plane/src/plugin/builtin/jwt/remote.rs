//! Keys that another server has: fetched when the first token comes, again when they are old or a token names one that
//! is not there. Those that are there stay while the server is not.

use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::warn;
use weir_proto::model::plugin::param::KeySet;

use super::keys::{Keys, Rules};
use super::pace::{Need, Pace};
use crate::plugin::{Cause, Failure, client, fetch};

/// How long a fetch may take.
const WITHIN: Duration = Duration::from_secs(5);
/// How long a request may wait for one: it ends before.
pub(super) const PATIENCE: Duration = Duration::from_secs(6);
/// Most bytes of a set.
const MOST_BYTES: usize = 1 << 20;

/// Keys of another server, shared by all workers.
#[derive(Debug)]
pub(super) struct Remote {
    url: Uri,
    rules: Rules,
    latest: watch::Sender<Latest>,
    pace: Mutex<Pace>,
}

/// What the last fetches came to.
#[derive(Debug, Clone, Default)]
struct Latest {
    keys: Option<Arc<Keys>>,
    failure: Option<Arc<str>>,
}

impl Remote {
    pub(super) fn new(url: Uri, refresh: Duration, rules: Rules) -> Self {
        client::prepare();
        Self { url, rules, latest: watch::Sender::default(), pace: Mutex::new(Pace::new(refresh)) }
    }

    /// The keys that are there; fetches others if it is time, for those that come later.
    pub(super) fn keys(self: &Arc<Self>) -> Option<Arc<Keys>> {
        self.fetch_for(Need::Use, &mut self.pace.lock());
        self.latest.borrow().keys.clone()
    }

    /// The keys after a fetch, if there may be one now.
    pub(super) async fn newest(self: &Arc<Self>) -> Result<Arc<Keys>, Failure> {
        let running = self.next();
        if let Some(mut next) = running {
            // Its sender is here.
            let _ = next.changed().await;
        }
        let Latest { keys, failure } = self.latest.borrow().clone();
        let text = failure.unwrap_or_else(|| "there are no keys".into());
        keys.ok_or_else(|| Failure::new(Cause::Unavailable, format!("jwks.url: {} {text}", self.url)))
    }

    /// What a fetch will bring that runs now, or begins because a key is not known.
    fn next(self: &Arc<Self>) -> Option<watch::Receiver<Latest>> {
        // Locked, so that the fetch does not end in between.
        let mut pace = self.pace.lock();
        self.fetch_for(Need::UnknownKey, &mut pace);
        pace.runs().then(|| self.latest.subscribe())
    }

    /// A task of its own: the request that needs it may end before.
    fn fetch_for(self: &Arc<Self>, need: Need, pace: &mut Pace) {
        if pace.begin(need, Instant::now()) {
            tokio::spawn(self.clone().fetch());
        }
    }

    async fn fetch(self: Arc<Self>) {
        let content = fetch::get(&self.url, MOST_BYTES, WITHIN).await.map_err(|e| e.to_string());
        let fetched = content.and_then(|content| KeySet::parse(&content));
        if let Err(error) = &fetched {
            warn!(url = %self.url, error, "keys of tokens cannot be fetched; those that are there stay");
        }
        let mut pace = self.pace.lock();
        pace.end(fetched.is_ok(), Instant::now());
        self.latest.send_modify(|latest| match fetched {
            Ok(set) => *latest = Latest { keys: Some(Arc::new(Keys::new(&set, &self.rules))), failure: None },
            Err(text) => latest.failure = Some(text.into()),
        });
    }
}
