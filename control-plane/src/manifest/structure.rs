//! Checks a value against the structure of a schema: types, names of fields, bounds. Unlike a decoder it
//! goes on after the first finding.

use serde_json::{Map, Value};
use weir_proto::nearest::suggest;

/// Keyword for a value of either type.
const INT_OR_STRING: &str = "x-kubernetes-int-or-string";

/// A field and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) field: String,
    pub(super) message: String,
}

impl Wrong {
    pub(super) fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

/// Everything that is wrong with the structure of `value`.
pub(super) fn check(schema: &Value, value: &Value) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    check_at(schema, value, String::new(), &mut wrong);
    wrong
}

fn check_at(schema: &Value, value: &Value, path: String, wrong: &mut Vec<Wrong>) {
    if let Some(message) = wrong_type(schema, value).or_else(|| wrong_value(schema, value)) {
        return wrong.push(Wrong { field: path, message });
    }
    match value {
        Value::Object(map) => check_fields(schema, map, &path, wrong),
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                check_at(&schema["items"], item, format!("{path}[{i}]"), wrong);
            }
        }
        _ => {}
    }
}

fn check_fields(schema: &Value, map: &Map<String, Value>, path: &str, wrong: &mut Vec<Wrong>) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    let Some(properties) = schema["properties"].as_object() else {
        for (name, value) in map {
            check_at(&schema["additionalProperties"], value, below(name), wrong);
        }
        return;
    };
    for (name, value) in map {
        match properties.get(name) {
            Some(property) => check_at(property, value, below(name), wrong),
            None => wrong.push(Wrong::new(below(name), unknown_field(name, properties))),
        }
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !map.contains_key(name) {
            wrong.push(Wrong::new(below(name), "is missing"));
        }
    }
}

fn wrong_type(schema: &Value, value: &Value) -> Option<String> {
    if schema[INT_OR_STRING] == true {
        let right = value.is_i64() || value.is_u64() || value.is_string();
        return (!right).then(|| format!("must be a whole number or a string, and is {}", describe(value)));
    }
    let (right, wanted) = match schema["type"].as_str()? {
        "object" => (value.is_object(), "a mapping"),
        "array" => (value.is_array(), "a list"),
        "string" => (value.is_string(), "a string"),
        "boolean" => (value.is_boolean(), "true or false"),
        "integer" => (value.is_i64() || value.is_u64(), "a whole number"),
        _ => return None,
    };
    (!right).then(|| format!("must be {wanted}, and is {}", describe(value)))
}

