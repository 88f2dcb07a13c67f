//! Which folders are watched, and what a notice from one of them is about. Links make the two differ: a file may
//! stand far from where it is written, and a link on the way to it may be swapped.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use super::scan::{Identity, Scan, identity, is_hidden, is_manifest};
use super::way::Way;

/// What lies below a folder by its real paths. Those are the paths of notices.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// Folders of manifests, with how each is written.
    folders: HashMap<PathBuf, PathBuf>,
    /// Files that links lead to, with how each is written.
    files: HashMap<PathBuf, PathBuf>,
    /// Folders, and links on the way to folders and files: a change of one may lead elsewhere.
    points: HashSet<PathBuf>,
}

/// What a notice is about.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum About {
    /// A manifest, by its path as written.
    File(PathBuf),
    /// A folder or link.
    Way,
    /// Nothing that matters.
    Nothing,
}

impl Places {
    /// The places of what was found below `root`.
    ///
    /// # Errors
    /// If `root` is relative and there is no current folder.
    pub(super) fn of(root: &Path, found: &Scan) -> io::Result<Self> {
        let mut places = Self::default();
        let links: HashSet<&Path> = found.links.iter().map(PathBuf::as_path).collect();
        let mut real: HashMap<&Path, PathBuf> = HashMap::new();
        for folder in &found.folders {
            let above = folder.parent().filter(|_| folder != root && !links.contains(folder.as_path()));
            let path = match (above.and_then(|above| real.get(above)), folder.file_name()) {
                (Some(above), Some(name)) => above.join(name),
                _ => places.walk(folder)?,
            };
            places.points.insert(path.clone());
            places.folders.insert(path.clone(), folder.clone());
            real.insert(folder, path);
        }
        for link in &found.links {
            let end = places.walk(link)?;
            if is_manifest(link) {
                places.files.insert(end, link.clone());
            }
        }
        Ok(places)
    }

    /// Notes the links on the way to a path, and where it ends.
    fn walk(&mut self, path: &Path) -> io::Result<PathBuf> {
        let Way { links, end } = Way::to(path)?;
        self.points.extend(links);
        self.points.insert(end.clone());
        Ok(end)
    }

    /// Every folder whose notices matter: those of manifests, and those that hold a link, or what it leads to.
    pub(super) fn watched(&self) -> BTreeMap<PathBuf, Identity> {
        let above = self.points.iter().filter_map(|point| point.parent());
        let all: HashSet<&Path> = self.folders.keys().map(PathBuf::as_path).chain(above).collect();
        all.into_iter().filter_map(|folder| Some((folder.to_owned(), identity(folder)?))).collect()
    }

    /// Whether a folder or link is known.
    pub(super) fn has_point(&self, path: &Path) -> bool {
        self.points.contains(path)
    }

    /// What a notice of a path is about.
    pub(super) fn about(&self, path: &Path) -> About {
        if let Some(file) = self.files.get(path).cloned().or_else(|| self.manifest(path)) {
            return About::File(file);
        }
        let is_way = self.has_point(path) || self.is_new_way(path);
        if is_way { About::Way } else { About::Nothing }
    }

    fn manifest(&self, path: &Path) -> Option<PathBuf> {
        let folder = self.folders.get(path.parent()?)?;
        (is_manifest(path) && !is_hidden(path)).then(|| folder.join(path.file_name().unwrap_or_default()))
    }

    /// Whether a path in a folder of manifests is a folder or a link, and was not before.
    fn is_new_way(&self, path: &Path) -> bool {
        let is_within = path.parent().is_some_and(|above| self.folders.contains_key(above)) && !is_hidden(path);
        is_within && path.symlink_metadata().is_ok_and(|m| m.is_dir() || m.is_symlink())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::super::scan::scan;
    use super::*;

    #[test]
    fn notices_are_told_apart_by_what_they_are_about() {
        let parent = tempfile::tempdir().unwrap();
        let parent = fs::canonicalize(parent.path()).unwrap();
        fs::create_dir_all(parent.join("v1/sub")).unwrap();
        fs::create_dir(parent.join("outside")).unwrap();
        fs::write(parent.join("outside/target"), "").unwrap();
        symlink("v1", parent.join("current")).unwrap();
        symlink("../outside/target", parent.join("v1/a.yaml")).unwrap();
        let root = parent.join("current");
        let places = Places::of(&root, &scan(&root).unwrap()).unwrap();
        let about = |path: &str| places.about(&parent.join(path));
        let file = |path: &str| About::File(root.join(path));
        assert_eq!(about("v1/sub/new.yaml"), file("sub/new.yaml"));
        assert_eq!((about("v1/a.yaml"), about("outside/target")), (file("a.yaml"), file("a.yaml")));
        for way in ["current", "v1", "v1/sub"] {
            assert_eq!(about(way), About::Way, "{way}");
        }
        for nothing in ["v1/a.yaml.tmp", "v1/.a.yaml.swp", "outside/other.yaml", "other"] {
            assert_eq!(about(nothing), About::Nothing, "{nothing}");
        }
        let watched: Vec<_> = places.watched().into_keys().collect();
        assert_eq!(watched, [parent.clone(), parent.join("outside"), parent.join("v1"), parent.join("v1/sub")]);
    }
}
