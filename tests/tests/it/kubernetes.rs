//! What a real API server makes of Weir's kinds.

use weir_tests::Kube;
use weir_tests::manifest::example_folders;

/// A manifest without a namespace; `spec` is the inside of a flow mapping.
fn manifest(kind: &str, spec: &str) -> String {
    format!("apiVersion: weir.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: web}}\nspec: {{{spec}}}\n")
}

/// Spec of a Pool, and what the refusal says: the field's whole path, and where there is a rule, its words.
const WRONG_POOLS: [(&str, &str); 25] = [
    ("prioritty: 1", "unknown field \"spec.prioritty\""),
    ("balance: {methode: Random}", "unknown field \"spec.balance.methode\""),
    ("match: [{path: {type: Prefix, val: /}}]", "unknown field \"spec.match[0].path.val\""),
    ("enabled: 'yes'", "spec.enabled"),
    ("priority: high", "spec.priority"),
    ("weight: 65536", "spec.weight"),
    ("balance: {method: Fastest}", "spec.balance.method"),
    ("balance: {method: Random, hash: {source: Address}}", "spec.balance.hash: Invalid value"),
    ("balance: {method: Hash, hash: {source: Header}}", "spec.balance.hash.name"),
    ("balance: {method: Hash, hash: {source: Address, name: a}}", "does not go with source Address"),
    ("match: [{path: {type: Prefix, value: api}}]", "must begin with '/'"),
    ("match: [{path: {type: Prefix, value: /, order: 1}}]", "spec.match[0].path.order"),
    ("match: [{path: {type: Exact, value: /, caseInsensitive: true}}]", "spec.match[0].path.caseInsensitive"),
    ("match: [{headers: [{name: a, type: Exact}]}]", "spec.match[0].headers[0].value"),
    ("match: [{query: [{name: a, type: Present, value: b}]}]", "spec.match[0].query[0].value"),
    ("timeouts: {read: soon}", "must be a duration such as"),
    ("health: {passive: {failTimeout: '60'}}", "spec.health.passive.failTimeout"),
    ("health: {panicThreshold: 101}", "spec.health.panicThreshold"),
    ("retry: {bufferLimit: 64KB}", "must be a size such as"),
    ("retry: {statuses: ['600']}", "spec.retry.statuses[0]"),
    ("retry: {causes: [boredom]}", "spec.retry.causes[0]"),
    ("plugins: [{param: 1}]", "one of name and type must be there"),
    ("plugins: [{name: a, type: Random}]", "spec.plugins[0].type: Invalid value"),
    ("plugins: [{type: Lua}]", "spec.plugins[0].type: Unsupported value"),
    ("config: [1]", "spec.config"),
];

/// As [`WRONG_POOLS`], for Backends.
const WRONG_BACKENDS: [(&str, &str); 11] = [
    ("address: 'a:1'", "spec.pool: Required value"),
    ("pool: web, adress: 'a:1'", "unknown field \"spec.adress\""),
    ("pool: web, address: 10.0.0.1", "spec.address"),
    ("pool: web", "one of address and service must be there"),
    ("pool: web, address: 'a:1', service: {name: web, port: 80}", "spec.service: Invalid value"),
    ("pool: web, service: {name: web}", "spec.service.port: Required value"),
    ("pool: web, service: {name: web, port: HTTP}", "must be the name or the number of a port"),
    ("pool: web, service: {name: web, port: true}", "spec.service.port"),
    ("pool: web, address: 'a:1', weight: -1", "spec.weight"),
    ("pool: web, address: 'a:1', weight: 65536", "spec.weight"),
    ("pool: web, address: 'a:1', labels: {zone: 1}", "spec.labels.zone"),
];