fn describe(value: &Value) -> String {
    match value {
        Value::Object(_) => "a mapping".into(),
        Value::Array(_) => "a list".into(),
        Value::String(text) => format!("the string {text:?}"),
        Value::Null => "empty".into(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

fn wrong_value(schema: &Value, value: &Value) -> Option<String> {
    match value {
        Value::String(text) => wrong_text(schema, text),
        Value::Number(_) => wrong_number(schema, value.as_i64()),
        Value::Array(items) => too_many("items", items.len(), &schema["maxItems"]),
        _ => None,
    }
}

fn wrong_text(schema: &Value, text: &str) -> Option<String> {
    if let Some(known) = schema["enum"].as_array() {
        let known: Vec<&str> = known.iter().filter_map(Value::as_str).collect();
        return (!known.contains(&text)).then(|| unknown_value(text, &known));
    }
    let length = text.chars().count();
    if schema["minLength"].as_u64().is_some_and(|least| (length as u64) < least) {
        return Some("must not be empty".into());
    }
    too_many("characters", length, &schema["maxLength"])
}

fn wrong_number(schema: &Value, number: Option<i64>) -> Option<String> {
    // A whole number beyond i64 exceeds every bound.
    let number = number.unwrap_or(i64::MAX);
    let (least, most) = bounds(schema);
    (!(least..=most).contains(&number)).then(|| format!("must be from {least} to {most}"))
}

/// Bounds of an integer; the schema writes them as floating-point numbers.
#[expect(clippy::cast_possible_truncation, reason = "bounds in the schemas are small whole numbers")]
fn bounds(schema: &Value) -> (i64, i64) {
    let (least, most) = match schema["format"].as_str() {
        Some("int32") => (i32::MIN.into(), i32::MAX.into()),
        _ => (i64::MIN, i64::MAX),
    };
    let bound = |name: &str| schema[name].as_f64().map(|bound| bound as i64);
    (bound("minimum").unwrap_or(least), bound("maximum").unwrap_or(most))
}

fn too_many(what: &str, count: usize, most: &Value) -> Option<String> {
    most.as_u64().filter(|most| count as u64 > *most).map(|most| format!("has {count} {what}, the most is {most}"))
}

fn unknown_field(name: &str, properties: &Map<String, Value>) -> String {
    format!("unknown field{}", suggest(name, properties.keys().map(String::as_str)))
}

/// Says that a value is none of the known ones.
pub(super) fn unknown_value(text: &str, known: &[&str]) -> String {
    format!("{text:?} is not one of {}{}", known.join(", "), suggest(text, known.iter().copied()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use weir_proto::model::Kind;

    use super::*;
    use crate::api;

    fn pool(spec: &Value) -> Vec<(String, String)> {
        let manifest =
            json!({"apiVersion": "weir.dev/v1alpha1", "kind": "Pool", "metadata": {"name": "a"}, "spec": spec});
        check(api::schema(Kind::Pool), &manifest).into_iter().map(|w| (w.field, w.message)).collect()
    }

    fn one(spec: &Value) -> String {
        let wrong = pool(spec);
        assert_eq!(wrong.len(), 1, "{wrong:?}");
        format!("{}: {}", wrong[0].0, wrong[0].1)
    }

    #[test]
    fn unknown_fields_name_the_nearest_known_one() {
        assert_eq!(one(&json!({"wieght": 1})), r#"spec.wieght: unknown field, did you mean "weight"?"#);
        assert_eq!(
            one(&json!({"health": {"pasive": {}}})),
            r#"spec.health.pasive: unknown field, did you mean "passive"?"#
        );
        assert_eq!(one(&json!({"zzzzzzzz": 1})), "spec.zzzzzzzz: unknown field");
    }

    #[test]
    fn values_are_checked_by_type_bounds_and_enum() {
        assert_eq!(one(&json!({"weight": 70_000})), "spec.weight: must be from 0 to 65535");
        assert_eq!(one(&json!({"weight": -1})), "spec.weight: must be from 0 to 65535");
        assert_eq!(one(&json!({"weight": "5"})), r#"spec.weight: must be a whole number, and is the string "5""#);
        assert_eq!(one(&json!({"priority": 1_u64 << 40})), "spec.priority: must be from -2147483648 to 2147483647");
        assert_eq!(one(&json!({"match": {}})), "spec.match: must be a list, and is a mapping");
        assert!(one(&json!({"balance": {"method": "Roundrobin"}})).ends_with(r#"did you mean "RoundRobin"?"#));
        assert_eq!(one(&json!({"inherit": ""})), "spec.inherit: must not be empty");
    }

    #[test]
    fn all_that_is_wrong_is_found_at_once() {
        let wrong = pool(&json!({"match": [{"path": {"value": 5}}, {"hots": []}], "enabled": "yes"}));
        let fields: Vec<&str> = wrong.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(
            fields,
            ["spec.enabled", "spec.match[0].path.value", "spec.match[0].path.type", "spec.match[1].hots"]
        );
    }

    /// A schema keyword that this file does not know would be enforced in a cluster only.
    #[test]
    fn every_keyword_of_the_schemas_is_known_here() {
        const KNOWN: [&str; 20] = [
            "additionalProperties",
            "default",
            "description",
            "enum",
            "format",
            "items",
            "maxItems",
            "maxLength",
            "maximum",
            "minLength",
            "minimum",
            "properties",
            "required",
            "title",
            "type",
            "x-kubernetes-validations",
            INT_OR_STRING,
            "x-kubernetes-preserve-unknown-fields",
            "x-kubernetes-list-type",
            "x-kubernetes-list-map-keys",
        ];
        fn visit(schema: &Value) {
            let Some(keywords) = schema.as_object() else { return };
            for keyword in keywords.keys() {
                assert!(KNOWN.contains(&keyword.as_str()), "{keyword}");
            }
            schema["properties"].as_object().into_iter().flatten().for_each(|(_, child)| visit(child));
            visit(&schema["items"]);
            visit(&schema["additionalProperties"]);
        }
        Kind::ALL.map(api::schema).into_iter().for_each(visit);
    }
}
