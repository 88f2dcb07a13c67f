//! `weir check`: every check that both planes make of a manifest, offline, and what is most likely a mistake besides.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use tokio::time::Instant;
use weir_proto::model::Key;

use crate::finding::{Finding, Place, Warning};
use crate::lint::{Hit, Lint, Resources};
use crate::manifest::Origin;
use crate::publish::Publisher;
use crate::source::{Changes, Event, Given, file};
use crate::status::Board;

/// What is to be said of some files, in order of file and line. Serializes as one object of all findings.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What is wrong.
    pub errors: Vec<Finding>,
    /// What is most likely a mistake. Nobody looks while something is wrong: what is refused would be missed elsewhere.
    pub warnings: Vec<Warning>,
}

/// A finding, and how bad it is.
#[derive(Serialize)]
struct Item<'a> {
    severity: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    lint: Option<&'static str>,
    #[serde(flatten)]
    finding: &'a Finding,
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let errors = self.errors.iter().map(|finding| Item { severity: "error", lint: None, finding });
        let warnings = self.warnings.iter();
        let warnings = warnings.map(|w| Item { severity: "warning", lint: Some(w.id), finding: &w.finding });
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("errors", &self.errors.len())?;
        map.serialize_entry("warnings", &self.warnings.len())?;
        map.serialize_entry("findings", &errors.chain(warnings).collect::<Vec<_>>())?;
        map.end()
    }
}

/// Checks files and folders together, as one configuration: references are looked up among all of them.
#[must_use]
pub fn check(paths: &[PathBuf]) -> Report {
    let changes = match file::load(paths) {
        Ok(changes) => changes,
        Err((path, error)) => {
            let place = Some(Place::file(&path.into()));
            let finding = Finding { place, key: None, field: String::new(), message: error.to_string() };
            return Report { errors: vec![finding], warnings: Vec::new() };
        }
    };
    let origins = origins(&changes);
    let board = Arc::new(Board::default());
    let mut publisher = Publisher::new(board.clone());
    publisher.apply(changes, Instant::now());
    let errors = errors(&board);
    let resources = publisher.subscribe().borrow().as_deref().map(Resources::of).unwrap_or_default();
    let warnings = if errors.is_empty() { warnings(&resources, &origins) } else { Vec::new() };
    Report { errors, warnings }
}

fn errors(board: &Board) -> Vec<Finding> {
    let mut errors: Vec<Finding> = board.problems().into_values().flatten().collect();
    board.each_verdict(|_, verdict| errors.extend(verdict.findings().cloned()));
    errors.sort();
    errors
}

/// Where each resource stands.
fn origins(changes: &Changes) -> BTreeMap<Key, Arc<Origin>> {
    let given = changes.iter().flat_map(|event| match event {
        Event::Reset(_, all) => all.as_slice(),
        Event::Apply(given) => std::slice::from_ref(given),
        _ => &[],
    });
    let objects = given.filter_map(|given| match given {
        Given::Object(object) => Some((object.key.clone(), object.origin.clone()?)),
        Given::Broken { .. } => None,
    });
    objects.collect()
}

fn warnings(resources: &Resources, origins: &BTreeMap<Key, Arc<Origin>>) -> Vec<Warning> {
    let all = Lint::ALL.iter().flat_map(|lint| lint.look(resources).into_iter().map(|hit| (lint.id, hit)));
    let heard = all.filter(|(id, hit)| !origins.get(&hit.key).is_some_and(|origin| origin.ignores(id)));
    let mut warnings: Vec<Warning> = heard.map(|(id, hit)| warning(id, hit, origins)).collect();
    warnings.sort();
    warnings
}

