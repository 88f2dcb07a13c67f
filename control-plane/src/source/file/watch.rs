//! Tells of changes below a folder by the system's own means, wherever links lead. What it misses, the tick of the
//! source finds.
//!
//! Each folder is watched by itself, by its real path. After each scan the set of watched folders follows what was
//! found, and a folder that is new in it asks for another look: nobody knows what happened there before.

use std::collections::BTreeMap;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use parking_lot::{Mutex, RwLock};

use super::activity::{Activity, Touch};
use super::places::{About, Places};
use super::scan::{Identity, Scan};

/// Watches one folder and what its links lead to.
#[derive(Debug)]
pub(super) struct Watch {
    root: PathBuf,
    desk: Arc<Desk>,
    /// Dropping it ends the watch; `None` = no notices.
    watcher: Option<RecommendedWatcher>,
    /// Every watched folder, and those that cannot be. Another may have taken the path of one.
    watched: BTreeMap<PathBuf, Identity>,
}

/// Where notices arrive, on the watcher's own thread.
#[derive(Debug)]
struct Desk {
    activity: Arc<Activity>,
    places: RwLock<Places>,
    /// Folders and links that were removed or renamed: the system has ended their watch, or it is about another
    /// path now.
    lost: Mutex<Vec<PathBuf>>,
}

impl Watch {
    /// Watches nothing yet.
    pub(super) fn new(root: &Path, activity: Arc<Activity>, with_notices: bool) -> Self {
        let desk = Arc::new(Desk { activity, places: RwLock::default(), lost: Mutex::default() });
        let to = desk.clone();
        let watcher = with_notices.then(|| notify::recommended_watcher(move |event| to.take(event)));
        let warn = |error: &notify::Error| tracing::warn!(%error, "no notices of changes: looking each second instead");
        let watcher = watcher.and_then(|result| result.inspect_err(warn).ok());
        Self { root: root.to_owned(), desk, watcher, watched: BTreeMap::new() }
    }

    /// Watches what a scan has found, and nothing else; true if some of that was not watched before.
    pub(super) fn follow(&mut self, found: &Scan) -> bool {
        let Some(watcher) = &mut self.watcher else { return false };
        let Ok(places) = Places::of(&self.root, found) else { return false };
        let wanted = places.watched();
        *self.desk.places.write() = places;
        let lost = mem::take(&mut *self.desk.lost.lock());
        self.watched.retain(|folder, identity| {
            let stays = wanted.get(folder) == Some(identity) && !lost.iter().any(|lost| folder.starts_with(lost));
            if !stays {
                // The system may have ended it already.
                let _ = watcher.unwatch(folder);
            }
            stays
        });
        let new: Vec<_> = wanted.into_iter().filter(|(folder, _)| !self.watched.contains_key(folder)).collect();
        new.iter().for_each(|(folder, _)| arm(watcher, folder));
        let is_any = !new.is_empty();
        self.watched.extend(new);
        is_any
    }
}

fn arm(watcher: &mut RecommendedWatcher, folder: &Path) {
    match watcher.watch(folder, RecursiveMode::NonRecursive) {
        Ok(()) => {}
        Err(error) if matches!(error.kind, ErrorKind::PathNotFound) => {}
        Err(error) => {
            tracing::warn!(folder = %folder.display(), %error, "cannot watch a folder: looking each second instead");
        }
    }
}

impl Desk {
    fn take(&self, event: notify::Result<Event>) {
        match event {
            Ok(event) if !event.paths.is_empty() => event.paths.iter().for_each(|path| self.note(path, event.kind)),
            // The system has lost count.
            _ => self.activity.wake(),
        }
    }

    fn note(&self, path: &Path, kind: EventKind) {
        let places = self.places.read();
        let is_lost = matches!(kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)));
        if is_lost && places.has_point(path) {
            self.lost.lock().push(path.to_owned());
        }
        match (places.about(path), kind) {
            (About::File(file), _) => self.note_file(file, kind),
            // Looking into a folder, as we do, is not a change of it.
            (About::Nothing, _) | (About::Way, EventKind::Access(_)) => {}
            (About::Way, _) => self.activity.wake(),
        }
    }

    fn note_file(&self, file: PathBuf, kind: EventKind) {
        let touch = match kind {
            EventKind::Modify(ModifyKind::Data(_)) => Touch::Written,
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => Touch::Closed,
            EventKind::Access(AccessKind::Open(_)) => return self.activity.open(file),
            EventKind::Access(_) => return,
            _ => Touch::Other,
        };
        self.activity.touch(file, touch);
    }
}
