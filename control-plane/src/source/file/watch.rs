//! Tells of changes below a folder by the system's own means; without them, of the passing of a second.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::activity::{Activity, Touch};
use super::scan::identity;

/// Watches one folder.
#[derive(Debug)]
pub(super) struct Watch {
    folder: PathBuf,
    /// Which folder is watched: another may take its name.
    identity: Option<(u64, u64)>,
    activity: Arc<Activity>,
    /// Dropping it ends the watch; `None` = poll.
    watcher: Option<RecommendedWatcher>,
    with_notices: bool,
}

impl Watch {
    /// Begins to watch. Notices begin before this returns, so that a look taken after it misses nothing.
    pub(super) fn start(folder: &Path, activity: Arc<Activity>, with_notices: bool) -> Self {
        let watcher = with_notices.then(|| watcher(folder, activity.clone())).and_then(|result| {
            let warn = |error: &notify::Error| {
                tracing::warn!(folder = %folder.display(), %error, "cannot watch the folder: looking each second instead");
            };
            result.inspect_err(warn).ok()
        });
        Self { folder: folder.to_owned(), identity: identity(folder), activity, watcher, with_notices }
    }

    /// Looks after what notices cannot tell; true if a look at the files is due.
    pub(super) fn tick(&mut self) -> bool {
        if identity(&self.folder) != self.identity {
            *self = Self::start(&self.folder, self.activity.clone(), self.with_notices);
            return true;
        }
        self.activity.tidy() || self.watcher.is_none()
    }
}

fn watcher(folder: &Path, activity: Arc<Activity>) -> notify::Result<RecommendedWatcher> {
    // Notices name files below the absolute path, whatever way the folder is written.
    let absolute = std::path::absolute(folder)?;
    let as_written = folder.to_owned();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| match event {
        Ok(event) => tell(&activity, &event, |path| match path.strip_prefix(&absolute) {
            Ok(below) => as_written.join(below),
            Err(_) => path.to_owned(),
        }),
        Err(_) => activity.wake(),
    })?;
    watcher.watch(folder, RecursiveMode::Recursive)?;
    Ok(watcher)
}

fn tell(activity: &Activity, event: &Event, as_written: impl Fn(&Path) -> PathBuf) {
    let paths = event.paths.iter().map(|path| as_written(path));
    let touch = match event.kind {
        EventKind::Modify(ModifyKind::Data(_)) => Touch::Written,
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => Touch::Closed,
        EventKind::Access(AccessKind::Open(_)) => return paths.for_each(|path| activity.open(path)),
        EventKind::Access(_) => return,
        _ => Touch::Other,
    };
    paths.for_each(|path| activity.touch(path, touch));
    // Some notices have no path: the system lost count, say.
    activity.wake();
}
