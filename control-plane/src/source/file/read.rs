//! Reads what has changed since the last look, and leaves alone what seems to be in the middle of a change.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::activity::{Activity, Trace};
use super::catalog::{Catalog, Content};
use super::commit;
use super::scan::{Found, Scan, Stamp, scan};
use super::watch::Watch;
use super::wish::{self, Wish, WriteError};
use crate::source::Changes;

/// A file modified less than this before it was read may be written again without a new stamp, as clocks of
/// file systems are coarse.
const COARSE: Duration = Duration::from_millis(50);

/// A file as young as this may still be in the making, if nobody tells when it is closed.
const YOUNG: Duration = Duration::from_millis(10);

/// A file that is gone or empty for so long, with nothing going on, is meant to be.
const DOUBT: Duration = Duration::from_millis(30);

/// Remembers what was read.
#[derive(Debug)]
pub(super) struct Reader {
    folder: PathBuf,
    activity: Arc<Activity>,
    watch: Watch,
    catalog: Catalog,
    stamps: BTreeMap<PathBuf, Stamp>,
    /// Files that are gone or empty though they held something, or very young.
    suspects: BTreeMap<PathBuf, Suspect>,
}

/// A file that may be in the middle of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Suspect {
    since: Instant,
    /// The version that looks like that; `None` = it is gone.
    stamp: Option<Stamp>,
}

/// What a look comes to.
#[derive(Debug)]
pub(super) enum Pass {
    /// A file seems to be in the middle of a change, and nothing was taken: look again.
    Unsettled,
    /// What has changed.
    Changes {
        changes: Changes,
        /// Nothing is left to be looked at again.
        is_settled: bool,
    },
}

impl Reader {
    pub(super) fn new(folder: PathBuf, activity: Arc<Activity>, with_notices: bool) -> Self {
        let watch = Watch::new(&folder, activity.clone(), with_notices);
        let (catalog, stamps, suspects) = (Catalog::serving(), BTreeMap::new(), BTreeMap::new());
        Self { folder, activity, watch, catalog, stamps, suspects }
    }

    /// Writes what is wished for, if the files are what they were when they were read; says what is different.
    pub(super) fn write(&mut self, wishes: &[Wish]) -> Result<Changes, WriteError> {
        let is_free = |path: &Path| path.symlink_metadata().is_err();
        let texts = wish::texts(&self.folder, wishes, |path| self.catalog.text(path), is_free)?;
        for path in texts.keys() {
            if self.catalog.text(path).is_some_and(|known| read(path).ok().as_deref() != Some(known)) {
                return Err(WriteError::Changed);
            }
        }
        commit::commit(&self.folder, &texts)?;
        Ok(self.catalog.wrote(texts, wishes.iter().filter_map(Wish::taken_out)))
    }

    /// Looks at the folder. Files that a writer has open stay as they were. If any other is suspect, or somewhere
    /// nobody has watched so far, nothing is taken, so that changes which belong together stay together; the last look of a series takes all but
    /// those that are suspect.
    pub(super) fn look(&mut self, is_last: bool) -> Pass {
        let found = match scan(&self.folder) {
            Ok(found) => found,
            Err(error) if is_last => {
                return Pass::Changes { changes: self.catalog.folder_lost(&self.folder, &error), is_settled: true };
            }
            Err(_) => return Pass::Unsettled,
        };
        self.activity.tidy();
        let is_watched = !self.watch.follow(&found);
        self.suspects = self.suspects(&found, Instant::now());
        let doubtful = self.suspects.keys().filter(|path| self.is_doubtful(path) || self.is_held_up(path, &found));
        let doubtful: BTreeSet<PathBuf> = doubtful.cloned().collect();
        let is_calm = is_watched && doubtful.is_empty();
        if !is_last && !is_calm {
            return Pass::Unsettled;
        }
        let (changes, is_whole) = self.take(found, &doubtful);
        Pass::Changes { changes, is_settled: is_whole && is_calm }
    }

    /// Files that may be in the middle of a change, with the time since when each has looked like that. One that is
    /// another version than at the last look was changed in between, and begins anew.
    fn suspects(&self, found: &Scan, now: Instant) -> BTreeMap<PathBuf, Suspect> {
        let gone = self.catalog.files().filter(|path| !found.has(path)).map(|path| (path, None));
        let odd = found.files.iter().filter(|file| self.is_odd(file));
        let odd = odd.map(|file| (file.path.as_path(), Some(file.stamp.clone())));
        let suspect = |(path, stamp): (&Path, Option<Stamp>)| {
            let known = self.suspects.get(path).filter(|known| known.stamp == stamp);
            (path.to_owned(), Suspect { since: known.map_or(now, |known| known.since), stamp })
        };
        gone.chain(odd).map(suspect).collect()
    }

    /// Whether a file is empty that held something, or so young that it may not be complete.
    fn is_odd(&self, file: &Found) -> bool {
        let is_emptied = file.stamp.size == 0 && self.catalog.has_resources_of(&file.path);
        let is_news = self.stamps.get(&file.path) != Some(&file.stamp) && self.activity.of(&file.path).is_none();
        is_emptied || is_news && is_younger(file.stamp.modified, YOUNG)
    }

