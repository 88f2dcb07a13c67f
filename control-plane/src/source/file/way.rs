//! The way to a path: every link on it, and where it ends.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// As many links as the system itself follows.
const MOST_LINKS: usize = 40;

/// What must stay as it is for a path to lead to the same place.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Way {
    /// Real paths of the links on it, in order.
    pub(super) links: Vec<PathBuf>,
    /// Real path of its end, whether that exists or not.
    pub(super) end: PathBuf,
}

impl Way {
    /// The way to `path`.
    ///
    /// # Errors
    /// If `path` is relative and there is no current folder.
    pub(super) fn to(path: &Path) -> io::Result<Self> {
        let mut way = Self::default();
        let mut rest = parts(&std::path::absolute(path)?);
        while let Some(part) = rest.pop() {
            if let Some(target) = way.step(&part) {
                rest.extend(parts(&target));
            }
        }
        Ok(way)
    }

    /// One step on; where to if it is a link.
    fn step(&mut self, part: &OsString) -> Option<PathBuf> {
        match part.to_str() {
            Some(".") => return None,
            Some("..") => {
                self.end.pop();
                return None;
            }
            _ => self.end.push(part),
        }
        let target = fs::read_link(&self.end).ok().filter(|_| self.links.len() < MOST_LINKS)?;
        self.links.push(self.end.clone());
        self.end.pop();
        Some(target)
    }
}

/// The parts of a path, last first. The root is a part too: pushed to a path, it replaces it.
fn parts(path: &Path) -> Vec<OsString> {
    path.components().rev().map(|part| part.as_os_str().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_way_names_each_link_and_the_end() {
        let root = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(root.path()).unwrap();
        fs::create_dir_all(root.join("v1/sub")).unwrap();
        symlink("v1", root.join("data")).unwrap();
        symlink("../x/../data/sub/a.yaml", root.join("v1/link")).unwrap();
        fs::create_dir(root.join("x")).unwrap();
        let way = Way::to(&root.join("data/link")).unwrap();
        assert_eq!(way.links, [root.join("data"), root.join("v1/link"), root.join("data")]);
        assert_eq!(way.end, root.join("v1/sub/a.yaml"), "though there is no such file");
    }

    #[test]
    fn a_circle_has_an_end() {
        let root = tempfile::tempdir().unwrap();
        symlink("b", root.path().join("a")).unwrap();
        symlink("a", root.path().join("b")).unwrap();
        assert_eq!(Way::to(&root.path().join("a")).unwrap().links.len(), MOST_LINKS);
    }
}
