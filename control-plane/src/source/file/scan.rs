//! Finds the manifest files below a folder.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// A file as found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) stamp: Stamp,
}

/// Tells two versions of a file apart without reading them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Device and inode: another file may have taken the name, as in a symlink swap.
    identity: (u64, u64),
    pub(super) size: u64,
    pub(super) modified: Option<SystemTime>,
    /// When anything of it was changed, by the system's own clock: a writer may set `modified` back.
    pub(super) changed: Option<SystemTime>,
}

/// Tells two folders apart that have had the same path: device, inode, and time of birth, since inodes are used
/// again at once.
pub(super) type Identity = (u64, u64, Option<SystemTime>);

/// What is below a folder.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// By path; a file that is reached in two ways counts once, by the lesser path.
    pub(super) files: Vec<Found>,
    /// Folders and files that cannot be looked at, and why.
    pub(super) unreadable: Vec<(PathBuf, io::Error)>,
    /// Folders that were looked into, each after the one that it is in.
    pub(super) folders: Vec<PathBuf>,
    /// Links, whatever they lead to.
    pub(super) links: Vec<PathBuf>,
}

/// Looks at `path`: a folder with all below it, or one file. Names that begin with a dot are passed over:
/// Kubernetes mounts keep their data in `..data`, and links to it in plain sight.
///
/// # Errors
/// If `path` itself cannot be looked at.
pub(super) fn scan(path: &Path) -> io::Result<Scan> {
    let metadata = fs::metadata(path)?;
    let mut scan = Scan::default();
    if metadata.is_dir() {
        scan.look_below(path)?;
    } else {
        scan.files.push(Found { path: path.to_owned(), stamp: Stamp::of(&metadata) });
    }
    scan.files.sort_by(|a, b| a.path.cmp(&b.path));
    scan.leave_out(&mut BTreeSet::new());
    Ok(scan)
}

impl Scan {
    /// Whether a file was found.
    pub(super) fn has(&self, path: &Path) -> bool {
        self.files.binary_search_by(|file| file.path.as_path().cmp(path)).is_ok()
    }

    /// Leaves out files that were seen, as they are reached in another way, and remembers the others.
    pub(super) fn leave_out(&mut self, seen: &mut BTreeSet<(u64, u64)>) {
        self.files.retain(|file| seen.insert(file.stamp.identity));
    }

    fn look_below(&mut self, root: &Path) -> io::Result<()> {
        let mut seen = BTreeSet::new();
        let mut open = vec![root.to_owned()];
        self.folder(root, &mut open)?;
        while let Some(folder) = open.pop() {
            // Links may lead round in a circle.
            let is_new = fs::metadata(&folder).is_ok_and(|m| seen.insert(Stamp::of(&m).identity));
            if is_new && folder != root {
                let result = self.folder(&folder, &mut open);
                self.note(folder, result);
            }
        }
        Ok(())
    }

    fn folder(&mut self, folder: &Path, open: &mut Vec<PathBuf>) -> io::Result<()> {
        let entries = fs::read_dir(folder)?;
        self.folders.push(folder.to_owned());
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            if is_hidden(&path) {
                continue;
            }
            if entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
                self.links.push(path.clone());
            }
            let result = self.entry(&path, open);
            self.note(path, result);
        }
        Ok(())
    }

    fn entry(&mut self, path: &Path, open: &mut Vec<PathBuf>) -> io::Result<()> {
        let metadata = fs::metadata(path)?;
        if metadata.is_dir() {
            open.push(path.to_owned());
        } else if metadata.is_file() && is_manifest(path) {
            self.files.push(Found { path: path.to_owned(), stamp: Stamp::of(&metadata) });
        }
        Ok(())
    }

    /// What vanishes while we look is simply gone.
    fn note(&mut self, path: PathBuf, result: io::Result<()>) {
        if let Err(error) = result
            && error.kind() != io::ErrorKind::NotFound
        {
            self.unreadable.push((path, error));
        }
    }
}

/// Whether a file of this name is a manifest.
pub(super) fn is_manifest(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "yaml" || e == "yml" || e == "json")
}

/// Whether a manifest is to be JSON.
pub(super) fn is_json(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "json")
}

/// Whether a name begins with a dot.
pub(super) fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        let identity = (metadata.dev(), metadata.ino());
        Self { identity, size: metadata.size(), modified: metadata.modified().ok(), changed: changed(metadata) }
    }
}

fn changed(metadata: &Metadata) -> Option<SystemTime> {
    let seconds = u64::try_from(metadata.ctime()).ok()?;
    let nanoseconds = u32::try_from(metadata.ctime_nsec()).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanoseconds))
}

/// Which folder is at a path; `None` if there is nothing.
pub(super) fn identity(path: &Path) -> Option<Identity> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino(), metadata.created().ok()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(root: &Path) -> Vec<String> {
        let files = scan(root).unwrap().files;
        files.iter().map(|f| f.path.strip_prefix(root).unwrap().display().to_string()).collect()
    }

    #[test]
    fn manifests_are_found_at_any_depth_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        fs::create_dir_all(root.join("b/c")).unwrap();
        for name in ["a.yaml", "b/x.yml", "b/c/y.json", "b/readme.md", ".hidden.yaml", "b/z.yaml~"] {
            fs::write(root.join(name), "").unwrap();
        }
        fs::create_dir(root.join("folder.yaml")).unwrap();
        assert_eq!(names(root), ["a.yaml", "b/c/y.json", "b/x.yml"]);
    }

    #[test]
    fn a_kubernetes_mount_counts_each_file_once() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        fs::create_dir_all(root.join("..2026/sub")).unwrap();
        fs::write(root.join("..2026/web.yaml"), "").unwrap();
        fs::write(root.join("..2026/sub/api.yaml"), "").unwrap();
        symlink("..2026", root.join("..data")).unwrap();
        symlink("..data/web.yaml", root.join("web.yaml")).unwrap();
        symlink("..data/sub", root.join("sub")).unwrap();
        symlink("web.yaml", root.join("same.yaml")).unwrap();
        assert_eq!(names(root), ["same.yaml", "sub/api.yaml"]);
    }

    #[test]
    fn links_that_lead_in_a_circle_or_nowhere_are_harmless() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        fs::create_dir(root.join("a")).unwrap();
        fs::write(root.join("a/x.yaml"), "").unwrap();
        symlink("..", root.join("a/up")).unwrap();
        symlink("nowhere", root.join("lost.yaml")).unwrap();
        assert_eq!(names(root), ["a/x.yaml"]);
    }
}
