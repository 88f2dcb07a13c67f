//! Where lines go.

use std::convert::Infallible;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::PathBuf;
use std::str::FromStr;

/// What is written to.
pub(super) type Out = Box<dyn Write + Send>;

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// Appended to a file.
    File(PathBuf),
}

impl FromStr for Target {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(if text == "stdout" { Self::Stdout } else { Self::File(text.into()) })
    }
}

impl Target {
    /// Opens it; a file that is not there is made.
    pub(super) fn open(&self) -> io::Result<Out> {
        Ok(match self {
            Self::Stdout => Box::new(io::stdout()),
            Self::File(path) => Box::new(OpenOptions::new().append(true).create(true).open(path)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_but_stdout_is_a_file() {
        assert_eq!("stdout".parse(), Ok(Target::Stdout));
        assert_eq!("out.log".parse(), Ok(Target::File("out.log".into())));
        assert!(Target::File("/nonexistent/log".into()).open().is_err());
    }
}
