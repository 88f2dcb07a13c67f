//! The values of the chart: what is made from them is current. `UPDATE=1` rewrites it.

use std::fs;
use std::path::PathBuf;

use weir_tests::chart::{read, schema, tables};
use weir_tests::manifest::repository;

/// What stands around the generated part of the README.
const BEGIN: &str = "<!-- from values.yaml -->\n";
const END: &str = "<!-- end -->\n";

fn file(name: &str) -> PathBuf {
    repository().join("deploy/chart").join(name)
}

/// The file must hold this text.
fn current(name: &str, text: &str) {
    if std::env::var_os("UPDATE").is_some() {
        fs::write(file(name), text).unwrap();
    }
    let held = fs::read_to_string(file(name)).unwrap_or_default();
    assert!(held == text, "deploy/chart/{name} is out of date: run the tests with UPDATE=1");
}

fn values() -> Vec<weir_tests::chart::Node> {
    read(&fs::read_to_string(file("values.yaml")).unwrap()).unwrap()
}

#[test]
fn the_schema_of_the_chart_is_current() {
    current("values.schema.json", &format!("{:#}\n", schema(&values())));
}

#[test]
fn the_readme_of_the_chart_is_current() {
    let readme = fs::read_to_string(file("README.md")).unwrap();
    let (before, rest) = readme.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    current("README.md", &format!("{before}{BEGIN}{}{END}{after}", tables(&values())));
}
