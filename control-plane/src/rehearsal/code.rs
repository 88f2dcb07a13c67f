//! A script or component in a file of its own, as a Plugin.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use weir_proto::model::{Key, Kind, ResourceName};

use super::made_up::{self, made_up};
use super::said;
use crate::finding::{Finding, Place};
use crate::source::Given;

/// Namespace of what has none.
const NAMESPACE: &str = "default";
/// A call's time: somebody looks on, and how long it took is shown.
const TIMEOUT: &str = "1s";

/// Whether a file holds code by itself.
pub(super) fn is_code(path: &Path) -> bool {
    matches!(extension(path), "lua" | "wasm")
}

fn extension(path: &Path) -> &str {
    path.extension().and_then(|extension| extension.to_str()).unwrap_or_default()
}

/// A Plugin by the name of the file.
///
/// # Errors
/// If it cannot be read.
pub(super) fn plugin(path: &Path) -> Result<Given, Vec<Finding>> {
    let name = ResourceName::new(NAMESPACE, &name(path)).map_err(|error| vec![said(error.to_string())])?;
    let spec = spec(path).map_err(|error| {
        let place = Some(Place::file(&path.into()));
        vec![Finding { place, ..said(error.to_string()) }]
    })?;
    made_up(Kind::Plugin, &name, &spec)
}

fn spec(path: &Path) -> std::io::Result<Value> {
    if extension(path) == "lua" {
        return Ok(json!({"type": "Lua", "timeout": TIMEOUT, "lua": {"source": fs::read_to_string(path)?}}));
    }
    // The proxy reads it by itself; here it is only looked for.
    let file = fs::canonicalize(path)?;
    Ok(json!({"type": "Wasm", "timeout": TIMEOUT, "wasm": {"file": file}}))
}

/// The line that a script's error begins with; 0 if there is none.
pub(super) fn line(key: &Key, message: &str) -> usize {
    let rest = message.strip_prefix(&key.name.to_string()).and_then(|rest| rest.strip_prefix(':'));
    rest.and_then(|rest| rest.split(':').next()?.parse().ok()).unwrap_or(0)
}

/// The file's name without what names of resources must not have.
fn name(path: &Path) -> String {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_ascii_lowercase();
    let name = stem.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-");
    let name = name.trim_matches('-');
    if name.is_empty() { made_up::NAME.to_owned() } else { name.to_owned() }
}
