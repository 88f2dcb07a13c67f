//! The three files of a folder, as they were read at one moment.

use std::fmt;
use std::fs;
use std::path::Path;

use super::Error;

/// The certificate that is shown, and those that lead from it to an authority.
pub const CERTIFICATE: &str = "tls.crt";
/// Its private key.
pub const KEY: &str = "tls.key";
/// The authorities that are believed.
pub const AUTHORITIES: &str = "ca.crt";

/// PEM texts.
#[derive(Clone, PartialEq, Eq)]
pub struct Files {
    /// `tls.crt`.
    pub certificate: Vec<u8>,
    /// `tls.key`.
    pub key: Vec<u8>,
    /// `ca.crt`.
    pub authorities: Vec<u8>,
}

impl Files {
    /// Reads a folder.
    ///
    /// # Errors
    /// Names the file that cannot be read.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let read = |name| {
            let file = folder.join(name);
            fs::read(&file).map_err(|cause| Error::Read { file, cause })
        };
        Ok(Self { certificate: read(CERTIFICATE)?, key: read(KEY)?, authorities: read(AUTHORITIES)? })
    }
}

impl fmt::Debug for Files {
    /// Without their content: a key must not get into a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files").finish_non_exhaustive()
    }
}