/// As [`WRONG_POOLS`], for Plugins.
const WRONG_PLUGINS: [(&str, &str); 16] = [
    ("param: {}", "spec.type: Required value"),
    ("type: Luck", "spec.type: Unsupported value"),
    ("type: Random, parm: {}", "unknown field \"spec.parm\""),
    ("type: Random, failurePolicy: Ignore", "spec.failurePolicy"),
    ("type: Random, timeout: 5", "spec.timeout"),
    ("type: Random, lua: {source: x}", "spec.lua: Invalid value"),
    ("type: Random, wasm: {file: /a}", "spec.wasm: Invalid value"),
    ("type: Lua", "is needed with type Lua"),
    ("type: Lua, lua: {}", "one of source and configMap must be there"),
    ("type: Lua, lua: {source: x, configMap: {name: a, key: b}}", "spec.lua.configMap: Invalid value"),
    ("type: Lua, lua: {configMap: {name: a}}", "spec.lua.configMap.key: Required value"),
    ("type: Lua, lua: {source: x, memoryLimit: much}", "must be a size such as"),
    ("type: Wasm, wasm: {file: /a, inline: AA==}", "exactly one of configMap, url, file and inline"),
    ("type: Wasm, wasm: {url: 'https://a/b'}", "spec.wasm.sha256: Invalid value"),
    ("type: Wasm, wasm: {url: 'https://a/b', sha256: abc}", "must be 64 hexadecimal digits"),
    ("type: Wasm, wasm: {file: a.wasm, instance: Single}", "spec.wasm.instance"),
];

#[tokio::test]
#[ignore = "needs the test cluster: tests/run starts it"]
async fn the_api_server_refuses_each_mistake_and_names_its_field() {
    let kube = Kube::shared().await;
    kube.crds().await;
    let namespace = kube.namespace().await;
    let pools = WRONG_POOLS.map(|(spec, part)| (manifest("Pool", spec), part));
    let backends = WRONG_BACKENDS.map(|(spec, part)| (manifest("Backend", spec), part));
    let plugins = WRONG_PLUGINS.map(|(spec, part)| (manifest("Plugin", spec), part));
    for (text, part) in pools.into_iter().chain(backends).chain(plugins) {
        let refusal = kube.apply_in(&namespace, &text).await.expect_err(&text).to_string();
        assert!(refusal.contains(part), "{part:?} is not in {refusal:?}");
    }
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/run starts it"]
async fn the_api_server_takes_every_example_as_it_is() {
    let kube = Kube::shared().await;
    kube.crds().await;
    for folder in example_folders() {
        // The examples name namespaces of their own; nothing of them is to stay.
        kube.kubectl(&["apply", "--dry-run=client", "--validate=strict", "-f", folder.to_str().unwrap()])
            .await
            .unwrap();
    }
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/run starts it"]
async fn kubectl_explains_every_field() {
    let kube = Kube::shared().await;
    kube.crds().await;
    let mut paths = ["pool.spec", "backend.spec", "plugin.spec"].map(str::to_owned).to_vec();
    let mut fields = 0;
    while let Some(path) = paths.pop() {
        let text = kube.kubectl(&["explain", &path]).await.unwrap();
        for (name, kind, words) in explained(&text) {
            assert!(words.len() > 8, "{path}.{name} is explained by {words:?}");
            fields += 1;
            if kind.contains("Object") {
                paths.push(format!("{path}.{name}"));
            }
        }
    }
    assert!(fields > 50, "only {fields} fields are explained");
}

/// Name, type and description of each field in the output of `kubectl explain`.
fn explained(text: &str) -> Vec<(&str, &str, String)> {
    let mut fields = Vec::new();
    // What is a string or a number, kubectl calls an object; it has no fields.
    let listed = text.split_once("FIELDS:\n").map_or("", |(_, listed)| listed);
    for line in listed.lines() {
        if let Some((name, kind)) = line.split_once("\t<") {
            fields.push((name.trim(), kind, String::new()));
        } else if !line.starts_with("  enum:") {
            let (_, _, words) = fields.last_mut().unwrap();
            words.push_str(line.trim());
        }
    }
    fields
}
