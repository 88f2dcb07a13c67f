//! The file with the number of the process.

use std::path::PathBuf;
use std::{fs, io, process};

/// A file that has the number of this process while it serves.
#[derive(Debug, Clone)]
pub struct PidFile(PathBuf);

impl PidFile {
    /// At this path.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Writes the number, in place of that of the process before: readers see one or the other.
    ///
    /// # Errors
    /// If the folder cannot be written to.
    pub fn write(&self) -> io::Result<()> {
        let mut name = self.0.clone().into_os_string();
        name.push(format!(".{}", process::id()));
        let unfinished = PathBuf::from(name);
        fs::write(&unfinished, format!("{}\n", process::id()))?;
        fs::rename(unfinished, &self.0)
    }

    /// Removes it, if the number is still that of this process.
    pub fn remove(&self) {
        let ours = fs::read_to_string(&self.0).is_ok_and(|text| text.trim() == process::id().to_string());
        if ours && let Err(error) = fs::remove_file(&self.0) {
            tracing::warn!(%error, file = %self.0.display(), "the file with the process's number stays");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_removed_only_by_the_process_whose_number_it_has() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weir.pid");
        let file = PidFile::new(path.clone());
        file.write().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", process::id()));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        file.remove();
        assert!(!path.exists());
        fs::write(&path, "1\n").unwrap();
        file.remove();
        assert!(path.exists(), "it is another process's by now");
    }
}
