//! `weir check` as people and their pipelines use it.

use std::fs;
use std::process::Output;

use serde_json::Value;
use tempfile::TempDir;
use weir_control_plane::lint::Lint;
use weir_tests::manifest::{backend, example_folders, pool, repository};
use weir_tests::port::free_address;
use weir_tests::program::run;

/// A folder with one file.
fn folder(text: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("web.yaml"), text).unwrap();
    folder
}

fn check(folder: &TempDir, flags: &[&str]) -> Output {
    run("weir", &[&["check", folder.path().to_str().unwrap()], flags].concat())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Good, but for a weight that nobody reads.
fn weighed() -> String {
    pool("web", "weight: 3") + &backend("web-1", "web", free_address(), "")
}

#[test]
fn warnings_fail_a_check_only_if_it_is_strict() {
    let folder = folder(&weighed());
    for (flags, status) in [(&[][..], 0), (&["--strict"], 1)] {
        let output = check(&folder, flags);
        assert_eq!(output.status.code(), Some(status), "{flags:?}");
        let line = text(&output.stdout);
        assert!(line.contains("web.yaml:") && line.contains(": warning: Pool test/web: spec.weight: "), "{line}");
        assert!(line.ends_with("[pool-weight-without-effect]\n"), "{line}");
        assert_eq!(text(&output.stderr), "0 errors, 1 warning\n");
    }
    let silent =
        weighed().replace("name: web,", "name: web, annotations: {weir.dev/ignore: pool-weight-without-effect},");
    let output = check(&self::folder(&silent), &["--strict"]);
    assert!(
        output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(),
        "{}",
        text(&output.stdout)
    );
}

#[test]
fn other_programs_get_one_object_of_json() {
    let output = check(&folder(&weighed()), &["--output", "json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &report["errors"], &report["warnings"]), (Some(0), &0.into(), &1.into()));
    let finding = &report["findings"][0];
    assert_eq!((&finding["severity"], &finding["lint"]), (&"warning".into(), &"pool-weight-without-effect".into()));
    assert!(finding["file"].as_str().unwrap().ends_with("web.yaml") && finding["line"].as_u64() > Some(1), "{finding}");
    let output = check(&folder(&pool("web", "wieght: 3")), &["--output", "json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &report["findings"][0]["severity"]), (Some(1), &"error".into()));
    assert_eq!(text(&output.stderr), "1 error, 0 warnings\n");
}

#[test]
fn no_example_has_a_mistake() {
    for folder in example_folders() {
        let output = run("weir", &["check", "--strict", folder.to_str().unwrap()]);
        assert!(output.status.success(), "{}: {}", folder.display(), text(&output.stdout));
    }
}

#[test]
fn the_readme_and_the_help_name_every_lint() {
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    let help = text(&run("weir", &["check", "--help"]).stdout);
    for lint in Lint::ALL {
        assert!(readme.contains(&format!("\n| `{}` | {} |\n", lint.id, lint.about)), "README: {}", lint.id);
        assert!(help.contains(lint.id) && help.contains(lint.about), "help: {}", lint.id);
    }
}
