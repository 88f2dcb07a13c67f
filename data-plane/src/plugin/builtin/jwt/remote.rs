//! Keys that another server has: fetched when the first token comes, again when they are old or a token names one that
//! is not there. Those that are there stay while the server is not.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use http::Uri;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::warn;
use weir_proto::model::plugin::param::KeySet;

use super::keys::Keys;
use super::pace::{Need, Pace};
use crate::plugin::{Cause, Failure, client, fetch};

/// How long a fetch may take.
const WITHIN: Duration = Duration::from_secs(5);
/// How long a request may wait for one: it ends before.
pub(super) const PATIENCE: Duration = Duration::from_secs(6);
/// Most bytes of a set.
const MOST_BYTES: usize = 1 << 20;

/// Those in use, by URL: one for all plugins that name it, so that a plugin that changes has its keys at once.
static IN_USE: Mutex<BTreeMap<String, Weak<Remote>>> = Mutex::new(BTreeMap::new());

/// Keys of another server, shared by all workers.
#[derive(Debug)]
pub(super) struct Remote {
    url: Uri,
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
    /// The keys behind this URL.
    pub(super) fn of(url: &Uri) -> Arc<Self> {
        client::prepare();
        let mut in_use = IN_USE.lock();
        in_use.retain(|_, remote| remote.strong_count() > 0);
        let known = in_use.get(&url.to_string()).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let (latest, pace) = (watch::Sender::default(), Mutex::default());
            let remote = Arc::new(Self { url: url.clone(), latest, pace });
            in_use.insert(url.to_string(), Arc::downgrade(&remote));
            remote
        })
    }

    /// The keys that are there. If they are older than this, others are fetched for those that come later.
    pub(super) fn keys(self: &Arc<Self>, refresh: Duration) -> Option<Arc<Keys>> {
        self.next(Need::Use(refresh));
        self.latest.borrow().keys.clone()
    }

    /// The keys that are there; nobody is asked.
    pub(super) fn known(&self) -> Option<Arc<Keys>> {
        self.latest.borrow().keys.clone()
    }

    /// Where they are from.
    pub(super) fn url(&self) -> &Uri {
        &self.url
    }

    /// The keys after a fetch, if there may be one now.
    pub(super) async fn newest(self: &Arc<Self>) -> Result<Arc<Keys>, Failure> {
        if let Some(mut next) = self.next(Need::UnknownKey) {
            // No error: the sender is here.
            let _ = next.changed().await;
        }
        let Latest { keys, failure } = self.latest.borrow().clone();
        let text = failure.unwrap_or_else(|| "gives no keys".into());
        keys.ok_or_else(|| Failure::new(Cause::Unavailable, format!("jwks.url: {} {text}", self.url)))
    }

    /// What a fetch will bring that runs now, or begins because of this need.
    fn next(self: &Arc<Self>, need: Need) -> Option<watch::Receiver<Latest>> {
        // Locked, so that the fetch does not end in between.
        let mut pace = self.pace.lock();
        let begins = pace.begin(need, Instant::now());
        let next = pace.runs().then(|| self.latest.subscribe());
        drop(pace);
        if begins {
            // A task of its own: the request that needs it may end before.
            tokio::spawn(Fetching::new(self.clone()).run());
        }
        next
    }

    fn end(&self, fetched: Result<KeySet, String>) {
        let mut pace = self.pace.lock();
        pace.end(fetched.is_ok(), Instant::now());
        self.latest.send_modify(|latest| match fetched {
            Ok(set) => *latest = Latest { keys: Some(Arc::new(Keys::new(&set))), failure: None },
            Err(text) => latest.failure = Some(text.into()),
        });
    }
}

/// A fetch that runs. When it is dropped it has ended: also if it ends with the worker that it runs on.
#[derive(Debug)]
struct Fetching {
    remote: Arc<Remote>,
    fetched: Result<KeySet, String>,
}

impl Fetching {
    fn new(remote: Arc<Remote>) -> Self {
        Self { remote, fetched: Err("was not read to its end".to_owned()) }
    }

    async fn run(mut self) {
        let url = &self.remote.url;
        let content = fetch::get(url, MOST_BYTES, WITHIN).await.map_err(|e| e.to_string());
        let fetched = content.and_then(|content| KeySet::parse(&content));
        if let Err(error) = &fetched {
            warn!(%url, error, "keys of tokens cannot be fetched; those that are there stay");
        }
        self.fetched = fetched;
    }
}

impl Drop for Fetching {
    fn drop(&mut self) {
        self.remote.end(std::mem::replace(&mut self.fetched, Err(String::new())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn p1_a_fetch_that_is_broken_off_is_no_end_of_fetching() {
        let remote = Remote::of(&Uri::from_static("http://127.0.0.1:1/broken-off"));
        let mut next = remote.next(Need::UnknownKey).unwrap();
        drop(Fetching::new(remote.clone()));
        next.changed().await.unwrap();
        assert!(!remote.pace.lock().runs());
        let failure = remote.newest().await.unwrap_err();
        assert_eq!(failure.cause, Cause::Unavailable);
        assert!(failure.text.ends_with("was not read to its end"), "{failure}");
    }

    #[test]
    fn s5_plugins_with_the_same_url_share_its_keys() {
        let of = |url: &'static str| Remote::of(&Uri::from_static(url));
        let (a, b, again) = (of("http://shared/a"), of("http://shared/b"), of("http://shared/a"));
        assert!(Arc::ptr_eq(&a, &again) && !Arc::ptr_eq(&a, &b));
        let gone = Arc::downgrade(&b);
        drop(b);
        assert!(gone.upgrade().is_none(), "nothing is kept for plugins that are gone");
    }
}
