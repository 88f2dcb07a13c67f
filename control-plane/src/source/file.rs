//! Manifests in a folder: every `*.yaml`, `*.yml` and `*.json` below it, reloaded on change.
//!
//! LIFECYCLE of a change: first notice -> quiet, or the limit -> look -> take. A look that finds a file just
//! modified, emptied or gone is repeated until the limit, and a file that its writer has not closed is left as
//! it was, so that the middle of a rewrite is never taken for a deletion. A folder that cannot be looked at
//! changes nothing.

mod activity;
mod catalog;
mod commit;
mod editor;
mod places;
mod read;
mod scan;
mod watch;
mod way;
mod wish;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use activity::Activity;
pub(crate) use commit::replace_soon;
pub(crate) use editor::Editor;
use editor::{Requests, Write};
pub(crate) use read::load;
use read::{Pass, Reader};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};
use tokio_util::sync::CancellationToken;
pub(crate) use wish::{Wish, WriteError};

use super::{Batch, Changes, Source};

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
    requests: Requests,
}

impl FileSource {
    /// A source of the manifests below `folder`. Writes that were left half done are finished, or forgotten.
    ///
    /// # Errors
    /// If there is no such folder, or it cannot be read, or what is half done cannot be finished.
    pub fn open(folder: &Path) -> io::Result<Self> {
        std::fs::read_dir(folder)?;
        let found = scan::scan(folder)?;
        let linked = found.files.iter().filter_map(|file| file.path.canonicalize().ok()?.parent().map(Path::to_owned));
        let folders: BTreeSet<PathBuf> = linked.chain(found.folders).collect();
        folders.iter().for_each(|folder| commit::clean(folder));
        commit::recover(folder).map_err(io::Error::other)?;
        Ok(Self { folder: folder.to_owned(), with_notices: true, requests: Requests::none() })
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Who may write to the folder while this source runs.
    pub(crate) fn editor(&mut self) -> Editor {
        let (editor, requests) = editor::pair();
        self.requests = requests;
        editor
    }
}

impl Source for FileSource {
    async fn run(self, batches: mpsc::Sender<Batch>, stop: CancellationToken) {
        let activity = Arc::new(Activity::default());
        let reader = Reader::new(self.folder, activity.clone(), self.with_notices);
        let mut worker = Worker { reader: Some(reader), activity, requests: self.requests, batches };
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
    requests: Requests,
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
                write = self.requests.next() => self.obey(write).await?,
            }
        }
    }

    /// Looks until what is found has settled.
    async fn settle(&mut self) -> Result<(), Closed> {
        let mut limit = Instant::now() + LIMIT;
        loop {
            self.quiet(limit).await?;
            let is_last = Instant::now() >= limit;
            if self.look(is_last).await? {
                return Ok(());
            }
            if is_last {
                limit = Instant::now() + LIMIT;
            }
        }
    }

    async fn quiet(&mut self, limit: Instant) -> Result<(), Closed> {
        loop {
            let until = limit.min(Instant::now() + QUIET);
            tokio::select! {
                () = self.activity.happens(), if until < limit => {}
                write = self.requests.next() => self.obey(write).await?,
                () = sleep_until(until) => return Ok(()),
            }
        }
    }

    /// Takes one look; true if everything had settled.
    async fn look(&mut self, is_last: bool) -> Result<bool, Closed> {
        let since = Instant::now();
        match self.on_disk(move |reader| reader.look(is_last)).await? {
            Pass::Unsettled => Ok(false),
            Pass::Changes { changes, is_settled } if changes.is_empty() => Ok(is_settled),
            Pass::Changes { changes, is_settled } => {
                let batch = Batch { changes, since, done: None };
                self.batches.send(batch).await.map(|()| is_settled).map_err(|_| Closed)
            }
        }
    }

    /// Writes, and answers when that is in force. If the files are not what they were taken for, they are looked at
    /// first, so that whoever tries again knows them.
    async fn obey(&mut self, Write { wishes, answer }: Write) -> Result<(), Closed> {
        let since = Instant::now();
        let written = self.on_disk(move |reader| reader.write(&wishes)).await?;
        let (changes, outcome) = match written {
            Ok(changes) => (changes, Ok(())),
            Err(WriteError::Changed) => {
                self.look(true).await?;
                (Changes::new(), Err(WriteError::Changed))
            }
            Err(error) => (Changes::new(), Err(error)),
        };
        let (done, in_force) = oneshot::channel();
        self.batches.send(Batch { changes, since, done: Some(done) }).await.map_err(|_| Closed)?;
        in_force.await.map_err(|_| Closed)?;
        // Who gave up waiting is told nothing.
        drop(answer.send(outcome));
        Ok(())
    }

    /// Has the reader work on a thread that may wait for the disk.
    async fn on_disk<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Reader) -> T + Send + 'static,
    ) -> Result<T, Closed> {
        let mut reader = self.reader.take().ok_or(Closed)?;
        let working = tokio::task::spawn_blocking(move || {
            let result = work(&mut reader);
            (reader, result)
        });
        // It fails only if the runtime ends.
        let (reader, result) = working.await.map_err(|_| Closed)?;
        self.reader = Some(reader);
        Ok(result)
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
