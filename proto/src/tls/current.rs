//! The credentials in force: those of the folder, or the last good ones while what is there cannot be used.
//!
//! LIFECYCLE
//! ```text
//!   open -> in force --(the files changed, and are good)--> in force, the new ones
//!              ^  |
//!              |  +----(the files changed, and are not)---> suspect --(the same at the next look)--> refused, logged
//!              +--------------------------(good again)---------+--------------------------------------+
//! ```
//!
//! A look is a read of three small files. That needs no notices of the system, of which a node has only so many, and
//! sees a swapped symlink, a rename and a write alike.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{Credentials, Error, Files, Side};

/// How often the files are looked at.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What new connections use.
pub struct Current<S>(ArcSwap<InForce<S>>);

/// One set of credentials, ready for use.
struct InForce<S> {
    side: Arc<S>,
    expires: i64,
}

impl<S: Side> InForce<S> {
    fn new(files: &Files) -> Result<Self, Error> {
        let credentials = Credentials::try_from(files)?;
        Ok(Self { side: Arc::new(S::new(&credentials)?), expires: credentials.expires })
    }
}

impl<S> Current<S> {
    /// For the next handshake.
    #[must_use]
    pub fn side(&self) -> Arc<S> {
        self.0.load().side.clone()
    }

    /// When the certificate ends, in seconds since 1970.
    #[must_use]
    pub fn expires(&self) -> i64 {
        self.0.load().expires
    }
}

impl<S> fmt::Debug for Current<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Current").field("expires", &self.expires()).finish_non_exhaustive()
    }
}

/// Keeps [`Current`] what the folder says.
#[derive(Debug)]
pub struct Follower<S> {
    folder: PathBuf,
    current: Arc<Current<S>>,
    /// What the last look saw, or why it saw nothing.
    seen: Result<Files, String>,
    /// What is wrong with what was seen, until it is said. Files that are replaced one by one do not fit for a moment.
    suspect: Option<String>,
}

/// Reads a folder for the first time.
///
/// # Errors
/// Says which file is wrong, and how.
pub fn open<S: Side>(folder: &Path) -> Result<(Arc<Current<S>>, Follower<S>), Error> {
    let files = Files::read(folder)?;
    let current = Arc::new(Current(ArcSwap::from_pointee(InForce::new(&files)?)));
    let follower = Follower { folder: folder.to_owned(), current: current.clone(), seen: Ok(files), suspect: None };
    Ok((current, follower))
}

