//! Listeners in a file, so that a process that takes over may have others than the one before.

use std::fs;
use std::path::Path;

use super::{Invalid, Listen};

/// Reads `NAME=ADDR[,...]`, one a line; `#` begins a comment.
///
/// # Errors
/// Names the line that is no listener, or the file, if it cannot be read or has none.
pub(super) fn read(path: &Path) -> Result<Vec<Listen>, Invalid> {
    let wrong = |line: usize, what: String| Invalid::ListenFile { path: path.to_owned(), line, what };
    let text = fs::read_to_string(path).map_err(|error| wrong(1, error.to_string()))?;
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let listeners = (1..).zip(lines).filter(|(_, line)| !line.is_empty());
    let listeners: Vec<Listen> =
        listeners.map(|(number, line)| line.parse().map_err(|what| wrong(number, what))).collect::<Result<_, _>>()?;
    if listeners.is_empty() { Err(wrong(1, "there is no listener".to_owned())) } else { Ok(listeners) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listeners(text: &str) -> Result<Vec<String>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("listeners");
        fs::write(&path, text).unwrap();
        let read = read(&path).map_err(|error| error.to_string().replace(&path.display().to_string(), "FILE"));
        Ok(read?.iter().map(Listen::to_string).collect())
    }

    #[test]
    fn one_a_line_and_comments() {
        let text = "# edge\nhttp=0.0.0.0:80\n\n  https=0.0.0.0:443,tls  # with certificates\n";
        assert_eq!(listeners(text).unwrap(), ["http=0.0.0.0:80", "https=0.0.0.0:443,tls"]);
    }

    #[test]
    fn what_is_wrong_is_named_by_its_line() {
        for (text, expected) in [
            ("http=0.0.0.0:80\nhttps\n", "FILE:2: there is no ="),
            ("http=0.0.0.0:80,udp\n", "FILE:1: \"udp\" is no protocol"),
            ("# nothing\n", "FILE:1: there is no listener"),
        ] {
            let error = listeners(text).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        let missing = read(Path::new("/nowhere")).unwrap_err().to_string();
        assert!(missing.contains("/nowhere:1: No such file"), "{missing}");
    }
}
