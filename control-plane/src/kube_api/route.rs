//! What a path names.

use serde_json::Value;
use weir_proto::model::name::check_namespace;
use weir_proto::model::{Key, Kind, ResourceName};

use super::refusal::Refusal;
use super::{discovery, kinds, openapi};
use crate::api;

/// What a request is about.
#[derive(Debug, Clone)]
pub(super) enum Route {
    /// A document that never changes.
    Document(fn() -> Value),
    /// A namespace; in a folder there is each.
    Namespace(String),
    /// The version of the group: which resources it has; and several of them at once.
    Group,
    /// The objects of a kind.
    Collection(Collection),
    /// One object.
    Object(Key),
}

/// The objects of a kind, all or those of a namespace.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Collection {
    pub(super) kind: Kind,
    pub(super) namespace: Option<String>,
}

impl Collection {
    /// The one that an object is in.
    pub(super) fn of(key: &Key) -> Self {
        Self { kind: key.kind, namespace: Some(key.name.namespace().to_owned()) }
    }
}

impl Route {
    pub(super) fn of(path: &str) -> Result<Self, Refusal> {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let route = match parts[..] {
            ["api"] => Some(Self::Document(discovery::core)),
            ["api", "v1", "namespaces", name] if check_namespace(name).is_ok() => {
                Some(Self::Namespace(name.to_owned()))
            }
            ["version"] => Some(Self::Document(discovery::version)),
            ["apis"] => Some(Self::Document(discovery::groups)),
            ["apis", api::GROUP] => Some(Self::Document(discovery::group)),
            ["openapi", "v3"] => Some(Self::Document(openapi::index)),
            ["openapi", "v3", "apis", api::GROUP, api::VERSION] => Some(Self::Document(openapi::document)),
            ["apis", api::GROUP, api::VERSION] => Some(Self::Group),
            ["apis", api::GROUP, api::VERSION, ref rest @ ..] => Self::resource(rest)?,
            _ => None,
        };
        route.ok_or_else(|| Refusal::not_found("the server could not find the requested resource"))
    }

    fn resource(parts: &[&str]) -> Result<Option<Self>, Refusal> {
        let (namespace, plural, name) = match *parts {
            [plural] => (None, plural, None),
            ["namespaces", namespace, plural] => (Some(namespace), plural, None),
            ["namespaces", namespace, plural, name] => (Some(namespace), plural, Some(name)),
            _ => return Ok(None),
        };
        let Some(kind) = kinds::by_plural(plural) else { return Ok(None) };
        let bad = |error: weir_proto::model::BadName| Refusal::bad_request(error.to_string());
        Ok(Some(match (namespace, name) {
            (Some(namespace), Some(name)) => {
                Self::Object(Key { kind, name: ResourceName::new(namespace, name).map_err(bad)? })
            }
            (namespace, _) => Self::Collection(Collection { kind, namespace: namespace.map(str::to_owned) }),
        }))
    }

    /// The methods that it takes.
    pub(super) fn methods(&self) -> &'static str {
        match self {
            Self::Document(_) | Self::Namespace(_) => "GET, HEAD",
            Self::Group | Self::Collection(_) => "GET, HEAD, POST",
            Self::Object(_) => "GET, HEAD, PUT, PATCH, DELETE",
        }
    }
}
