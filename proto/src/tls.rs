//! Mutual TLS between the planes: the certificate that a plane shows, and whom it believes.
//!
//! All of it comes from one folder with `tls.crt`, `tls.key` and `ca.crt`, as Kubernetes mounts a Secret.
//! [`files`] reads it, [`credentials`] checks it, [`side`] makes of it what a server or a client needs, and
//! [`current`] follows it while it changes.

pub mod credentials;
pub mod current;
pub mod files;
pub mod side;

pub use credentials::Credentials;
pub use current::{Current, Follower, open};
pub use files::Files;
pub use side::Side;

use std::io;
use std::path::PathBuf;

/// Why a folder's files cannot be used. Says nothing of what is in the key.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("{}: {cause}", file.display())]
    Read {
        /// Which one.
        file: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{file}: {problem}")]
    Content {
        /// Its name in the folder.
        file: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The certificate is another key's.
    #[error("tls.key is not the key of tls.crt")]
    Mismatch,
    /// The library refuses them all the same.
    #[error("{0}")]
    Setup(String),
}
