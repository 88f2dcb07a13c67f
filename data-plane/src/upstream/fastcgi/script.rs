//! Which script a path means (U5). Pure.
//!
//! No path leaves the document root, and none means another file to the application than it means to match rules and
//! plugins: escaped slashes, and empty segments in a script's name, are refused, as file systems pass over them.

use weir_proto::model::FastCgi;
use weir_proto::model::fastcgi::Script;

use crate::http::percent::hex_digit;

/// A path, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// `SCRIPT_NAME`: the part of the path that names the script.
    pub script_name: Vec<u8>,
    /// `PATH_INFO`: the rest of it.
    pub path_info: Vec<u8>,
    /// `SCRIPT_FILENAME`, if the application knows files.
    pub filename: Option<Vec<u8>>,
}

/// A path that is not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    /// A control character, a dot segment, a broken escape, or no slash at the beginning.
    #[error("the path is malformed")]
    Malformed,
    /// It would be another path to a file system.
    #[error("the path has an escaped slash or an empty segment")]
    Ambiguous,
}

/// Takes apart the path of a request, which is in its normal form.
///
/// # Errors
/// If the path must not become a file name.
pub fn resolve(application: &FastCgi, path: &str) -> Result<Paths, BadPath> {
    let path = decode(path)?;
    if path.first() != Some(&b'/') || path.split(|&b| b == b'/').any(|segment| matches!(segment, b"." | b"..")) {
        return Err(BadPath::Malformed);
    }
    let root = application.document_root.as_deref().unwrap_or_default();
    match &application.script {
        Script::None => Ok(Paths { script_name: Vec::new(), path_info: path, filename: None }),
        Script::Fixed(script) => Ok(Paths {
            script_name: name_of(script, root).into(),
            path_info: path,
            filename: Some(script.clone().into_bytes()),
        }),
        Script::ByPath { index } => by_path(path, index, root),
    }
}

fn by_path(path: Vec<u8>, index: &str, root: &str) -> Result<Paths, BadPath> {
    let mut script_name = path;
    let path_info = match index.rfind('.') {
        Some(dot) => script_name.split_off(end_of_script(&script_name, &index.as_bytes()[dot..])),
        None => Vec::new(),
    };
    if script_name.windows(2).any(|pair| pair == b"//") {
        return Err(BadPath::Ambiguous);
    }
    if script_name.ends_with(b"/") {
        script_name.extend_from_slice(index.as_bytes());
    }
    let filename = Some([root.as_bytes(), &script_name].concat());
    Ok(Paths { script_name, path_info, filename })
}

/// Where the first segment with this extension ends; the path's length if there is none.
fn end_of_script(path: &[u8], extension: &[u8]) -> usize {
    let slashes = path.iter().enumerate().skip(1).filter(|(_, byte)| **byte == b'/').map(|(place, _)| place);
    slashes.chain([path.len()]).find(|end| path[..*end].ends_with(extension)).unwrap_or(path.len())
}

/// A script's path below the root; its file name if it is elsewhere.
fn name_of<'a>(script: &'a str, root: &str) -> &'a str {
    let below = script.strip_prefix(root).filter(|name| !root.is_empty() && name.starts_with('/'));
    below.unwrap_or_else(|| &script[script.rfind('/').unwrap_or(0)..])
}

/// The path without its escapes.
fn decode(path: &str) -> Result<Vec<u8>, BadPath> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        let escaped = byte == b'%';
        let byte = if escaped { unescape(bytes.next(), bytes.next()).ok_or(BadPath::Malformed)? } else { byte };
        if byte.is_ascii_control() {
            return Err(BadPath::Malformed);
        }
        if escaped && byte == b'/' {
            return Err(BadPath::Ambiguous);
        }
        decoded.push(byte);
    }
    Ok(decoded)
}

