//! What Helm makes of the chart.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use serde::Deserialize;
use serde_yaml::Value;
use tempfile::TempDir;

use crate::Kube;
use crate::manifest::repository;

/// The name of each release.
pub const RELEASE: &str = "weir";

/// The objects of a release that was rendered and not installed.
#[derive(Debug)]
pub struct Rendered {
    /// As Helm printed them.
    pub text: String,
    /// One for each document.
    pub objects: Vec<Value>,
    folder: TempDir,
}

/// The folder of the chart.
#[must_use]
pub fn folder() -> PathBuf {
    repository().join("deploy/chart")
}

/// Renders the chart for a namespace; `arguments` are more ones of `helm template`, such as `--set=image.registry=r`.
///
/// # Errors
/// With Helm's words, if it refuses the values.
///
/// # Panics
/// If Helm prints what is no YAML.
pub async fn render(kube: &Kube, namespace: &str, arguments: &[&str]) -> anyhow::Result<Rendered> {
    let chart = folder();
    let chart = chart.to_str().context("a path of text")?;
    let text = kube.helm(&[&["template", RELEASE, chart, "--namespace", namespace], arguments].concat()).await?;
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("objects.yaml"), &text)?;
    Ok(Rendered { objects: documents(&text), text, folder })
}

/// # Panics
/// If the text is no YAML.
fn documents(text: &str) -> Vec<Value> {
    let documents = serde_yaml::Deserializer::from_str(text);
    let values = documents.map(|document| Value::deserialize(document).expect("YAML, as Helm prints it"));
    values.filter(|value| !value.is_null()).collect()
}

impl Rendered {
    /// A file with all of it, for kubectl.
    #[must_use]
    pub fn file(&self) -> String {
        self.folder.path().join("objects.yaml").display().to_string()
    }

    /// `Kind/name` of each object, in order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.objects.iter().map(name).collect()
    }

    /// The object that is called `Kind/name`.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn object(&self, wanted: &str) -> &Value {
        let found = self.objects.iter().find(|object| name(object) == wanted);
        found.unwrap_or_else(|| panic!("no {wanted} in {:?}", self.names()))
    }

    /// The templates of all pods, by `Kind/name` of what makes them.
    #[must_use]
    pub fn pods(&self) -> Vec<(String, &Value)> {
        let paths: [&[&str]; 2] = [&["spec", "template"], &["spec", "jobTemplate", "spec", "template"]];
        let pod = |object| {
            let mut found =
                paths.iter().filter_map(|path| path.iter().try_fold(object, |at: &Value, key| at.get(*key)));
            found.next().map(|pod| (name(object), pod))
        };
        self.objects.iter().filter_map(pod).collect()
    }
}

/// `Kind/name`.
fn name(object: &Value) -> String {
    let part = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    format!("{}/{}", part(&object["kind"]), part(&object["metadata"]["name"]))
}