    /// Whether it is too early to take a suspect file as it is.
    fn is_doubtful(&self, path: &Path) -> bool {
        let last = self.activity.of(path).map(|trace| trace.last);
        let since = self.suspects.get(path).map(|suspect| suspect.since);
        since.max(last).is_some_and(|since| since.elapsed() < DOUBT)
    }

    /// Whether the disk may be holding up a writer that has just emptied a file: it has opened the file, and
    /// the notice of truncating comes only when that is done.
    fn is_held_up(&self, path: &Path, found: &Scan) -> bool {
        self.activity.was_opened(path) && found.has(path)
    }

    /// Takes what was found, but for doubtful files; false if some file changed under our hands.
    fn take(&mut self, found: Scan, doubtful: &BTreeSet<PathBuf>) -> (Changes, bool) {
        let Scan { files, unreadable, folders: _, links: _ } = found;
        let mut is_whole = true;
        let mut contents: BTreeMap<Arc<Path>, Content> =
            doubtful.iter().map(|path| (path.as_path().into(), Content::Unchanged)).collect();
        for file in files.into_iter().filter(|file| !doubtful.contains(&file.path)) {
            let path = file.path.as_path().into();
            let content = self.content(file);
            is_whole &= content.is_some();
            contents.insert(path, content.unwrap_or(Content::Unchanged));
        }
        for (path, error) in unreadable {
            contents.insert(path.as_path().into(), Content::Unreadable(error.to_string()));
        }
        self.stamps.retain(|path, _| contents.contains_key(path.as_path()));
        (self.catalog.update(contents), is_whole)
    }

    /// What a file holds; `None` if it changed between being found and having been read.
    fn content(&mut self, file: Found) -> Option<Content> {
        let Found { path, stamp } = file;
        let before = self.activity.of(&path);
        // Its writer will close it, and be noticed.
        if self.stamps.get(&path) == Some(&stamp) || before.is_some_and(Trace::is_busy) {
            return Some(Content::Unchanged);
        }
        let may_be_trusted = !is_younger(stamp.changed, COARSE);
        let result = read(&path);
        if self.activity.of(&path) != before {
            return None;
        }
        match result {
            Ok(text) if text.len() as u64 != stamp.size => None,
            Ok(text) => {
                self.stamps.remove(&path);
                if may_be_trusted {
                    self.stamps.insert(path, stamp);
                }
                Some(Content::Text(text))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => Some(Content::Unreadable(error.to_string())),
        }
    }
}

fn is_younger(time: Option<SystemTime>, age: Duration) -> bool {
    time.is_some_and(|time| SystemTime::now().duration_since(time).unwrap_or_default() < age)
}

fn read(path: &Path) -> io::Result<String> {
    String::from_utf8(std::fs::read(path)?).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "is not UTF-8 text"))
}

/// Loads files and folders once.
///
/// # Errors
/// Names the path that cannot be looked at.
pub(crate) fn load(paths: &[PathBuf]) -> Result<Changes, (PathBuf, io::Error)> {
    let mut contents = BTreeMap::new();
    // Two paths may lead to the same file.
    let mut seen = BTreeSet::new();
    for path in paths {
        let mut found = scan(path).map_err(|e| (path.clone(), e))?;
        found.leave_out(&mut seen);
        let Scan { files, unreadable, folders: _, links: _ } = found;
        for file in files {
            let content = read(&file.path).map_or_else(|e| Content::Unreadable(e.to_string()), Content::Text);
            contents.insert(file.path.as_path().into(), content);
        }
        let failed = |(path, e): (PathBuf, io::Error)| (path.as_path().into(), Content::Unreadable(e.to_string()));
        contents.extend(unreadable.into_iter().map(failed));
    }
    Ok(Catalog::default().update(contents))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tokio::time::advance;

    use super::*;

    const POOL: &str = "apiVersion: weir.dev/v1alpha1\nkind: Pool\nmetadata: {name: a}\nspec: {}\n";

    /// How many changes the last look of a series gives.
    fn look(reader: &mut Reader) -> Option<usize> {
        match reader.look(true) {
            Pass::Unsettled => None,
            Pass::Changes { changes, .. } => Some(changes.len()),
        }
    }

    /// Writes a file that nobody takes for young.
    fn write(file: &Path, text: &str) {
        fs::write(file, text).unwrap();
        fs::File::options().append(true).open(file).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn s1_a_file_is_taken_as_empty_only_if_the_same_version_of_it_stays_so() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        write(&file, POOL);
        let mut reader = Reader::new(folder.path().to_owned(), Arc::default(), false);
        assert_eq!(look(&mut reader), Some(3), "a first list of each kind");
        write(&file, "");
        assert_eq!(look(&mut reader), Some(0));
        advance(DOUBT * 2 / 3).await;
        assert_eq!(look(&mut reader), Some(0), "its writer may be at it");
        let other = folder.path().join("other");
        write(&other, "");
        fs::rename(&other, &file).unwrap();
        assert_eq!(look(&mut reader), Some(0));
        advance(DOUBT * 2 / 3).await;
        assert_eq!(look(&mut reader), Some(0), "another version, whose time is not over");
        advance(DOUBT).await;
        assert_eq!(look(&mut reader), Some(1), "it is meant to be");
    }
}
