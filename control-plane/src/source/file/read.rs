//! Reads what has changed since the last look.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::Catalog;
use super::catalog::Content;
use super::scan::{Found, Scan, Stamp, scan};
use crate::source::Changes;

/// A file modified less than this before it was read may be written again without a new stamp, as clocks of
/// file systems are coarse.
const COARSE: Duration = Duration::from_millis(50);

/// A file as young as this may still be in the making.
const YOUNG: Duration = Duration::from_millis(10);

/// Remembers what was read.
#[derive(Debug)]
pub(super) struct Reader {
    folder: PathBuf,
    catalog: Catalog,
    stamps: BTreeMap<PathBuf, Stamp>,
}

/// What a look comes to.
#[derive(Debug)]
pub(super) enum Pass {
    /// A file seems to be in the middle of a change: look again.
    Unsettled,
    /// What has changed.
    Changes(Changes),
}

impl Reader {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, catalog: Catalog::default(), stamps: BTreeMap::new() }
    }

    /// Looks at the folder. Files in `busy` are left as they were; the last look of a series takes everything
    /// else as it is.
    pub(super) fn look(&mut self, busy: &HashSet<PathBuf>, is_last: bool) -> Pass {
        let found = match scan(&self.folder) {
            Ok(found) => found,
            Err(error) if is_last => return Pass::Changes(self.catalog.folder_lost(&self.folder, &error)),
            Err(_) => return Pass::Unsettled,
        };
        if !is_last && !self.is_settled(&found, busy) {
            return Pass::Unsettled;
        }
        let Scan { files, unreadable } = found;
        let mut contents: BTreeMap<Arc<Path>, Content> =
            files.into_iter().map(|file| (file.path.as_path().into(), self.content(file, busy))).collect();
        for (path, error) in unreadable {
            contents.insert(path.as_path().into(), Content::Unreadable(error.to_string()));
        }
        self.stamps.retain(|path, _| contents.contains_key(path.as_path()));
        Pass::Changes(self.catalog.update(contents))
    }

    /// Whether no file is gone, emptied or very young.
    fn is_settled(&self, found: &Scan, busy: &HashSet<PathBuf>) -> bool {
        let is_there = |path: &Path| found.files.binary_search_by(|f| f.path.as_path().cmp(path)).is_ok();
        let is_settled = |file: &Found| {
            let emptied = file.stamp.size == 0 && self.catalog.has_resources_of(&file.path);
            busy.contains(&file.path) || !(emptied || is_younger(&file.stamp, YOUNG))
        };
        self.catalog.files().all(is_there) && found.files.iter().all(is_settled)
    }

    fn content(&mut self, file: Found, busy: &HashSet<PathBuf>) -> Content {
        let Found { path, stamp } = file;
        if busy.contains(&path) || self.stamps.get(&path) == Some(&stamp) {
            return Content::Unchanged;
        }
        let may_be_trusted = !is_younger(&stamp, COARSE);
        match read(&path) {
            Ok(text) => {
                self.stamps.remove(&path);
                if may_be_trusted {
                    self.stamps.insert(path, stamp);
                }
                Content::Text(text)
            }
            Err(error) => Content::Unreadable(error.to_string()),
        }
    }
}

fn is_younger(stamp: &Stamp, age: Duration) -> bool {
    let since = |modified| SystemTime::now().duration_since(modified).unwrap_or_default();
    stamp.modified.is_some_and(|modified| since(modified) < age)
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
    for path in paths {
        let Scan { files, unreadable } = scan(path).map_err(|e| (path.clone(), e))?;
        for file in files {
            let content = read(&file.path).map_or_else(|e| Content::Unreadable(e.to_string()), Content::Text);
            contents.insert(file.path.as_path().into(), content);
        }
        let failed = |(path, e): (PathBuf, io::Error)| (path.as_path().into(), Content::Unreadable(e.to_string()));
        contents.extend(unreadable.into_iter().map(failed));
    }
    Ok(Catalog::default().update(contents))
}
