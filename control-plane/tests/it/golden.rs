//! `tests/testdata/translate`: manifests in, what proxies get and what is said about each resource out.
//! `UPDATE=1` rewrites the expected side.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use super::proxy::Proxy;
use super::world::{Folder, World};

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/testdata/translate");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut cases: Vec<PathBuf> = files.filter(|path| path.to_string_lossy().ends_with(".in.yaml")).collect();
    cases.sort();
    cases
}

/// What comes of a manifest file, as YAML: conditions by resource, then each message.
async fn translate(input: &Path) -> String {
    let folder = Folder::new(&[("in.yaml", &fs::read_to_string(input).unwrap())]);
    let world = World::start(&folder).await;
    let mut out = String::from("resources:\n");
    for resource in world.json("/api/v1/resources").await["resources"].as_array().unwrap() {
        let text = |field: &str| resource[field].as_str().unwrap();
        writeln!(out, "  {} {}/{}:", text("kind"), text("namespace"), text("name")).unwrap();
        for condition in resource["conditions"].as_array().unwrap() {
            let part = |field: &str| condition[field].as_str().unwrap();
            writeln!(out, "    {}: [{:?}, {}, {:?}]", part("type"), part("status"), part("reason"), part("message"))
                .unwrap();
        }
    }
    out.push_str("messages: |\n");
    let mut proxy = Proxy::subscribe(world.grpc, "golden").await;
    proxy.accept().await;
    for resource in proxy.chunks.iter().flat_map(|chunk| &chunk.upserts) {
        for line in format!("{:#?}", resource.body.as_ref().unwrap()).lines() {
            writeln!(out, "  {line}").unwrap();
        }
    }
    world.stop().await;
    out
}

#[tokio::test]
async fn manifests_translate_as_the_golden_files_say() {
    let cases = cases();
    assert!(cases.len() >= 4);
    for input in cases {
        let expected = PathBuf::from(input.to_string_lossy().replace(".in.yaml", ".out.yaml"));
        let out = translate(&input).await;
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&expected, &out).unwrap();
        }
        let file = fs::read_to_string(&expected).unwrap_or_default();
        assert!(file == out, "{} differs:\n{out}", expected.display());
    }
}
