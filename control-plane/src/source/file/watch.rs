//! Notices of changes below a folder, by the system's own means; without them, a look each second.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::scan::identity;

/// A writer that has been silent for so long is taken to be done, though its file is still open.
const SILENT: Duration = Duration::from_secs(1);

/// Watches one folder.
#[derive(Debug)]
pub(super) struct Watch {
    folder: PathBuf,
    /// Which folder is watched: another may take its name.
    identity: Option<(u64, u64)>,
    notices: mpsc::UnboundedReceiver<Notice>,
    /// Dropping it ends the watch; `None` = poll.
    watcher: Option<RecommendedWatcher>,
    with_notices: bool,
    /// Files written to and not closed yet, with the time of the last write.
    open: HashMap<PathBuf, Instant>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Notice {
    /// A file is being written.
    Written(PathBuf),
    /// Its writer has closed it.
    Closed(PathBuf),
    /// Anything else.
    Other,
}

impl Watch {
    /// Begins to watch. Notices begin before this returns, so that a look taken after it misses nothing.
    pub(super) fn start(folder: &Path, with_notices: bool) -> Self {
        let (sender, notices) = mpsc::unbounded_channel();
        let watcher = with_notices.then(|| watcher(folder, sender)).and_then(|result| {
            let warn = |error: &notify::Error| {
                tracing::warn!(folder = %folder.display(), %error, "cannot watch the folder: looking each second instead");
            };
            result.inspect_err(warn).ok()
        });
        let identity = identity(folder);
        Self { folder: folder.to_owned(), identity, notices, watcher, with_notices, open: HashMap::new() }
    }

    /// Waits for the next notice; for ever, if there are none.
    pub(super) async fn notice(&mut self) {
        match self.notices.recv().await {
            Some(Notice::Written(path)) => drop(self.open.insert(path, Instant::now())),
            Some(Notice::Closed(path)) => drop(self.open.remove(&path)),
            Some(Notice::Other) => {}
            None => std::future::pending().await,
        }
    }

    /// Files that are being written now.
    pub(super) fn busy(&self) -> HashSet<PathBuf> {
        self.open.keys().cloned().collect()
    }

    /// Looks after what notices cannot tell; true if a look at the files is due.
    pub(super) fn tick(&mut self) -> bool {
        let identity = identity(&self.folder);
        if identity != self.identity {
            *self = Self::start(&self.folder, self.with_notices);
            return true;
        }
        let open = self.open.len();
        self.open.retain(|_, written| written.elapsed() < SILENT);
        self.watcher.is_none() || self.open.len() != open
    }
}

fn watcher(folder: &Path, notices: mpsc::UnboundedSender<Notice>) -> notify::Result<RecommendedWatcher> {
    // Notices name files below the absolute path, whatever way the folder is written.
    let absolute = std::path::absolute(folder)?;
    let folder_as_written = folder.to_owned();
    let as_written = move |path: &Path| {
        path.strip_prefix(&absolute).map_or_else(|_| path.to_owned(), |below| folder_as_written.join(below))
    };
    let tell = move |event: notify::Result<Event>| {
        for notice in event.map_or_else(|_| vec![Notice::Other], |event| understand(&event, &as_written)) {
            // The receiver goes with the watcher.
            let _ = notices.send(notice);
        }
    };
    let mut watcher = notify::recommended_watcher(tell)?;
    watcher.watch(folder, RecursiveMode::Recursive)?;
    Ok(watcher)
}

fn understand(event: &Event, as_written: impl Fn(&Path) -> PathBuf) -> Vec<Notice> {
    let each = |notice: fn(PathBuf) -> Notice| event.paths.iter().map(|path| notice(as_written(path))).collect();
    match event.kind {
        EventKind::Modify(ModifyKind::Data(_)) => each(Notice::Written),
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => each(Notice::Closed),
        // Our own looks among them.
        EventKind::Access(_) => Vec::new(),
        _ => vec![Notice::Other],
    }
}
