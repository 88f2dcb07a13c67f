//! What a FastCGI application is told about files: which script a request runs.

use super::Invalid;

/// Bytes of the longest path that Linux takes.
const LONGEST_PATH: usize = 4095;
/// What a path that ends with a slash runs unless somebody says otherwise.
const INDEX: &str = "index.php";

/// How the path of a request becomes the name of a script.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FastCgi {
    /// The folder with the scripts, at the application; without a slash at its end.
    pub document_root: Option<String>,
    /// Which script there is.
    pub script: Script,
}

/// The script that a request runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Script {
    /// The application goes by the path alone and knows no files.
    #[default]
    None,
    /// The one of the path, below the document root; in a folder the one of this name.
    ByPath {
        /// A file name.
        index: String,
    },
    /// This one, whatever the path.
    Fixed(String),
}

impl FastCgi {
    /// Checks what users write; an empty text is none.
    ///
    /// # Errors
    /// Names the field that is wrong.
    pub fn new(document_root: &str, index: &str, script_filename: &str) -> Result<Self, Invalid> {
        check_path("documentRoot", document_root)?;
        let trimmed = document_root.trim_end_matches('/').to_owned();
        if trimmed.is_empty() && !document_root.is_empty() {
            return Err(Invalid::new("documentRoot", "is the whole file system: name a folder"));
        }
        let document_root = trimmed;
        check_path("scriptFilename", script_filename)?;
        check_index(index)?;
        let script = match (script_filename, document_root.as_str()) {
            ("", "") if !index.is_empty() => return Err(Invalid::new("index", "is of no use without documentRoot")),
            ("", "") => Script::None,
            ("", _) => Script::ByPath { index: if index.is_empty() { INDEX } else { index }.to_owned() },
            (_, _) if !index.is_empty() => return Err(Invalid::new("index", "does not go with scriptFilename")),
            (script, _) => Script::Fixed(script.to_owned()),
        };
        Ok(Self { document_root: (!document_root.is_empty()).then_some(document_root), script })
    }
}

fn check_path(field: &str, path: &str) -> Result<(), Invalid> {
    if path.is_empty() {
        return Ok(());
    }
    let wrong = |what: &str| Err(Invalid::new(field, format!("{path:?} {what}")));
    if !path.starts_with('/') {
        return wrong("is not absolute: it must begin with '/'");
    }
    if path.len() > LONGEST_PATH || path.contains(char::is_control) {
        return wrong("is too long or has a control character");
    }
    if path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return wrong("has a segment '.' or '..'");
    }
    Ok(())
}

fn check_index(index: &str) -> Result<(), Invalid> {
    if index.contains('/') || index.contains(char::is_control) || matches!(index, "." | "..") || index.len() > 255 {
        return Err(Invalid::new("index", format!("{index:?} is no file name")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(document_root: &str, index: &str, script_filename: &str) -> String {
        FastCgi::new(document_root, index, script_filename).unwrap_err().to_string()
    }

    #[test]
    fn u5_scripts_are_found_by_path_or_fixed_or_not_at_all() {
        let by_path = FastCgi::new("/srv/www//", "", "").unwrap();
        assert_eq!(by_path.document_root.as_deref(), Some("/srv/www"));
        assert_eq!(by_path.script, Script::ByPath { index: "index.php".into() });
        assert_eq!(FastCgi::new("/a", "app.py", "").unwrap().script, Script::ByPath { index: "app.py".into() });
        assert_eq!(FastCgi::new("/a", "", "/b/app.php").unwrap().script, Script::Fixed("/b/app.php".into()));
        assert_eq!(FastCgi::new("", "", "").unwrap(), FastCgi::default());
    }

    #[test]
    fn u5_paths_that_say_nothing_sure_are_refused_by_field() {
        assert!(error("srv/www", "", "").starts_with("documentRoot: \"srv/www\" is not absolute"));
        assert!(error("/srv/../etc", "", "").starts_with("documentRoot: "));
        assert!(error("/", "", "").starts_with("documentRoot: is the whole file system"));
        assert!(error("/srv\0", "", "").starts_with("documentRoot: "));
        assert!(error("", "", "app.php").starts_with("scriptFilename: "));
        assert!(error("/srv", "a/b.php", "").starts_with("index: "));
        assert!(error("/srv", "..", "").starts_with("index: "));
        assert_eq!(error("", "index.php", ""), "index: is of no use without documentRoot");
        assert_eq!(error("/srv", "index.php", "/a.php"), "index: does not go with scriptFilename");
    }
}
