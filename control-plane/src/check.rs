//! `weir check`: every check that both planes make of a manifest, offline.

use std::path::PathBuf;

use tokio::time::Instant;

use crate::finding::{Finding, Place};
use crate::publish::Publisher;
use crate::source::file;
use crate::status::Board;

/// Checks files and folders together, as one configuration: references are looked up among all of them.
/// Findings are in order of file and line; none means that all is well.
#[must_use]
pub fn check(paths: &[PathBuf]) -> Vec<Finding> {
    let changes = match file::load(paths) {
        Ok(changes) => changes,
        Err((path, error)) => {
            let place = Some(Place::file(&path.into()));
            return vec![Finding { place, key: None, field: String::new(), message: error.to_string() }];
        }
    };
    let board = std::sync::Arc::new(Board::default());
    Publisher::new(board.clone()).apply(changes, Instant::now());
    let mut findings: Vec<Finding> = board.problems().into_values().flatten().collect();
    board.each_verdict(|_, verdict| findings.extend(verdict.findings().cloned()));
    findings.sort();
    findings
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
        check(&[folder.path().to_owned()]).iter().map(|f| f.to_string().replace(&prefix, "")).collect()
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
        assert!(check(&[folder.path().to_owned()])[0].to_string().ends_with("a.yaml: is not UTF-8 text"));
        assert_eq!(check(&["/no/such/path".into()]).len(), 1);
    }

    #[test]
    fn a_file_reached_by_two_paths_is_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("b.yaml");
        fs::write(&file, format!("{POOL}spec: {{}}\n")).unwrap();
        std::os::unix::fs::symlink("b.yaml", folder.path().join("link.yaml")).unwrap();
        let other = folder.path().join("../").join(folder.path().file_name().unwrap()).join("b.yaml");
        assert_eq!(check(&[folder.path().to_owned(), file, other]), []);
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
}
