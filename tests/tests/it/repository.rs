//! The repository keeps its own rules.

use std::fs;
use std::path::Path;

use weir_tests::manifest::repository;

#[test]
fn every_file_of_this_folder_is_a_module_of_the_binary() {
    let main = fs::read_to_string(repository().join("tests/tests/it.rs")).unwrap();
    for entry in fs::read_dir(repository().join("tests/tests/it")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let module = format!("mod {};", name.trim_end_matches(".rs"));
        assert!(main.lines().any(|line| line.trim() == module), "tests/tests/it.rs lacks `{module}`");
    }
}

#[test]
fn the_root_holds_nothing_but_the_agreed_folders() {
    let listed = std::process::Command::new("git").args(["ls-files", "-z"]).current_dir(repository()).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let folders = listed.split('\0').filter_map(|path| path.split_once('/')).map(|(folder, _)| folder);
    for folder in folders {
        let agreed = [".ci", "control-plane", "data-plane", "deploy", "proto", "tests"];
        assert!(agreed.contains(&folder), "{folder}/ is not one of {agreed:?}");
    }
}

/// The promises that hold today; `ARCHITECTURE.md` says what their letters stand for.
const PROMISES: [&str; 61] = [
    "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "m9", "c1", "c2", "c3", "c4", "c5", "c6", "c7", "a1", "a2", "a3",
    "a4", "a5", "a6", "r5", "r6", "f1", "f2", "f3", "f4", "f5", "f6", "h1", "h2", "h3", "h4", "h5", "h6", "h7", "h8",
    "u1", "u2", "u3", "u4", "u5", "s1", "s2", "s3", "s4", "s5", "s6", "t1", "t2", "t3", "p1", "p2", "p3", "p4", "p5",
    "p6", "p7", "p8", "r4",
];

#[test]
fn every_promise_is_named_by_a_test() {
    let mut source = String::new();
    for folder in ["proto", "control-plane", "data-plane", "tests/tests"] {
        collect(&repository().join(folder), &mut source);
    }
    for promise in PROMISES {
        assert!(source.contains(&format!("fn {promise}_")), "no test is named {promise}_...");
    }
}

/// Adds all Rust source below `folder`.
fn collect(folder: &Path, source: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, source);
        } else if path.extension().is_some_and(|e| e == "rs") {
            source.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}
