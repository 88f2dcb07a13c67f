//! Plugins and what they name, from files to a proxy and back.

use serde_json::Value;
use weir_proto::model::Key;

use super::proxy::{Got, Proxy};
use super::world::{Folder, World};

const PLUGIN: &str = "---\napiVersion: weir.dev/v1alpha1\nkind: Plugin\nmetadata: {name: p}\n\
                      spec: {type: Lua, lua: {configMap: {name: scripts, key: a.lua}}}\n";
const POOL: &str =
    "---\napiVersion: weir.dev/v1alpha1\nkind: Pool\nmetadata: {name: a}\nspec: {plugins: [{name: p}]}\n";

fn scripts(text: &str) -> String {
    format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: scripts}}\ndata: {{a.lua: {text}}}\n")
}

fn condition<'a>(shown: &'a Value, kind: &str, condition: &str) -> &'a Value {
    let resource = shown["resources"].as_array().unwrap().iter().find(|r| r["kind"] == kind).unwrap();
    resource["conditions"].as_array().unwrap().iter().find(|c| c["type"] == condition).unwrap()
}

fn got(got: Got) -> (Vec<String>, Vec<String>) {
    (got.upserts, got.removed)
}

fn own(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test]
async fn rule_4_a_plugin_comes_before_its_pools_follows_its_config_map_and_goes_after_them() {
    let folder = Folder::new(&[("pool.yaml", &(POOL.to_owned() + PLUGIN)), ("scripts.yaml", &scripts("one"))]);
    let world = World::start(&folder).await;
    let mut proxy = Proxy::subscribe(world.grpc, "p").await;
    assert_eq!(got(proxy.accept().await), (own(&["Plugin default/p", "Pool default/a"]), own(&[])));
    folder.write("scripts.yaml", &scripts("two"));
    assert_eq!(got(proxy.accept().await), (own(&["Plugin default/p"]), own(&[])));
    folder.write("pool.yaml", POOL);
    world.shows("/api/v1/resources", |s| condition(s, "Pool", "ResolvedRefs")["reason"] == "PluginNotFound").await;
    folder.delete("pool.yaml");
    assert_eq!(got(proxy.accept().await), (own(&[]), own(&["Pool default/a", "Plugin default/p"])), "both at once");
    let page = world.get("/api/v1/resources").await;
    assert!(!page.contains("two"), "what is in a ConfigMap is on no page: {page}");
    world.stop().await;
}

#[tokio::test]
async fn s4_a_plugin_that_a_proxy_refuses_says_so_in_its_status() {
    let folder = Folder::new(&[("pool.yaml", &(POOL.to_owned() + PLUGIN)), ("scripts.yaml", &scripts("one"))]);
    let world = World::start(&folder).await;
    let mut proxy = Proxy::subscribe(world.grpc, "p").await;
    let first = proxy.delta().await;
    proxy.nack(first.nonce, &Key::plugin("default/p".parse().unwrap()), None).await;
    let page = "/api/v1/resources";
    let shown = world.shows(page, |s| condition(s, "Plugin", "Programmed")["reason"] == "Rejected").await;
    let message = condition(&shown, "Plugin", "Programmed")["message"].as_str().unwrap();
    assert_eq!(message, "on 0 of 1 proxies; refused by p: spec.weight: too odd");
    world.stop().await;
}

#[tokio::test]
async fn s2_a_restart_beside_a_missing_plugin_takes_neither_it_nor_its_pool_from_a_proxy() {
    let folder = Folder::new(&[("pool.yaml", &(POOL.to_owned() + PLUGIN)), ("scripts.yaml", &scripts("one"))]);
    let world = World::start(&folder).await;
    let mut proxy = Proxy::subscribe(world.grpc, "p").await;
    proxy.accept().await;
    let held = proxy.held.clone();
    world.stop().await;
    folder.write("pool.yaml", POOL);
    let world = World::start(&folder).await;
    let mut proxy = Proxy::resume(world.grpc, "p", held).await;
    assert_eq!(got(proxy.accept().await), (own(&[]), own(&[])));
    folder.delete("pool.yaml");
    assert_eq!(got(proxy.accept().await).1, own(&["Pool default/a", "Plugin default/p"]));
    world.stop().await;
}
