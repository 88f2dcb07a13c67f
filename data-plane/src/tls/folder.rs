//! The certificates of a folder: `NAME.crt` with `NAME.key`, followed while they change.
//!
//! LIFECYCLE of a pair
//! ```text
//!   (both are there) -> good: in force --(another content, and bad)--> suspect --(the same at the next look)--> logged
//!                         ^  |             the last good one stays in force       |
//!                         |  +-----------------(one file is gone)-----------------+
//!                         +--(good again)-----------------------------------------+
//!   (both are gone) -> out of force
//! ```
//!
//! A look is a read of all files: that sees a swapped symlink, a rename and a write alike.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use weir_proto::model::Certificate;
use weir_proto::tls::current::LOOK_EVERY;

use super::CertificateStore;

/// The pair of this name is for hosts without a certificate, too.
const DEFAULT: &str = "default";

/// Keeps the certificates of a store what a folder says.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    store: CertificateStore,
    pairs: BTreeMap<String, Pair>,
}

/// What was seen of a pair.
#[derive(Default)]
struct Pair {
    seen: [Option<Vec<u8>>; 2],
    good: Option<Certificate>,
    /// What is wrong with what was seen, until it is said. Files that are replaced one by one do not fit for a moment.
    suspect: Option<String>,
}

impl fmt::Debug for Pair {
    /// Without what is in the files.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair").field("good", &self.good).field("suspect", &self.suspect).finish_non_exhaustive()
    }
}

impl Folder {
    /// Reads a folder for the first time. A pair that cannot be used is logged with the next look, and hinders no other.
    ///
    /// # Errors
    /// If the folder itself cannot be read.
    pub fn open(path: PathBuf, store: CertificateStore) -> io::Result<Self> {
        let mut folder = Self { path, store, pairs: BTreeMap::new() };
        folder.look()?;
        Ok(folder)
    }

    /// Follows the folder until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_missing = false;
        while stop.run_until_cancelled(looks.tick()).await.is_some() {
            let looked = self.look();
            if let (Err(error), false) = (&looked, is_missing) {
                warn!(folder = %self.path.display(), %error, "certificates cannot be read; those in force stay");
            }
            is_missing = looked.is_err();
        }
    }

    fn look(&mut self) -> io::Result<()> {
        let names = names(&self.path)?;
        let before = self.pairs.len();
        self.pairs.retain(|name, _| names.contains(name));
        let mut has_changed = self.pairs.len() != before;
        for name in names {
            let sight = ["crt", "key"].map(|kind| fs::read(self.path.join(format!("{name}.{kind}"))).ok());
            has_changed |= self.pairs.entry(name.clone()).or_default().see(&self.path.join(name), sight);
        }
        if has_changed {
            self.put_in_force();
        }
        Ok(())
    }

    fn put_in_force(&self) {
        let good = self.pairs.iter().filter_map(|(name, pair)| Some((name.clone(), pair.good.clone()?)));
        let good: BTreeMap<String, Certificate> = good.collect();
        info!(folder = %self.path.display(), certificates = good.len(), "new certificates are in force");
        self.store.set_files(&good, DEFAULT);
    }
}

/// The names of all pairs, of which one file at least is there.
fn names(folder: &Path) -> io::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder)? {
        let file = PathBuf::from(entry?.file_name());
        let is_ours = file.extension().is_some_and(|kind| kind == "crt" || kind == "key");
        let name = file.file_stem().and_then(OsStr::to_str).filter(|name| is_ours && !name.starts_with('.'));
        names.extend(name.map(ToOwned::to_owned));
    }
    Ok(names)
}

impl Pair {
    /// Whether another certificate is good now.
    fn see(&mut self, name: &Path, sight: [Option<Vec<u8>>; 2]) -> bool {
        if sight == self.seen {
            if let Some(problem) = self.suspect.take() {
                warn!(certificate = %name.display(), problem, "refused a certificate; the last good one stays, if any");
            }
            return false;
        }
        let read = match &sight {
            [Some(certificate), Some(key)] => Certificate::from_pem(certificate, key).map_err(|bad| bad.to_string()),
            [None, _] => Err("there is no .crt".to_owned()),
            [_, None] => Err("there is no .key".to_owned()),
        };
        self.seen = sight;
        self.suspect = read.as_ref().err().cloned();
        let is_new = read.is_ok();
        self.good = read.ok().or(self.good.take());
        is_new
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::tls::terms::tests::certificate;

    struct World {
        path: TempDir,
        store: CertificateStore,
        folder: Folder,
    }

    impl World {
        fn start() -> Self {
            let (path, store) = (TempDir::new().unwrap(), CertificateStore::default());
            let folder = Folder::open(path.path().to_owned(), store.clone()).unwrap();
            Self { path, store, folder }
        }

        fn write(&self, file: &str, text: &[u8]) {
            fs::write(self.path.path().join(file), text).unwrap();
        }

        fn put(&mut self, name: &str, certificate: &Certificate) {
            self.write(&format!("{name}.crt"), certificate.pem());
            self.write(&format!("{name}.key"), certificate.private_pem());
            self.folder.look().unwrap();
        }

        fn remove(&mut self, file: &str) {
            fs::remove_file(self.path.path().join(file)).unwrap();
            self.folder.look().unwrap();
        }

        fn shows(&self, name: Option<&str>) -> bool {
            self.store.live().load().find(name).is_some()
        }

        fn suspect(&self, name: &str) -> Option<&str> {
            self.folder.pairs[name].suspect.as_deref()
        }
    }

    #[test]
    fn s5_pairs_come_change_and_go_with_their_files() {
        let mut world = World::start();
        assert!(!world.shows(Some("a.example.com")));
        world.put("a", &certificate("*.example.com"));
        assert!(world.shows(Some("a.example.com")) && !world.shows(None));
        world.put("a", &certificate("b.example.com"));
        assert!(world.shows(Some("b.example.com")) && !world.shows(Some("a.example.com")));
        world.put("default", &certificate("c"));
        assert!(world.shows(None) && world.shows(Some("unheard.of")));
        world.remove("default.crt");
        assert!(world.shows(None), "one file alone is a mistake");
        world.remove("default.key");
        assert!(!world.shows(None), "both are a decision");
    }

    #[test]
    fn s1_a_pair_that_does_not_fit_is_said_once_and_the_last_good_one_stays() {
        let mut world = World::start();
        world.put("a", &certificate("a"));
        world.write("a.crt", certificate("b").pem());
        world.write("broken.crt", b"garbage");
        world.folder.look().unwrap();
        assert!(world.shows(Some("a")) && !world.shows(Some("b")));
        assert_eq!(world.suspect("a"), Some("the key is not that of the certificate"));
        assert_eq!(world.suspect("broken"), Some("there is no .key"));
        world.folder.look().unwrap();
        assert_eq!((world.suspect("a"), world.suspect("broken")), (None, None), "it is said");
    }

    #[test]
    fn nothing_shows_what_is_in_a_key() {
        let (mut world, mine) = (World::start(), certificate("a"));
        world.put("a", &mine);
        let shown = format!("{:?} {:?}", world.folder, world.store.live().load());
        let key = String::from_utf8(mine.private_pem().to_vec()).unwrap();
        assert!(key.lines().all(|line| !shown.contains(line)), "{shown}");
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        let folder = TempDir::new().unwrap();
        assert!(Folder::open(folder.path().join("none"), CertificateStore::default()).is_err());
    }
}
