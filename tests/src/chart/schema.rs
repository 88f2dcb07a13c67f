//! The JSON schema of the values.

use serde_json::{Map, Value, json};

use super::values::{Content, Node};

/// In `@schema`: an object of Kubernetes, whose fields its API server checks.
const FREE_FORM: &str = "freeForm";

/// A strict schema: types, and no keys that are not there.
#[must_use]
pub fn schema(values: &[Node]) -> Value {
    let mut schema = object(values);
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    // Helm puts it into the values of a chart that another one depends on.
    schema["properties"]["global"] = json!({"type": "object", "description": "Set by Helm in a chart's dependencies."});
    schema
}

fn object(values: &[Node]) -> Value {
    let properties: Map<String, Value> = values.iter().map(|node| (node.name.clone(), property(node))).collect();
    json!({"type": "object", "additionalProperties": false, "properties": properties})
}

fn property(node: &Node) -> Value {
    let mut property = match &node.content {
        Content::Section(values) => object(values),
        Content::Value { default, schema } => value(default, schema.clone()),
    };
    if !node.description.is_empty() {
        property["description"] = json!(node.description);
    }
    property
}

fn value(default: &Value, mut schema: Map<String, Value>) -> Value {
    let free = schema.remove(FREE_FORM).is_some();
    schema.entry("type").or_insert_with(|| json!(type_of(default)));
    if default.is_object() && !free {
        schema.entry("additionalProperties").or_insert(json!(false));
    }
    schema.insert("default".to_owned(), default.clone());
    Value::Object(schema)
}

fn type_of(default: &Value) -> &'static str {
    match default {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::read;

    #[test]
    fn types_come_from_defaults_and_limits_from_comments() {
        let text =
            "a:\n  # B.\n  # @schema {minimum: 1}\n  b: 2\n# C.\n# @schema {freeForm: true}\nc: {x: y}\n# D.\nd: {}\n";
        let schema = schema(&read(text).unwrap());
        let properties = &schema["properties"];
        assert_eq!(
            (&schema["additionalProperties"], &properties["a"]["additionalProperties"]),
            (&json!(false), &json!(false))
        );
        let b = json!({"type": "integer", "minimum": 1, "default": 2, "description": "B."});
        assert_eq!(properties["a"]["properties"]["b"], b);
        assert_eq!(properties["c"], json!({"type": "object", "default": {"x": "y"}, "description": "C."}));
        assert_eq!(properties["d"]["additionalProperties"], json!(false));
    }
}
