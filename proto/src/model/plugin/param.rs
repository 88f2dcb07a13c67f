//! Parameters of built-in types.

use serde_json::Value;

use super::{BuiltIn, Files};
use crate::model::Invalid;

/// The parameter of a built-in type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Param {
    /// Of a type that takes none.
    None,
}

/// What a parameter names, of the namespace of its resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reference {
    /// A Secret.
    Secret(String),
    /// A ConfigMap.
    ConfigMap(String),
}

impl Param {
    /// Reads the parameter of a type.
    ///
    /// # Errors
    /// Names the field that is wrong.
    pub fn parse(built_in: BuiltIn, param: &Value, _files: &Files) -> Result<Self, Invalid> {
        match built_in {
            BuiltIn::Random | BuiltIn::LeastConnections => match param {
                Value::Null => Ok(Self::None),
                Value::Object(map) if map.is_empty() => Ok(Self::None),
                _ => Err(Invalid::new("", format!("{built_in} takes no parameter"))),
            },
        }
    }
}

/// The Secrets and ConfigMaps that a parameter names.
#[must_use]
pub fn references(built_in: BuiltIn, _param: &Value) -> Vec<Reference> {
    match built_in {
        BuiltIn::Random | BuiltIn::LeastConnections => Vec::new(),
    }
}
