//! The last good table on disk, so that a proxy starts without its control plane (S2).
//!
//! The file is replaced at once by a rename: whatever goes wrong while writing, the last complete file
//! stays. Writing happens off the control thread, newest state only.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use prost::Message;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tracing::{error, info};
use weir_proto::pb;
use weir_proto::version::Version;

use crate::stats::ProcessStats;

const FILE: &str = "table.pb";
const UNFINISHED_FILE: &str = "table.pb.tmp";
/// Says whose file it is, and which version of the layout: the magic, the check of the table, the table.
const MAGIC: &[u8] = b"weir table v1\n";
const CHECK_LEN: usize = 16;
/// Changes that come faster are written together.
const PAUSE: Duration = Duration::from_millis(200);
/// A full disk is not tried more often than this.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(10);

/// A folder with a table.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
    stats: Arc<ProcessStats>,
    /// There is a newer state than the written one.
    stale: bool,
    not_before: Instant,
    writing: Option<JoinHandle<io::Result<()>>>,
    /// The last attempt failed, which has been logged.
    failing: bool,
}

/// Why a file is not taken.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("is not a table of this version of Weir")]
    Foreign,
    #[error("is damaged")]
    Damaged,
}

impl Cache {
    /// The cache of `folder`, which is made with the first write.
    #[must_use]
    pub fn new(folder: PathBuf, stats: Arc<ProcessStats>) -> Self {
        Self { folder, stats, stale: false, not_before: Instant::now(), writing: None, failing: false }
    }

    /// Reads the table; `None` if there is none. A file that cannot be used is logged and left alone.
    pub fn load(&self) -> Option<pb::Delta> {
        let file = self.folder.join(FILE);
        match read(&file) {
            Ok(table) => {
                info!(file = %file.display(), resources = table.upserts.len(), "loaded the last good table");
                Some(table)
            }
            Err(Unusable::Io(error)) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                error!(file = %file.display(), %error, "the last good table cannot be used");
                None
            }
        }
    }

    /// Says that the written state is no longer the newest.
    pub fn changed(&mut self) {
        self.stale = true;
    }

    /// Waits until a write is due; may be dropped at any time.
    pub async fn due(&mut self) {
        self.written().await;
        if !self.stale {
            std::future::pending::<()>().await;
        }
        sleep_until(self.not_before).await;
    }

    /// Begins to write `table`, the newest state.
    pub fn write(&mut self, table: pb::Delta) {
        let folder = self.folder.clone();
        self.stale = false;
        self.not_before = Instant::now() + PAUSE;
        self.writing = Some(tokio::task::spawn_blocking(move || replace(&folder, &table)));
    }

    /// Waits for the running write, if any; true if there is a newer state to write.
    pub async fn finish(&mut self) -> bool {
        self.written().await;
        self.stale
    }

    async fn written(&mut self) {
        if let Some(writing) = &mut self.writing {
            let result = writing.await.unwrap_or_else(|error| Err(io::Error::other(error)));
            self.writing = None;
            self.note(result);
        }
    }

    fn note(&mut self, result: io::Result<()>) {
        let (file, failed_before) = (self.folder.join(FILE), self.failing);
        self.failing = result.is_err();
        let Err(error) = result else {
            if failed_before {
                info!(file = %file.display(), "the table is written again");
            }
            return;
        };
        self.stats.discovery.cache_write_failures.fetch_add(1, Relaxed);
        self.stale = true;
        self.not_before = Instant::now() + PAUSE_AFTER_FAILURE;
        if !failed_before {
            error!(file = %file.display(), %error, "cannot write the table; the last complete file stays");
        }
    }
}

fn read(file: &Path) -> Result<pb::Delta, Unusable> {
    let bytes = fs::read(file)?;
    let rest = bytes.strip_prefix(MAGIC).ok_or(Unusable::Foreign)?;
    let (check, table) = rest.split_at_checked(CHECK_LEN).ok_or(Unusable::Damaged)?;
    if Version::of_parts([table]).as_bytes() != check {
        return Err(Unusable::Damaged);
    }
    pb::Delta::decode(table).map_err(|_| Unusable::Damaged)
}

