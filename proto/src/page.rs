//! The web page of both planes: a few files that are part of the programs, without anything from elsewhere.

use serde::Serialize;

/// What a plane tells the page of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct About {
    plane: &'static str,
    version: &'static str,
    changes: Changes,
}

/// Whether resources can be changed where the page comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Changes {
    /// They cannot.
    No,
    /// They can.
    Yes,
    /// Who has a token can.
    Token,
}

impl About {
    /// This version of a plane.
    #[must_use]
    pub fn of(plane: &'static str, changes: Changes) -> Self {
        Self { plane, version: env!("CARGO_PKG_VERSION"), changes }
    }
}

/// A file of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct File {
    /// Value of `content-type`.
    pub content_type: &'static str,
    /// What is in it.
    pub text: &'static str,
}

/// Headers of every file. Nothing runs and nothing is loaded but the page's own files, and no other page shows it.
pub const HEADERS: [(&str, &str); 4] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    // A new version of the program has new files.
    ("cache-control", "no-cache"),
];

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// The file at this path of a URL, if there is one.
#[must_use]
pub fn file(path: &str) -> Option<File> {
    let (content_type, text) = match path {
        "/" => (HTML, include_str!("../page/index.html")),
        "/page/weir.css" => (CSS, include_str!("../page/weir.css")),
        "/page/weir.svg" => (SVG, include_str!("../page/weir.svg")),
        "/page/api.js" => (SCRIPT, include_str!("../page/api.js")),
        "/page/dom.js" => (SCRIPT, include_str!("../page/dom.js")),
        "/page/edit.js" => (SCRIPT, include_str!("../page/edit.js")),
        "/page/explain.js" => (SCRIPT, include_str!("../page/explain.js")),
        "/page/merge.js" => (SCRIPT, include_str!("../page/merge.js")),
        "/page/plot.js" => (SCRIPT, include_str!("../page/plot.js")),
        "/page/pools.js" => (SCRIPT, include_str!("../page/pools.js")),
        "/page/weir.js" => (SCRIPT, include_str!("../page/weir.js")),
        "/page/words.js" => (SCRIPT, include_str!("../page/words.js")),
        _ => return None,
    };
    Some(File { content_type, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATHS: [&str; 12] = [
        "/",
        "/page/weir.css",
        "/page/weir.svg",
        "/page/api.js",
        "/page/dom.js",
        "/page/edit.js",
        "/page/explain.js",
        "/page/merge.js",
        "/page/plot.js",
        "/page/pools.js",
        "/page/weir.js",
        "/page/words.js",
    ];

    #[test]
    fn all_files_together_are_small_and_name_nothing_elsewhere() {
        let files = PATHS.map(|path| file(path).unwrap_or_else(|| panic!("{path}")));
        assert!(files.iter().map(|file| file.text.len()).sum::<usize>() < 100_000);
        for (path, file) in PATHS.iter().zip(files) {
            let text = file.text.replace("http://www.w3.org/", "").replace("http://localhost/", "");
            assert!(!text.contains("http://") && !text.contains("https://"), "{path}");
            assert!(!text.contains("innerHTML") && !text.contains("style=\""), "{path}");
        }
    }

    #[test]
    fn every_file_that_the_page_names_is_there() {
        for (path, file) in PATHS.iter().map(|path| (path, file(path).unwrap())) {
            let quoted = file.text.split('"').filter(|text| text.starts_with("/page/") || text.starts_with("./"));
            for named in quoted.map(|text| text.replace("./", "/page/")) {
                assert!(super::file(&named).is_some(), "{path} names {named}");
            }
        }
        assert_eq!(super::file("/page/none"), None);
    }
}
