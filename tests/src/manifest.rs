//! Manifests for tests: short texts of one Pool or Backend, and the examples with the addresses of mock backends.

use std::fmt::Display;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Deserialize;
use serde_yaml::Value;

/// The namespace of what [`pool`] and [`backend`] make.
pub const NAMESPACE: &str = "test";

/// A Pool; `spec` is the inside of a flow mapping, for example `priority: 1, debugHeaders: true`.
#[must_use]
pub fn pool(name: &str, spec: &str) -> String {
    document("Pool", name, spec)
}

/// A Backend; `more` as for [`pool`], besides pool and address.
#[must_use]
pub fn backend(name: &str, pool: &str, address: impl Display, more: &str) -> String {
    document("Backend", name, &format!("pool: {pool}, address: \"{address}\", {more}"))
}

/// A Secret with these texts, by key.
///
/// # Panics
/// Never: texts have a form in JSON, which is YAML.
#[must_use]
pub fn secret(name: &str, texts: &[(&str, &str)]) -> String {
    let texts: std::collections::BTreeMap<_, _> = texts.iter().copied().collect();
    let texts = serde_json::to_string(&texts).expect("texts");
    format!(
        "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: {NAMESPACE}}}\nstringData: {texts}\n"
    )
}

/// A Pool `web` of these backends, which are called `web-1`, `web-2` and so on.
#[must_use]
pub fn web(spec: &str, addresses: &[SocketAddr]) -> String {
    let backends = addresses.iter().enumerate().map(|(i, a)| backend(&format!("web-{}", i + 1), "web", a, ""));
    pool("web", spec) + &backends.collect::<String>()
}

fn document(kind: &str, name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: weir.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}, namespace: {NAMESPACE}}}\n\
         spec: {{{spec}}}\n"
    )
}

/// The folders of manifests below `deploy/examples`, in order. Others hold the sources of plugins.
///
/// # Panics
/// If one cannot be read.
pub fn example_folders() -> Vec<PathBuf> {
    let mut unread = vec![repository().join("deploy/examples")];
    let mut found = Vec::new();
    while let Some(folder) = unread.pop() {
        let paths = std::fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry").path());
        let (folders, files): (Vec<_>, Vec<_>) = paths.partition(|path| path.is_dir());
        unread.extend(folders);
        if files.iter().any(|file| file.extension().is_some_and(|extension| extension == "yaml")) {
            found.push(folder);
        }
    }
    found.sort();
    found
}

/// The folder of this repository.
#[must_use]
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the repository").to_owned()
}

/// The folder of an example.
#[must_use]
pub fn example(name: &str) -> PathBuf {
    repository().join("deploy/examples").join(name)
}

/// The files of an example, as name and text, each Backend having the address that `address_of` gives for its name.
///
/// # Errors
/// If a file cannot be read or is no YAML.
pub fn example_with(name: &str, address_of: impl Fn(&str) -> SocketAddr) -> anyhow::Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(example(name))? {
        let path = entry?.path();
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let file = path.file_name().context("a file")?.to_string_lossy().into_owned();
        files.push((file, with_addresses(&text, &address_of)?));
    }
    Ok(files)
}

fn with_addresses(text: &str, address_of: &impl Fn(&str) -> SocketAddr) -> anyhow::Result<String> {
    let mut out = String::new();
    for document in serde_yaml::Deserializer::from_str(text) {
        let mut resource = Value::deserialize(document)?;
        if resource["kind"] == "Backend" {
            let name = resource["metadata"]["name"].as_str().context("a name")?;
            resource["spec"]["address"] = address_of(name).to_string().into();
        }
        out += "---\n";
        out += &serde_yaml::to_string(&resource)?;
    }
    Ok(out)
}