fn replace(folder: &Path, table: &pb::Delta) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let unfinished = folder.join(UNFINISHED_FILE);
    let table = table.encode_to_vec();
    // It holds the keys of certificates.
    let mut file = File::options().create(true).truncate(true).write(true).mode(0o600).open(&unfinished)?;
    file.write_all(MAGIC)?;
    file.write_all(Version::of_parts([table.as_slice()]).as_bytes())?;
    file.write_all(&table)?;
    file.sync_all()?;
    fs::rename(&unfinished, folder.join(FILE))?;
    // The rename itself must be on disk too.
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use tempfile::TempDir;

    use super::*;

    fn table(names: &[&str]) -> pb::Delta {
        let resource = |name: &&str| pb::Resource {
            key: Some(pb::Key { name: (*name).into(), ..pb::Key::default() }),
            ..pb::Resource::default()
        };
        pb::Delta { upserts: names.iter().map(resource).collect(), last: true, ..pb::Delta::default() }
    }

    fn cache(folder: &Path) -> Cache {
        Cache::new(folder.to_owned(), Arc::new(ProcessStats::new(&[], 1)))
    }

    async fn write(cache: &mut Cache, table: pb::Delta) {
        cache.changed();
        cache.write(table);
        cache.finish().await;
    }

    fn failures(cache: &Cache) -> u64 {
        cache.stats.discovery.cache_write_failures.load(Relaxed)
    }

    #[tokio::test]
    async fn s2_what_was_written_is_read() {
        let folder = TempDir::new().unwrap();
        let below = folder.path().join("made/by/need");
        let mut cache = cache(&below);
        assert_eq!(cache.load(), None);
        write(&mut cache, table(&["a", "b"])).await;
        assert_eq!(cache.load(), Some(table(&["a", "b"])));
        assert!(!below.join(UNFINISHED_FILE).exists());
    }

    #[tokio::test]
    async fn s2_a_torn_or_foreign_file_is_recognised() {
        let folder = TempDir::new().unwrap();
        let mut cache = cache(folder.path());
        write(&mut cache, table(&["a", "b"])).await;
        let file = folder.path().join(FILE);
        let good = fs::read(&file).unwrap();
        let mut flipped = good.clone();
        *flipped.last_mut().unwrap() ^= 1;
        for bad in [&[][..], b"hello", MAGIC, &good[..good.len() - 1], &flipped] {
            fs::write(&file, bad).unwrap();
            assert_eq!(cache.load(), None, "{bad:?}");
        }
        fs::write(&file, &good).unwrap();
        assert!(cache.load().is_some());
    }

    #[tokio::test]
    async fn the_keys_of_certificates_are_readable_to_the_owner_only() {
        let folder = TempDir::new().unwrap();
        write(&mut cache(folder.path()), table(&["a"])).await;
        let mode = fs::metadata(folder.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[tokio::test]
    async fn a_full_disk_leaves_the_last_complete_file_and_is_counted() {
        let folder = TempDir::new().unwrap();
        let mut cache = cache(folder.path());
        write(&mut cache, table(&["old"])).await;
        let unfinished = folder.path().join(UNFINISHED_FILE);
        symlink("/dev/full", &unfinished).unwrap();
        write(&mut cache, table(&["new"])).await;
        assert_eq!((failures(&cache), cache.stale), (1, true));
        assert_eq!(cache.load(), Some(table(&["old"])));
        fs::remove_file(&unfinished).unwrap();
        write(&mut cache, table(&["new"])).await;
        assert_eq!((failures(&cache), cache.stale), (1, false));
        assert_eq!(cache.load(), Some(table(&["new"])));
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_made_is_counted() {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        let mut cache = cache(&folder.path().join("file/below"));
        write(&mut cache, table(&["a"])).await;
        assert_eq!((failures(&cache), cache.load()), (1, None));
    }

    #[tokio::test]
    async fn writes_are_at_least_a_pause_apart_and_only_when_something_changed() {
        let folder = TempDir::new().unwrap();
        let mut cache = cache(folder.path());
        cache.changed();
        cache.due().await;
        let began = Instant::now();
        cache.write(table(&["a"]));
        cache.changed();
        cache.due().await;
        assert!(began.elapsed() >= PAUSE);
        cache.write(table(&["b"]));
        assert!(!cache.finish().await);
        let more = tokio::time::timeout(Duration::from_millis(1), cache.due()).await;
        assert!(more.is_err(), "nothing changed");
    }
}