impl<S: Side> Follower<S> {
    /// Follows the folder until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(looks.tick()).await.is_some() {
            self.look();
        }
    }

    fn look(&mut self) {
        let sight = Files::read(&self.folder).map_err(|error| error.to_string());
        if sight == self.seen {
            return self.refuse();
        }
        let next = sight.as_ref().map_err(Clone::clone).and_then(|f| InForce::new(f).map_err(|e| e.to_string()));
        self.seen = sight;
        match next {
            Ok(next) => self.take(next),
            Err(problem) => self.suspect = Some(problem),
        }
    }

    fn take(&mut self, next: InForce<S>) {
        self.suspect = None;
        tracing::info!(folder = %self.folder.display(), expires = next.expires, "new certificates are in force");
        self.current.0.store(Arc::new(next));
    }

    /// Once for each content that stays as it is.
    fn refuse(&mut self) {
        if let Some(problem) = self.suspect.take() {
            tracing::warn!(folder = %self.folder.display(), problem, "refused new certificates; the old ones stay");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use rustls::ServerConfig;
    use tempfile::TempDir;

    use super::*;
    use crate::tls::files::{AUTHORITIES, CERTIFICATE, KEY};

    struct World {
        folder: TempDir,
        current: Arc<Current<ServerConfig>>,
        follower: Follower<ServerConfig>,
    }

    /// Certificate and key, good until a year; and their authority.
    fn pair(year: i32) -> [(&'static str, String); 3] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let leaf = params.signed_by(&key, &issuer).unwrap();
        [(CERTIFICATE, leaf.pem()), (KEY, key.serialize_pem()), (AUTHORITIES, authority)]
    }

    fn write(folder: &TempDir, files: &[(&str, String)]) {
        files.iter().for_each(|(name, text)| fs::write(folder.path().join(name), text).unwrap());
    }

    fn start() -> World {
        let folder = TempDir::new().unwrap();
        write(&folder, &pair(2100));
        let (current, follower) = open(folder.path()).unwrap();
        World { folder, current, follower }
    }

    /// Seconds from 1970 to the beginning of some years.
    const Y2100: i64 = 4_102_444_800;
    const Y2101: i64 = 4_133_980_800;

    #[test]
    fn s5_new_files_are_in_force_at_the_next_look() {
        let mut world = start();
        let before = world.current.side();
        assert_eq!(world.current.expires(), Y2100);
        world.follower.look();
        assert!(Arc::ptr_eq(&before, &world.current.side()), "nothing changed");
        write(&world.folder, &pair(2101));
        world.follower.look();
        assert_eq!(world.current.expires(), Y2101);
    }

    #[test]
    fn a_pair_that_does_not_fit_is_refused_once_and_the_old_one_stays() {
        let mut world = start();
        let [certificate, key, authority] = pair(2101);
        write(&world.folder, &[certificate]);
        world.follower.look();
        assert_eq!(world.current.expires(), Y2100);
        assert_eq!(world.follower.suspect.as_deref(), Some("tls.key is not the key of tls.crt"));
        world.follower.look();
        assert_eq!(world.follower.suspect, None, "it is said, and not again");
        write(&world.folder, &[key, authority]);
        world.follower.look();
        assert_eq!(world.current.expires(), Y2101);
    }

    #[test]
    fn files_replaced_one_by_one_are_no_fault() {
        let mut world = start();
        let [certificate, key, authority] = pair(2101);
        write(&world.folder, &[certificate]);
        world.follower.look();
        write(&world.folder, &[key, authority]);
        world.follower.look();
        assert_eq!((world.follower.suspect.as_deref(), world.current.expires()), (None, Y2101));
    }

    #[test]
    fn garbage_half_a_file_and_no_file_are_refused_without_a_word_of_the_key() {
        let [certificate, key, authority] = pair(2101);
        let half = |text: &str| text[..text.len() / 2].to_owned();
        let broken = [
            (CERTIFICATE, half(&certificate.1)),
            (CERTIFICATE, String::new()),
            (KEY, half(&key.1)),
            (KEY, key.1.replace("PRIVATE", "SECRET")),
            (AUTHORITIES, "garbage".to_owned()),
            (AUTHORITIES, half(&authority.1)),
        ];
        for (name, text) in broken {
            let mut world = start();
            write(&world.folder, &[certificate.clone(), key.clone(), authority.clone(), (name, text)]);
            world.follower.look();
            let problem = world.follower.suspect.clone().unwrap();
            assert!(problem.starts_with(name), "{problem}");
            let secret = key.1.lines().nth(1).unwrap();
            assert!(!problem.contains(secret) && !format!("{:?}", world.follower).contains(secret), "{problem}");
            assert_eq!(world.current.expires(), Y2100);
        }
        let mut world = start();
        fs::remove_file(world.folder.path().join(KEY)).unwrap();
        world.follower.look();
        assert!(world.follower.suspect.unwrap().contains(KEY));
    }

    #[tokio::test(start_paused = true)]
    async fn the_folder_is_followed_until_told_to_stop() {
        let World { folder, current, follower } = start();
        let stop = CancellationToken::new();
        let task = tokio::spawn(follower.run(stop.clone()));
        tokio::time::sleep(LOOK_EVERY / 2).await;
        write(&folder, &pair(2101));
        tokio::time::sleep(LOOK_EVERY).await;
        assert_eq!(current.expires(), Y2101);
        stop.cancel();
        task.await.unwrap();
    }
}
