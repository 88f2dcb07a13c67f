//! Manifests in a folder: every `*.yaml`, `*.yml` and `*.json` below it, reloaded on change.
//!
//! LIFECYCLE of a change: first notice -> quiet, or the limit -> look -> take. A look that finds a file just
//! modified, emptied or gone is repeated until the limit, and a file that its writer has not closed is left as
//! it was, so that the middle of a rewrite is never taken for a deletion. A folder that cannot be looked at
//! changes nothing.

mod activity;
mod catalog;
mod places;
mod read;
mod scan;
mod watch;
mod way;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use activity::Activity;
pub(crate) use read::load;
use read::{Pass, Reader};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{Batch, Source};

/// Nothing happens for so long before a look is taken.
const QUIET: Duration = Duration::from_millis(15);

/// A look is taken as it is so long after the first notice: a change is live within 100 ms.
const LIMIT: Duration = Duration::from_millis(60);

/// How often a look is taken without a notice: there may be none, and links may lead where the system tells
/// nothing. A look that finds nothing new reads no file.
const TICK: Duration = Duration::from_secs(1);

/// The file source.
#[derive(Debug)]
pub struct FileSource {
    folder: PathBuf,
    with_notices: bool,
}

impl FileSource {
    /// A source of the manifests below `folder`.
    ///
    /// # Errors
    /// If there is no such folder, or it cannot be read.
    pub fn open(folder: &Path) -> io::Result<Self> {
        std::fs::read_dir(folder)?;
        Ok(Self { folder: folder.to_owned(), with_notices: true })
    }
}

impl Source for FileSource {
    async fn run(self, batches: mpsc::Sender<Batch>, stop: CancellationToken) {
        let activity = Arc::new(Activity::default());
        let reader = Reader::new(self.folder, activity.clone(), self.with_notices);
        let mut worker = Worker { reader: Some(reader), activity, batches };
        tokio::select! {
            () = stop.cancelled() => {}
            _ = worker.run() => {}
        }
    }
}

/// Nobody listens any more.
struct Closed;

struct Worker {
    /// Away while a look is taken on another thread.
    reader: Option<Reader>,
    activity: Arc<Activity>,
    batches: mpsc::Sender<Batch>,
}

impl Worker {
    async fn run(&mut self) -> Result<(), Closed> {
        let mut tick = interval_at(Instant::now() + TICK, TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.settle().await?;
            tokio::select! {
                () = self.activity.happens() => {}
                _ = tick.tick() => {}
            }
        }
    }

    /// Looks until what is found has settled.
    async fn settle(&mut self) -> Result<(), Closed> {
        let mut limit = Instant::now() + LIMIT;
        loop {
            self.quiet(limit).await;
            let is_last = Instant::now() >= limit;
            if self.look(is_last).await? {
                return Ok(());
            }
            if is_last {
                limit = Instant::now() + LIMIT;
            }
        }
    }

    async fn quiet(&mut self, limit: Instant) {
        loop {
            let until = limit.min(Instant::now() + QUIET);
            tokio::select! {
                () = self.activity.happens(), if until < limit => {}
                () = sleep_until(until) => return,
            }
        }
    }

    /// Takes one look; true if everything had settled.
    async fn look(&mut self, is_last: bool) -> Result<bool, Closed> {
        let since = Instant::now();
        let mut reader = self.reader.take().ok_or(Closed)?;
        let look = tokio::task::spawn_blocking(move || {
            let pass = reader.look(is_last);
            (reader, pass)
        });
        // The look fails only if the runtime ends.
        let (reader, pass) = look.await.map_err(|_| Closed)?;
        self.reader = Some(reader);
        match pass {
            Pass::Unsettled => Ok(false),
            Pass::Changes { changes, is_settled } if changes.is_empty() => Ok(is_settled),
            Pass::Changes { changes, is_settled } => {
                let batch = Batch { changes, since };
                self.batches.send(batch).await.map(|()| is_settled).map_err(|_| Closed)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Event;

    #[tokio::test]
    async fn without_notices_the_folder_is_polled() {
        let folder = tempfile::tempdir().unwrap();
        let source = FileSource { with_notices: false, ..FileSource::open(folder.path()).unwrap() };
        let (changes, mut received) = mpsc::channel(4);
        tokio::spawn(source.run(changes, CancellationToken::new()));
        assert!(matches!(
            &received.recv().await.unwrap().changes[..],
            [Event::Reset(..), Event::Reset(..), Event::Reset(..)]
        ));
        let manifest = "apiVersion: weir.dev/v1alpha1\nkind: Pool\nmetadata: {name: a}\nspec: {}\n";
        std::fs::write(folder.path().join("a.yaml"), manifest).unwrap();
        let change = tokio::time::timeout(Duration::from_secs(10), received.recv()).await.unwrap().unwrap().changes;
        assert!(matches!(&change[..], [Event::Apply(_)]), "{change:?}");
    }

    /// What a worker does for one look, and what came of it.
    fn look(reader: &mut Reader) -> Option<usize> {
        match reader.look(true) {
            Pass::Unsettled => None,
            Pass::Changes { changes, .. } => Some(changes.len()),
        }
    }

    #[tokio::test]
    async fn names_that_come_and_go_leave_no_trace() {
        let folder = tempfile::tempdir().unwrap();
        let activity = Arc::new(Activity::default());
        let mut reader = Reader::new(folder.path().to_owned(), activity.clone(), true);
        assert_eq!(look(&mut reader), Some(3), "a first list of each kind");
        for i in 0..100 {
            std::fs::write(folder.path().join(format!("{i}.tmp")), "x").unwrap();
        }
        std::fs::write(folder.path().join("b.yaml"), "").unwrap();
        tokio::time::timeout(Duration::from_secs(10), activity.happens()).await.unwrap();
        assert!(activity.len() <= 1, "{activity:?}");
        assert_eq!(look(&mut reader), Some(0));
    }

    #[test]
    fn a_folder_that_does_not_exist_is_an_error() {
        assert!(FileSource::open(Path::new("/no/such/folder")).is_err());
    }
}
