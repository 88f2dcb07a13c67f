//! The repository keeps its own rules.

use std::fs;

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
