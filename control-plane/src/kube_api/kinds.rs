//! The kinds as their definitions describe them to people: names and columns.

use std::sync::LazyLock;

use jsonpath_rust::parser::model::JpQuery;
use jsonpath_rust::parser::parse_json_path;
use weir_proto::model::Kind;

use crate::api;

/// Of one kind.
#[derive(Debug)]
pub(super) struct KindInfo {
    pub(super) kind: Kind,
    pub(super) plural: String,
    pub(super) singular: String,
    pub(super) short_names: Vec<String>,
    pub(super) categories: Vec<String>,
    pub(super) columns: Vec<Column>,
}

/// One column of `kubectl get`, besides the name.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) type_: String,
    pub(super) priority: i32,
    /// As the definition has it.
    pub(super) path: String,
    /// The same for the library; `None` shows nothing.
    pub(super) query: Option<JpQuery>,
}

/// In the order of [`Kind::GIVEN`].
static KINDS: LazyLock<Vec<KindInfo>> = LazyLock::new(|| Kind::GIVEN.into_iter().filter_map(describe).collect());

/// Every kind that users write.
pub(super) fn all() -> &'static [KindInfo] {
    &KINDS
}

/// One of them; of a kind that users do not write, the first.
pub(super) fn of(kind: Kind) -> &'static KindInfo {
    KINDS.iter().find(|info| info.kind == kind).unwrap_or(&KINDS[0])
}

/// The kind with this plural.
pub(super) fn by_plural(plural: &str) -> Option<Kind> {
    KINDS.iter().find(|info| info.plural == plural).map(|info| info.kind)
}

fn describe(kind: Kind) -> Option<KindInfo> {
    let spec = api::crd(kind)?.spec;
    let columns = spec.versions.into_iter().next()?.additional_printer_columns.unwrap_or_default();
    let column =
        |column: k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceColumnDefinition| {
            Column {
                name: column.name,
                type_: column.type_,
                priority: column.priority.unwrap_or_default(),
                query: parse_json_path(&format!("${}", column.json_path)).ok(),
                path: column.json_path,
            }
        };
    Some(KindInfo {
        kind,
        plural: spec.names.plural,
        singular: spec.names.singular.unwrap_or_default(),
        short_names: spec.names.short_names.unwrap_or_default(),
        categories: spec.names.categories.unwrap_or_default(),
        columns: columns.into_iter().map(column).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_has_a_path_that_the_library_understands() {
        assert_eq!(all().len(), Kind::GIVEN.len());
        for column in all().iter().flat_map(|info| &info.columns) {
            assert!(column.query.is_some(), "{column:?}");
        }
    }
}
