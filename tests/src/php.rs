//! A real php-fpm.

use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tokio::net::{TcpStream, UnixStream};

use crate::eventually;
use crate::manifest::repository;
use crate::port::free_address;

/// A php-fpm with a fixed number of processes; ends, and they with it, when dropped.
#[derive(Debug)]
pub struct Php {
    address: String,
    child: Child,
    _folder: TempDir,
}

impl Php {
    /// Starts one that listens on TCP.
    ///
    /// # Panics
    /// If it cannot be started.
    pub async fn start(processes: usize) -> Self {
        let address = free_address();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let php = Self::listening(&address.to_string(), address.to_string(), processes, folder);
        eventually("php-fpm listens", async || TcpStream::connect(address).await.ok()).await;
        php
    }

    /// Starts one that listens on a Unix socket.
    ///
    /// # Panics
    /// If it cannot be started.
    pub async fn start_unix(processes: usize) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let socket = folder.path().join("php.sock");
        let listen = socket.display().to_string();
        let php = Self::listening(&listen, format!("unix:{listen}"), processes, folder);
        eventually("php-fpm listens", async || UnixStream::connect(&socket).await.ok()).await;
        php
    }

    fn listening(listen: &str, address: String, processes: usize, folder: TempDir) -> Self {
        let file = folder.path().join("php-fpm.conf");
        std::fs::write(&file, configuration(listen, processes)).expect("a folder to write to");
        let child = Command::new(program())
            .args(["--nodaemonize", "--no-php-ini", "--allow-to-run-as-root", "--fpm-config"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("php-fpm starts");
        Self { address, child, _folder: folder }
    }

    /// Where it listens, as a Backend's address.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Php {
    /// Its processes would outlive it if it were killed.
    fn drop(&mut self) {
        let told = Command::new("kill").args(["-s", "TERM", &self.child.id().to_string()]).status();
        if told.is_ok_and(|status| status.success()) {
            let _ = self.child.wait();
        }
    }
}

/// The folder of the scripts that tests run.
#[must_use]
pub fn scripts() -> PathBuf {
    repository().join("tests/testdata/php")
}

fn configuration(listen: &str, processes: usize) -> String {
    let mut text = format!(
        "[global]\nerror_log = /dev/null\n[www]\nlisten = {listen}\nlisten.backlog = 511\npm = static\n\
         pm.max_children = {processes}\nphp_admin_value[post_max_size] = 64M\n"
    );
    // Whoever is not root has no choice.
    if Path::new("/proc/self").metadata().is_ok_and(|process| process.uid() == 0) {
        let _ = writeln!(text, "user = root\ngroup = root");
    }
    text
}

/// Debian's is called after its version.
fn program() -> PathBuf {
    let folders = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin";
    let files = folders.split(':').filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
    let mut found: Vec<_> = files
        .filter(|file| file.file_name().to_string_lossy().starts_with("php-fpm"))
        .map(|file| file.path())
        .collect();
    found.sort();
    found.pop().expect("php-fpm: install the package of this name")
}
