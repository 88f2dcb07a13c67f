//! Fills the defaults of a schema in, as the API server does.

use serde_json::Value;

/// Every field that is left out and has a default gets it.
pub(crate) fn fill(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(map) => {
            let properties = schema["properties"].as_object();
            for (name, property) in properties.into_iter().flatten() {
                if let Some(default) = property.get("default").filter(|_| !map.contains_key(name)) {
                    map.insert(name.clone(), default.clone());
                }
            }
            for (name, child) in map {
                fill(properties.and_then(|known| known.get(name)).unwrap_or(&schema["additionalProperties"]), child);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| fill(&schema["items"], item)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use weir_proto::model::Kind;

    use super::*;
    use crate::api;

    #[test]
    fn what_is_left_out_gets_its_default_and_the_rest_stays() {
        let mut manifest = json!({"metadata": {"name": "a"}, "spec": {"pool": "a", "address": "h:1", "weight": 3}});
        fill(api::schema(Kind::Backend), &mut manifest);
        let spec = &manifest["spec"];
        assert_eq!((&spec["weight"], &spec["enabled"], &spec["role"]), (&json!(3), &json!(true), &json!("Active")));
        assert!(spec.get("tls").is_none());
    }
}
