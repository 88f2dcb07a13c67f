//! Names of resources.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::Invalid;

/// The kinds of resource, in the order in which a delta carries their removals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Match rules and policy.
    Pool,
    /// One destination of a pool.
    Backend,
    /// The endpoints of a Backend that names a Service, under the Backend's name.
    Endpoints,
    /// Code that Pools use.
    Plugin,
}

impl Kind {
    /// Every kind there is on the wire.
    pub const ALL: [Self; 4] = [Self::Pool, Self::Backend, Self::Endpoints, Self::Plugin];

    /// The kinds that users write.
    pub const GIVEN: [Self; 3] = [Self::Pool, Self::Backend, Self::Plugin];

    /// The kind as written in a manifest, if it is one of [`Self::GIVEN`].
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pool => "Pool",
            Self::Backend => "Backend",
            Self::Endpoints => "Endpoints",
            Self::Plugin => "Plugin",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `namespace/name`; cheap to clone. Ordered by namespace, then name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResourceName {
    namespace: Arc<str>,
    name: Arc<str>,
}

/// Which part of a name is wrong, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// The part before the slash.
    #[error("namespace {0}")]
    Namespace(String),
    /// The part after the slash.
    #[error("name {0}")]
    Name(String),
}

impl BadName {
    /// The field of a manifest that holds the part.
    #[must_use]
    pub fn field(&self) -> &'static str {
        match self {
            Self::Namespace(_) => "metadata.namespace",
            Self::Name(_) => "metadata.name",
        }
    }
}

impl From<BadName> for Invalid {
    fn from(bad: BadName) -> Self {
        Self::new(bad.field(), bad.to_string())
    }
}

impl ResourceName {
    /// Makes a name of two DNS-1123 parts, as Kubernetes does.
    ///
    /// # Errors
    /// Says which part is no DNS-1123 label (namespace) or subdomain (name).
    pub fn new(namespace: &str, name: &str) -> Result<Self, BadName> {
        check_namespace(namespace).map_err(BadName::Namespace)?;
        check_subdomain(name).map_err(|e| BadName::Name(format!("{name:?} {e}")))?;
        Ok(Self { namespace: namespace.into(), name: name.into() })
    }

    /// The part before the slash.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The part after the slash.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Another resource of the same namespace.
    ///
    /// # Errors
    /// Says what is wrong with `name`.
    pub fn sibling(&self, name: &str) -> Result<Self, String> {
        let other = Self::new(&self.namespace, name).map_err(|e| e.to_string())?;
        Ok(Self { namespace: self.namespace.clone(), name: other.name })
    }
}

impl fmt::Display for ResourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl FromStr for ResourceName {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let (namespace, name) = s.split_once('/').ok_or_else(|| format!("{s:?} is not NAMESPACE/NAME"))?;
        Self::new(namespace, name).map_err(|e| e.to_string())
    }
}

/// Whether a namespace can have this name.
///
/// # Errors
/// Says why it is no DNS-1123 label.
pub fn check_namespace(name: &str) -> Result<(), String> {
    check_label(name, 63).map_err(|e| format!("{name:?} {e}"))
}

fn check_subdomain(name: &str) -> Result<(), String> {
    if name.len() > 253 {
        return Err("is longer than 253 characters".into());
    }
    name.split('.').try_for_each(|label| check_label(label, 253))
}

fn check_label(label: &str, limit: usize) -> Result<(), String> {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    let edge = |c: Option<&u8>| c.is_some_and(|c| *c != b'-');
    let bytes = label.as_bytes();
    if bytes.len() > limit {
        return Err(format!("is longer than {limit} characters"));
    }
    if !bytes.iter().copied().all(inner) || !edge(bytes.first()) || !edge(bytes.last()) {
        return Err(
            "must consist of lower case letters, digits and '-', and begin and end with a letter or digit".into()
        );
    }
    Ok(())
}

/// Kind and name: identifies one resource. Displays as `Kind namespace/name`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Which kind.
    pub kind: Kind,
    /// Which one.
    pub name: ResourceName,
}

impl Key {
    /// The key of a Pool.
    #[must_use]
    pub fn pool(name: ResourceName) -> Self {
        Self { kind: Kind::Pool, name }
    }

    /// The key of a Backend.
    #[must_use]
    pub fn backend(name: ResourceName) -> Self {
        Self { kind: Kind::Backend, name }
    }

    /// The key of a Plugin.
    #[must_use]
    pub fn plugin(name: ResourceName) -> Self {
        Self { kind: Kind::Plugin, name }
    }

    /// The key of the endpoints of this Backend.
    #[must_use]
    pub fn endpoints(backend: ResourceName) -> Self {
        Self { kind: Kind::Endpoints, name: backend }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_dns_1123() {
        assert!(ResourceName::new("shop", "web-1.eu").is_ok());
        for (namespace, name) in
            [("", "a"), ("a", ""), ("A", "a"), ("a", "-a"), ("a", "a_b"), ("a.b", "a"), ("a", "a..b")]
        {
            assert!(ResourceName::new(namespace, name).is_err(), "{namespace:?}/{name:?}");
        }
    }

    #[test]
    fn a_bad_name_says_which_part_is_wrong() {
        assert_eq!(ResourceName::new("A", "a").unwrap_err().field(), "metadata.namespace");
        assert_eq!(ResourceName::new("a", "A").unwrap_err().field(), "metadata.name");
        assert_eq!(ResourceName::new("a", &"a".repeat(254)).unwrap_err().field(), "metadata.name");
    }
}
