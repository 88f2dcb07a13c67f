//! Manifests that are wrong: `weir check` says where and what, and a running Weir goes on without them.

use std::fs;

use weir_tests::manifest::{backend, pool, web};
use weir_tests::program::run;
use weir_tests::{Backend, Weir};

/// What `weir check` prints about a file.
fn check(text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("web.yaml");
    fs::write(&file, text).unwrap();
    let output = run("weir", &["check", folder.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{text}");
    String::from_utf8(output.stdout).unwrap()
}

/// The only finding about a file has these parts.
#[track_caller]
fn finds(text: &str, parts: &[&str]) {
    let found = check(text);
    assert_eq!(found.lines().count(), 1, "{found}");
    for part in parts {
        assert!(found.contains(part), "{part:?} is not in {found:?}");
    }
}

#[test]
fn a_file_that_does_not_parse_is_named_with_its_line() {
    finds("kind: Pool\n  bad: [indent\n", &["web.yaml:2"]);
}

#[test]
fn a_misspelt_field_is_named_with_the_nearest_known_one() {
    finds(&pool("web", "prioritty: 1"), &["web.yaml:", "Pool test/web", "prioritty", "priority"]);
    finds(&pool("web", "balance: {methode: Random}"), &["methode", "method"]);
}

#[test]
fn a_duplicate_name_is_found() {
    finds(&(pool("web", "") + &pool("web", "")), &["Pool test/web"]);
}

#[test]
fn a_backend_without_its_pool_is_found() {
    finds(&backend("b", "nowhere", "10.0.0.1:80", ""), &["Backend test/b", "pool", "nowhere"]);
}

#[test]
fn a_regex_that_does_not_compile_is_found() {
    finds(&pool("web", "match: [{path: {type: Regex, value: '('}}]"), &["Pool test/web", "match[0].path"]);
}

#[test]
fn a_regex_that_compiles_to_too_much_is_found() {
    let pattern = r"(\w{500}){500}";
    finds(&pool("web", &format!("match: [{{path: {{type: Regex, value: '{pattern}'}}}}]")), &["match[0].path"]);
}

#[test]
fn a_weight_out_of_range_is_found() {
    let of = |weight: &str| pool("web", "") + &backend("b", "web", "10.0.0.1:80", &format!("weight: {weight}"));
    finds(&of("-1"), &["Backend test/b", "weight"]);
    finds(&of("65536"), &["Backend test/b", "weight"]);
}

#[test]
fn an_address_that_is_none_is_found() {
    for address in ["10.0.0.1", "300.1.1.1:80", "http://a:80", ":80"] {
        finds(&(pool("web", "") + &backend("b", "web", address, "")), &["Backend test/b", "address"]);
    }
}

#[test]
fn an_unknown_kind_and_version_are_found() {
    finds(&pool("web", "").replace("kind: Pool", "kind: Pond"), &["Pond"]);
    finds(&pool("web", "").replace("v1alpha1", "v7"), &["v7"]);
}

#[test]
fn hash_settings_belong_to_the_method_hash() {
    finds(&pool("web", "balance: {method: Random, hash: {source: Address}}"), &["Pool test/web", "hash"]);
}

#[test]
fn every_bad_resource_gets_its_own_line() {
    let text = pool("a", "weight: -1") + &pool("b", "") + &pool("c", "balance: {method: Guess}");
    let found = check(&text);
    assert_eq!(found.lines().count(), 2, "{found}");
    assert!(found.contains("test/a") && found.contains("test/c"), "{found}");
}

#[tokio::test]
async fn s1_a_file_that_breaks_harms_no_other_file() {
    let [a, b] = Backend::start_many("web").await;
    let weir = Weir::start(&web("", &[a.address()])).await;
    weir.edit("broken.yaml", "kind: Pool\n  bad: [indent\n");
    let other =
        pool("other", "match: [{path: {type: Exact, value: /other}}]") + &backend("o", "other", b.address(), "");
    weir.write("other.yaml", &other).await;
    assert_eq!(weir.get("/other").await.text(), "web-2");
    assert_eq!(weir.get("/").await.text(), "web-1");
}