fn unescape(high: Option<u8>, low: Option<u8>) -> Option<u8> {
    Some(hex_digit(high?)? << 4 | hex_digit(low?)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Script name, path info and file name.
    fn resolved(application: &FastCgi, path: &str) -> Result<[String; 3], BadPath> {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let paths = resolve(application, path)?;
        Ok([text(paths.script_name), text(paths.path_info), text(paths.filename.unwrap_or_default())])
    }

    fn below_srv(path: &str) -> Result<[String; 3], BadPath> {
        resolved(&FastCgi::new("/srv", "", "").unwrap(), path)
    }

    #[test]
    fn u5_a_path_names_its_script_and_what_follows_it() {
        let is = |path, expected: [&str; 3]| assert_eq!(below_srv(path), Ok(expected.map(str::to_owned)), "{path}");
        is("/", ["/index.php", "", "/srv/index.php"]);
        is("/blog/", ["/blog/index.php", "", "/srv/blog/index.php"]);
        is("/a/b.php", ["/a/b.php", "", "/srv/a/b.php"]);
        is("/a.php/x/y", ["/a.php", "/x/y", "/srv/a.php"]);
        is("/a.php/", ["/a.php", "/", "/srv/a.php"]);
        is("/a.php/b.php/c", ["/a.php", "/b.php/c", "/srv/a.php"]);
        is("/a.phpx/b.php", ["/a.phpx/b.php", "", "/srv/a.phpx/b.php"]);
        is("/style.css", ["/style.css", "", "/srv/style.css"]);
        is("/caf%C3%A9%20%25.php", ["/café %.php", "", "/srv/café %.php"]);
        is("/a.php//x", ["/a.php", "//x", "/srv/a.php"]);
    }

    #[test]
    fn u5_the_extension_of_the_index_says_where_scripts_end() {
        let python = FastCgi::new("/srv", "main.py", "").unwrap();
        assert_eq!(resolved(&python, "/a.py/b.php").unwrap(), ["/a.py", "/b.php", "/srv/a.py"]);
        let bare = FastCgi::new("/srv", "run", "").unwrap();
        assert_eq!(resolved(&bare, "/a.php/b").unwrap(), ["/a.php/b", "", "/srv/a.php/b"]);
    }

    #[test]
    fn u5_one_script_takes_every_path() {
        let fixed = |root| FastCgi::new(root, "", "/srv/public/app.php").unwrap();
        let file = "/srv/public/app.php";
        assert_eq!(resolved(&fixed("/srv"), "/a//b").unwrap(), ["/public/app.php", "/a//b", file]);
        assert_eq!(resolved(&fixed(""), "/a").unwrap(), ["/app.php", "/a", file]);
        assert_eq!(resolved(&fixed("/srv/pub"), "/a").unwrap(), ["/app.php", "/a", file]);
        assert_eq!(resolved(&FastCgi::default(), "/a/b").unwrap(), ["", "/a/b", ""]);
    }

    #[test]
    fn u5_no_path_leaves_the_root_or_means_two_files() {
        for path in ["/../etc/passwd", "/a/..", "/./a", "/a%00.php", "/a\0", "/%2", "*", "", "a"] {
            assert_eq!(below_srv(path), Err(BadPath::Malformed), "{path}");
        }
        for path in ["/..%2F..%2Fetc/passwd", "/admin%2Fx.php", "/a.php/x%2fy", "//admin/x.php", "/a//b.php", "//"] {
            assert_eq!(below_srv(path), Err(BadPath::Ambiguous), "{path}");
        }
    }

    proptest! {
        /// Whatever the path, and whoever wrote it: the file lies below the root.
        #[test]
        fn u5_every_file_is_below_the_root(path in r"(/|\.|%2[eEfF]|%5[cC]|a|\.php|%00|%25|\\){0,20}") {
            if let Ok([script_name, path_info, file]) = below_srv(&format!("/{path}")) {
                prop_assert!(file.strip_prefix("/srv") == Some(&script_name) && script_name.starts_with('/'));
                prop_assert!(!file.split('/').any(|segment| segment == ".." || segment == "."));
                prop_assert!(!file.contains("//") && !file.contains('\0') && !path_info.contains('\0'));
            }
        }
    }
}
