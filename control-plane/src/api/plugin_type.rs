//! Types of plugins as users write them. The list of those that come with Weir is the model's.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use weir_proto::model::BuiltIn;

const LUA: &str = "Lua";
const WASM: &str = "Wasm";

/// What a Plugin is made of.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(try_from = "String", into = "String")]
pub enum PluginType {
    /// A type that comes with Weir.
    BuiltIn(BuiltIn),
    /// A script.
    Lua,
    /// A component.
    Wasm,
}

/// A type that comes with Weir, in place in a Pool.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(try_from = "String", into = "String")]
pub struct BuiltInType(pub BuiltIn);

impl TryFrom<String> for PluginType {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            LUA => Ok(Self::Lua),
            WASM => Ok(Self::Wasm),
            text => text.parse().map(Self::BuiltIn),
        }
    }
}

impl From<PluginType> for String {
    fn from(kind: PluginType) -> Self {
        match kind {
            PluginType::BuiltIn(built_in) => built_in.to_string(),
            PluginType::Lua => LUA.to_owned(),
            PluginType::Wasm => WASM.to_owned(),
        }
    }
}

impl TryFrom<String> for BuiltInType {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map(Self)
    }
}

impl From<BuiltInType> for String {
    fn from(BuiltInType(built_in): BuiltInType) -> Self {
        built_in.to_string()
    }
}

impl JsonSchema for PluginType {
    fn schema_name() -> Cow<'static, str> {
        "PluginType".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        one_of(built_in().chain([LUA, WASM]))
    }

    fn inline_schema() -> bool {
        true
    }
}

impl JsonSchema for BuiltInType {
    fn schema_name() -> Cow<'static, str> {
        "BuiltInType".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        one_of(built_in())
    }

    fn inline_schema() -> bool {
        true
    }
}

fn built_in() -> impl Iterator<Item = &'static str> {
    BuiltIn::ALL.iter().map(|built_in| built_in.as_str())
}

fn one_of(known: impl Iterator<Item = &'static str>) -> Schema {
    json_schema!({"type": "string", "enum": known.collect::<Vec<_>>()})
}