fn warning(id: &'static str, hit: Hit, origins: &BTreeMap<Key, Arc<Origin>>) -> Warning {
    let Hit { key, field, message } = hit;
    let place = origins.get(&key).map(|origin| origin.place(&field));
    Warning { finding: Finding { place, key: Some(key), field, message }, id }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn checked(files: &[(&str, &str)]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let prefix = format!("{}/", folder.path().display());
        let report = check(&[folder.path().to_owned()]);
        let lines =
            report.errors.iter().map(ToString::to_string).chain(report.warnings.iter().map(ToString::to_string));
        lines.map(|line| line.replace(&prefix, "")).collect()
    }

    const POOL: &str = "apiVersion: weir.dev/v1alpha1\nkind: Pool\nmetadata: {name: web, namespace: shop}\n";

    #[test]
    fn a_right_configuration_has_no_findings() {
        let backend = "apiVersion: weir.dev/v1alpha1\nkind: Backend\nmetadata: {name: x, namespace: shop}\nspec: {pool: web, address: 'a:1'}\n";
        assert_eq!(checked(&[("a.yaml", backend), ("b.yaml", &format!("{POOL}spec: {{}}\n"))]), [""; 0]);
    }

    #[test]
    fn each_finding_is_one_line_with_file_line_resource_and_field() {
        let regex = format!("{POOL}spec:\n  match:\n  - path:\n      type: Regex\n      value: '('\n");
        let found = checked(&[("a.yaml", &regex)]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("a.yaml:8: Pool shop/web: spec.match[0].path.value: pattern"), "{found:?}");
        assert_eq!(
            checked(&[("a.yaml", &format!("{POOL}spec:\n  weight: 3\n  wieght: 70000\n"))]),
            [r#"a.yaml:6: Pool shop/web: spec.wieght: unknown field, did you mean "weight"?"#]
        );
        assert_eq!(
            checked(&[("a.yaml", &format!("{POOL}spec: {{inherit: base}}\n"))]),
            ["a.yaml:4: Pool shop/web: spec.inherit: there is no Pool shop/base"]
        );
    }

    #[test]
    fn what_is_no_manifest_is_found_too() {
        assert_eq!(checked(&[("a.yaml", "- 1\n")]).len(), 1);
        let kind = checked(&[("a.yaml", "apiVersion: weir.dev/v1alpha1\nkind: Pol\nmetadata: {name: a}\n")]);
        assert_eq!(kind, [r#"a.yaml:2: kind: "Pol" is not one of Pool, Backend, Plugin, did you mean "Pool"?"#]);
        let version = checked(&[("a.yaml", "apiVersion: weir.dev/v1\nkind: Pool\nmetadata: {name: a}\n")]);
        assert!(version[0].starts_with("a.yaml:1: apiVersion: "), "{version:?}");
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.yaml"), [0xff, 0xfe]).unwrap();
        assert!(check(&[folder.path().to_owned()]).errors[0].to_string().ends_with("a.yaml: is not UTF-8 text"));
        assert_eq!(check(&["/no/such/path".into()]).errors.len(), 1);
    }

    #[test]
    fn a_file_reached_by_two_paths_is_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("b.yaml");
        fs::write(&file, format!("{POOL}spec: {{}}\n")).unwrap();
        std::os::unix::fs::symlink("b.yaml", folder.path().join("link.yaml")).unwrap();
        let other = folder.path().join("../").join(folder.path().file_name().unwrap()).join("b.yaml");
        assert_eq!(check(&[folder.path().to_owned(), file, other]).errors, []);
    }

    #[test]
    fn a_long_list_with_something_wrong_in_each_item_is_checked_in_one_pass() {
        let item = |i| {
            format!(
                "- apiVersion: weir.dev/v1alpha1\n  kind: Pool\n  metadata: {{name: p{i}}}\n  spec:\n    weight: 70000\n"
            )
        };
        let list: String = (0..1_500).map(item).collect();
        let found = checked(&[("a.yaml", &format!("apiVersion: v1\nkind: List\nitems:\n{list}"))]);
        assert_eq!(found.len(), 1_500);
        assert_eq!(found[1_499], "a.yaml:7503: Pool default/p1499: spec.weight: must be from 0 to 65535");
    }

    #[test]
    fn a_list_of_manifests_is_taken_apart() {
        let item = |weight| {
            format!(
                "- {{apiVersion: weir.dev/v1alpha1, kind: Pool, metadata: {{name: p{weight}}}, spec: {{weight: {weight}}}}}\n"
            )
        };
        let list = format!("apiVersion: v1\nkind: List\nitems:\n{}{}", item(1), item(70_000));
        assert_eq!(
            checked(&[("a.yaml", &list)]),
            ["a.yaml:5: Pool default/p70000: spec.weight: must be from 0 to 65535"]
        );
    }

    #[test]
    fn a_warning_has_a_line_too_and_an_annotation_silences_it() {
        let end = "spec:\n  enabled: true\n  weight: 3\n";
        let dead =
            "nobody can take its requests, and no Pool comes after it: it has no Backends [chain-without-backends]";
        assert_eq!(
            checked(&[("a.yaml", &format!("{POOL}{end}"))]),
            [
                format!("a.yaml:4: warning: Pool shop/web: spec: {dead}"),
                "a.yaml:6: warning: Pool shop/web: spec.weight: has no effect: no other Pool has an equal rule and priority 0 \
                 [pool-weight-without-effect]"
                    .to_owned()
            ]
        );
        let silent =
            |lints: &str| POOL.replace("shop}", &format!("shop, annotations: {{weir.dev/ignore: '{lints}'}}}}")) + end;
        assert_eq!(checked(&[("a.yaml", &silent("pool-weight-without-effect"))]).len(), 1);
        assert_eq!(checked(&[("a.yaml", &silent("chain-without-backends, pool-weight-without-effect"))]), [""; 0]);
        assert_eq!(checked(&[("a.yaml", &silent("other"))]).len(), 2);
    }

    #[test]
    fn what_is_refused_brings_no_warnings_of_what_is_missing() {
        let backend =
            "apiVersion: weir.dev/v1alpha1\nkind: Backend\nmetadata: {name: x, namespace: shop}\nspec: {pool: web}\n";
        let found = checked(&[("a.yaml", &format!("{POOL}spec: {{weight: 3}}\n---\n{backend}"))]);
        assert!(found.len() == 1 && !found[0].contains("warning"), "{found:?}");
    }

    #[test]
    fn a_report_is_one_object_with_each_finding() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.yaml"), format!("{POOL}spec: {{}}\n")).unwrap();
        let report = serde_json::to_value(check(&[folder.path().to_owned()])).unwrap();
        assert_eq!((&report["errors"], &report["warnings"]), (&0.into(), &1.into()));
        let finding = &report["findings"][0];
        let expected = [("severity", "warning"), ("lint", "chain-without-backends"), ("resource", "Pool shop/web")];
        assert!(expected.iter().all(|(name, value)| finding[name] == *value) && finding["line"] == 4, "{finding}");
    }
}
