//! The process that this one takes the place of: it is at the other end of standard input.

use std::env;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{SendFlags, send};
use rustix::stdio::dup2_stdin;

use super::{Inherited, passing};

/// Set for a process that takes the place of another one.
pub(super) const VARIABLE: &str = "WEIR_TAKES_OVER";
/// What the process before is told once this one serves.
pub(super) const READY: &[u8] = b"ready";

/// The process before this one, which serves until it is relieved.
#[derive(Debug)]
pub struct Predecessor(OwnedFd);

impl Predecessor {
    /// The process that has started this one to take its place, if one has.
    ///
    /// # Errors
    /// If standard input is gone.
    pub fn from_environment() -> io::Result<Option<Self>> {
        if env::var_os(VARIABLE).is_none() {
            return Ok(None);
        }
        let socket = io::stdin().as_fd().try_clone_to_owned()?;
        // From now on as for any service: who reads it finds its end.
        dup2_stdin(File::open("/dev/null")?)?;
        Ok(Some(Self(socket)))
    }

    /// Waits for its sockets.
    ///
    /// # Errors
    /// If it ends before it has handed over all of them.
    pub fn sockets(&self) -> io::Result<Inherited> {
        passing::take(self.0.as_fd())
    }

    /// Tells it that this process serves.
    ///
    /// # Errors
    /// If it is gone.
    pub fn relieve(self) -> io::Result<()> {
        send(&self.0, READY, SendFlags::NOSIGNAL)?;
        Ok(())
    }
}
