//! Wire messages to domain values and back.
//!
//! Each conversion takes its whole message apart, so that a new field does not compile until someone
//! decides about it. Errors name the field as users write it (`spec.match[0].path.value`).

mod backend;
mod backend_tls;
mod endpoints;
mod health;
mod plugin;
mod pool;
mod tls;

use crate::model::{Backend, Endpoints, GrpcStatus, Invalid, Key, Kind, Plugin, Pool, ResourceName};
use crate::pb;

/// A decoded resource body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded {
    /// A Pool.
    Pool(Box<Pool>),
    /// A Backend.
    Backend(Box<Backend>),
    /// The endpoints of a Backend.
    Endpoints(Box<Endpoints>),
    /// A Plugin.
    Plugin(Box<Plugin>),
}

/// Decodes the body of a resource named `key`.
///
/// # Errors
/// Names the first field that is wrong, or says that body and key do not fit.
pub fn decode(key: &Key, body: pb::resource::Body) -> Result<Decoded, Invalid> {
    match (key.kind, body) {
        (Kind::Pool, pb::resource::Body::Pool(msg)) => {
            pool::decode(key.name.clone(), msg).map(|p| Decoded::Pool(Box::new(p))).map_err(|e| e.under("spec"))
        }
        (Kind::Backend, pb::resource::Body::Backend(msg)) => {
            backend::decode(key.name.clone(), msg).map(|b| Decoded::Backend(Box::new(b))).map_err(|e| e.under("spec"))
        }
        (Kind::Plugin, pb::resource::Body::Plugin(msg)) => {
            plugin::decode(key.name.clone(), msg).map(|p| Decoded::Plugin(Box::new(p))).map_err(|e| e.under("spec"))
        }
        // No user wrote it: there is no `spec`.
        (Kind::Endpoints, pb::resource::Body::Endpoints(msg)) => {
            endpoints::decode(key.name.clone(), msg).map(|e| Decoded::Endpoints(Box::new(e)))
        }
        (kind, _) => Err(Invalid::new("kind", format!("the body is no {kind}"))),
    }
}

impl From<&Pool> for pb::resource::Body {
    fn from(value: &Pool) -> Self {
        Self::Pool(pool::encode(value))
    }
}

impl From<&Backend> for pb::resource::Body {
    fn from(value: &Backend) -> Self {
        Self::Backend(backend::encode(value))
    }
}

impl From<&Plugin> for pb::resource::Body {
    fn from(value: &Plugin) -> Self {
        Self::Plugin(plugin::encode(value))
    }
}

impl From<&Endpoints> for pb::resource::Body {
    fn from(value: &Endpoints) -> Self {
        Self::Endpoints(endpoints::encode(value))
    }
}

impl TryFrom<pb::Key> for Key {
    type Error = Invalid;

    fn try_from(msg: pb::Key) -> Result<Self, Invalid> {
        let pb::Key { kind, namespace, name } = msg;
        let kind = match pb::Kind::try_from(kind) {
            Ok(pb::Kind::Pool) => Kind::Pool,
            Ok(pb::Kind::Backend) => Kind::Backend,
            Ok(pb::Kind::Endpoints) => Kind::Endpoints,
            Ok(pb::Kind::Plugin) => Kind::Plugin,
            Ok(pb::Kind::Unspecified) | Err(_) => return Err(Invalid::new("kind", format!("{kind} is unknown"))),
        };
        let name = ResourceName::new(&namespace, &name)?;
        Ok(Self { kind, name })
    }
}

impl From<&Key> for pb::Key {
    fn from(key: &Key) -> Self {
        let kind = match key.kind {
            Kind::Pool => pb::Kind::Pool,
            Kind::Backend => pb::Kind::Backend,
            Kind::Endpoints => pb::Kind::Endpoints,
            Kind::Plugin => pb::Kind::Plugin,
        };
        Self { kind: kind.into(), namespace: key.name.namespace().to_owned(), name: key.name.name().to_owned() }
    }
}

/// Parses each item of a list, naming the place of the one that is wrong.
fn list<T, U>(field: &str, items: Vec<T>, parse: impl Fn(T) -> Result<U, Invalid>) -> Result<Vec<U>, Invalid> {
    let at = |(i, item)| parse(item).map_err(|e: Invalid| e.under(format!("{field}[{i}]")));
    items.into_iter().enumerate().map(at).collect()
}

/// Parses each string of a list.
fn strings<U>(field: &str, items: Vec<String>, parse: impl Fn(&str) -> Result<U, String>) -> Result<Vec<U>, Invalid> {
    list(field, items, |text| parse(&text).map_err(|e| Invalid::new("", e)))
}

/// A sub-message that must be there.
fn required<T>(field: &str, value: Option<T>) -> Result<T, Invalid> {
    value.ok_or_else(|| Invalid::new(field, "is missing"))
}

/// A number of an enum that this build does not know.
fn unknown(field: &str, number: i32) -> Invalid {
    Invalid::new(field, format!("{number} is unknown to this version"))
}

/// A status of gRPC.
fn grpc_status(number: u32) -> Result<GrpcStatus, Invalid> {
    GrpcStatus::new(number).ok_or_else(|| Invalid::new("", format!("{number} is no status of gRPC that fails")))
}

/// A number that must not exceed `max`.
fn at_most(field: &str, value: u32, max: u32) -> Result<u32, Invalid> {
    if value <= max { Ok(value) } else { Err(Invalid::new(field, format!("{value} is more than {max}"))) }
}
