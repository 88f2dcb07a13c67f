//! Objects as the rows of a table, as `kubectl get` shows them: the columns that the definitions in a cluster have.

use std::sync::Arc;

use jiff::Timestamp;
use jsonpath_rust::query::js_path_process;
use serde_json::{Value, json};
use weir_proto::model::Kind;

use super::kinds::{self, Column};
use super::query::RowObject;

/// A table of objects of one kind.
pub(super) fn table(kind: Kind, objects: &[Arc<Value>], version: &str, row_object: RowObject) -> Value {
    let columns = &kinds::of(kind).columns;
    let mut definitions = vec![json!({
        "name": "Name", "type": "string", "format": "name", "description": "Name of the object.", "priority": 0,
    })];
    definitions.extend(columns.iter().map(definition));
    let now = Timestamp::now();
    let rows: Vec<Value> = objects.iter().map(|object| row(columns, object, row_object, now)).collect();
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": version},
        "columnDefinitions": definitions,
        "rows": rows,
    })
}

fn definition(column: &Column) -> Value {
    let Column { name, type_, priority, path, query: _ } = column;
    let description = format!("Custom resource definition column (in JSONPath format): {path}");
    json!({"name": name, "type": type_, "format": "", "description": description, "priority": priority})
}

fn row(columns: &[Column], object: &Value, row_object: RowObject, now: Timestamp) -> Value {
    let mut cells = vec![object["metadata"]["name"].clone()];
    cells.extend(columns.iter().map(|column| cell(column, object, now)));
    let about = match row_object {
        RowObject::None => Value::Null,
        RowObject::Object => object.clone(),
        RowObject::Metadata => json!({
            "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"],
        }),
    };
    json!({"cells": cells, "object": about})
}

fn cell(column: &Column, object: &Value, now: Timestamp) -> Value {
    let found = column.query.as_ref().and_then(|query| js_path_process(query, object).ok());
    let Some(value) = found.and_then(|all| all.into_iter().next()).map(|first| first.val()) else { return Value::Null };
    match (column.type_.as_str(), value) {
        ("date", Value::String(time)) => time.parse().map_or(Value::Null, |time| age(time, now).into()),
        ("string", value) if !value.is_string() => value.to_string().into(),
        (_, value) => value.clone(),
    }
}

/// How long ago, as kubectl writes it: the larger the shorter.
fn age(time: Timestamp, now: Timestamp) -> String {
    let seconds = (now.as_second() - time.as_second()).max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    let two = |many: i64, unit: char, rest: i64, rest_unit: char| match rest {
        0 => format!("{many}{unit}"),
        rest => format!("{many}{unit}{rest}{rest_unit}"),
    };
    match () {
        () if seconds < 120 => format!("{seconds}s"),
        () if minutes < 10 => two(minutes, 'm', seconds % 60, 's'),
        () if minutes < 180 => format!("{minutes}m"),
        () if hours < 8 => two(hours, 'h', minutes % 60, 'm'),
        () if hours < 48 => format!("{hours}h"),
        () if days < 8 => two(days, 'd', hours % 24, 'h'),
        () if days < 730 => format!("{days}d"),
        () if days < 2_920 => two(days / 365, 'y', days % 365, 'd'),
        () => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_written_as_kubectl_does() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let cases = [
            (-5, "0s"),
            (119, "119s"),
            (120, "2m"),
            (301, "5m1s"),
            (7_200, "120m"),
            (10_800, "3h"),
            (11_000, "3h3m"),
            (100_000, "27h"),
            (180_000, "2d2h"),
            (864_000, "10d"),
            (63_072_000, "2y"),
            (99_999_999, "3y62d"),
        ];
        for (seconds, text) in cases {
            assert_eq!(age(at(0), at(seconds)), text);
        }
    }

    #[test]
    fn a_row_has_the_columns_of_the_definition() {
        let conditions = json!([{"type": "Accepted", "status": "True", "message": "fine"},
            {"type": "Programmed", "status": "False", "message": "on 0 of 1"}]);
        let object = json!({"metadata": {"name": "limits", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"type": "RateLimit"}, "status": {"usedBy": {"count": 2}, "conditions": conditions}});
        let table = table(Kind::Plugin, &[object.into()], "7", RowObject::Metadata);
        let names: Vec<_> =
            table["columnDefinitions"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["Name", "Type", "Used-By", "Accepted", "Age", "Proxies", "Message"]);
        let mut cells = table["rows"][0]["cells"].clone();
        cells[4] = "age".into();
        assert_eq!(cells, json!(["limits", "RateLimit", 2, "True", "age", null, "on 0 of 1"]));
        assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    }
}
