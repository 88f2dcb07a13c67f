//! Runs the CEL rules of the schemas here, as the API server would.

use std::cell::LazyCell;

use kube::core::cel::{CompiledSchema, Validator, compile_schema};
use serde_json::Value;
use weir_proto::model::Kind;

use super::structure::Wrong;
use crate::api;

/// Compiled once a thread: the evaluator cannot be shared, and compiling takes longer than checking a
/// thousand manifests.
struct Rules {
    validator: Validator,
    /// In the order of [`Kind::ALL`].
    schemas: [CompiledSchema; Kind::ALL.len()],
}

thread_local! {
    static RULES: LazyCell<Rules> = const {
        LazyCell::new(|| Rules {
            validator: Validator::new(),
            schemas: Kind::ALL.map(|kind| compile_schema(api::schema(kind))),
        })
    };
}

/// Every rule that `manifest` breaks. Its structure must be right.
pub(super) fn check(kind: Kind, manifest: &Value) -> Vec<Wrong> {
    RULES.with(|rules| {
        let schema = &rules.schemas[kind as usize];
        let broken = rules.validator.validate_compiled(schema, manifest, None).err();
        broken.into_iter().flatten().map(|e| Wrong::new(e.field_path, e.message)).collect()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn broken(kind: Kind, spec: &Value) -> Vec<String> {
        check(kind, &json!({"spec": spec})).into_iter().map(|w| format!("{}: {}", w.field, w.message)).collect()
    }

    #[test]
    fn every_rule_compiles() {
        for kind in Kind::GIVEN {
            assert!(!compile_schema(api::schema(kind)).has_errors(), "{kind}");
        }
    }

    #[test]
    fn rules_that_span_fields_name_the_field() {
        let pool = |spec| broken(Kind::Pool, &spec);
        assert_eq!(
            pool(json!({"balance": {"method": "Random", "hash": {"source": "Address"}}})),
            ["spec.balance.hash: goes with method Hash only"]
        );
        assert_eq!(
            pool(json!({"match": [{"path": {"type": "Prefix", "value": "api", "order": 3}}]})),
            ["spec.match[0].path.value: must begin with '/'", "spec.match[0].path.order: goes with type Regex only"]
        );
        assert_eq!(
            pool(json!({"match": [{"headers": [{"name": "a", "type": "Exact"}]}]})),
            ["spec.match[0].headers[0].value: is needed for types Exact and Regex"]
        );
        assert_eq!(pool(json!({"balance": {"method": "Hash", "hash": {"source": "Address"}}})), [""; 0]);
    }

    #[test]
    fn durations_sizes_masks_and_addresses_say_what_they_look_like() {
        let pool = |spec| broken(Kind::Pool, &spec);
        for text in ["5", "", "1.5s", "2 s", "1d"] {
            let found = pool(json!({"timeouts": {"read": text}}));
            assert_eq!(found, ["spec.timeouts.read: must be a duration such as 250ms, 2s, 1m or 1m30s"], "{text:?}");
        }
        assert_eq!(
            pool(json!({"timeouts": {"read": "1m30s"}, "retry": {"bufferLimit": "64Ki", "statuses": ["50x"]}})),
            [""; 0]
        );
        assert_eq!(
            pool(json!({"retry": {"bufferLimit": "64k"}})),
            ["spec.retry.bufferLimit: must be a size such as 512, 64Ki, 1Mi or 1Gi"]
        );
        assert_eq!(pool(json!({"health": {"passive": {"statuses": ["6xx"]}}})).len(), 1);
        let found = broken(Kind::Backend, &json!({"pool": "a", "address": "nowhere"}));
        assert_eq!(found, ["spec.address: must be host:port, [v6]:port, name:port, unix:/path or unix:@name"]);
    }

    #[test]
    fn a_backend_has_an_address_or_a_service_with_a_port() {
        let backend = |spec| broken(Kind::Backend, &spec);
        let service = |port: Value| json!({"pool": "a", "service": {"name": "web", "port": port}});
        let right = [json!("http"), json!(80), json!(65_535)];
        assert!(right.into_iter().all(|port| backend(service(port)).is_empty()));
        for port in [json!(-1), json!(""), json!("Http"), json!("a".repeat(64))] {
            let found = backend(service(port.clone()));
            assert_eq!(found, ["spec.service.port: must be the name or the number of a port"], "{port}");
        }
        assert_eq!(backend(json!({"pool": "a"})), ["spec: one of address and service must be there"]);
        let both = json!({"pool": "a", "address": "h:1", "service": {"name": "web", "port": 80}});
        assert_eq!(backend(both), ["spec.service: does not go with address: write one of them"]);
    }

    #[test]
    fn a_plugin_has_the_code_of_its_type_from_one_source() {
        let plugin = |spec| broken(Kind::Plugin, &spec);
        assert_eq!(plugin(json!({"type": "Random", "param": {"any": [null]}})), [""; 0]);
        assert_eq!(plugin(json!({"type": "Lua"})), ["spec.lua: is needed with type Lua"]);
        assert_eq!(plugin(json!({"type": "Wasm"})), ["spec.wasm: is needed with type Wasm"]);
        let both = json!({"type": "Random", "lua": {"source": "x"}, "wasm": {"file": "/a"}});
        assert_eq!(plugin(both), ["spec.lua: goes with type Lua only", "spec.wasm: goes with type Wasm only"]);
        let lua = |lua: Value| plugin(json!({"type": "Lua", "lua": lua}));
        let named = json!({"name": "a", "key": "b"});
        assert_eq!(lua(json!({})), ["spec.lua: one of source and configMap must be there"]);
        let both = json!({"source": "x", "configMap": named});
        assert_eq!(lua(both), ["spec.lua.configMap: does not go with source: write one of them"]);
        let wasm = |wasm: Value| plugin(json!({"type": "Wasm", "wasm": wasm}));
        let sha256 = "0123456789abcdef".repeat(4);
        for right in
            [json!({"configMap": named}), json!({"inline": "AA=="}), json!({"url": "https://a/b", "sha256": sha256})]
        {
            assert_eq!(wasm(right), [""; 0]);
        }
        let one = "spec.wasm: exactly one of configMap, url, file and inline must be there";
        assert_eq!(wasm(json!({})), [one]);
        assert_eq!(wasm(json!({"file": "/a", "inline": "AA=="})), [one]);
        assert_eq!(wasm(json!({"url": "https://a/b"})), ["spec.wasm.sha256: is needed with url"]);
        assert_eq!(wasm(json!({"file": "/a", "sha256": sha256})), ["spec.wasm.sha256: goes with url only"]);
        assert_eq!(wasm(json!({"file": "a.wasm"})), ["spec.wasm.file: must be an absolute path"]);
    }

    #[test]
    fn a_use_of_a_plugin_has_a_name_or_a_type() {
        let uses = |used: Value| broken(Kind::Pool, &json!({"plugins": [{"name": "a"}, used]}));
        assert_eq!(uses(json!({"param": 1})), ["spec.plugins[1]: one of name and type must be there"]);
        let both = json!({"name": "a", "type": "Random"});
        assert_eq!(uses(both), ["spec.plugins[1].type: does not go with name: write one of them"]);
    }
}
