//! What a proxy may read: the namespaces that its identity names.

use std::collections::BTreeSet;
use std::sync::Arc;

use weir_proto::model::ResourceName;

/// The namespaces whose resources a proxy gets. A stream whose request says nothing has all of them: it came
/// without TLS, where nobody has an identity.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Scope {
    /// Every namespace, those that do not exist yet too.
    #[default]
    All,
    /// These, and no others.
    Only(BTreeSet<Arc<str>>),
}

impl Scope {
    /// Whether a resource is among those that may be read.
    #[must_use]
    pub fn covers(&self, name: &ResourceName) -> bool {
        match self {
            Self::All => true,
            Self::Only(namespaces) => namespaces.contains(name.namespace()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(scope: &Scope, name: &str) -> bool {
        scope.covers(&name.parse().unwrap())
    }

    #[test]
    fn a_scope_covers_its_namespaces_whole_and_no_others() {
        let shop = Scope::Only(["shop".into(), "blog".into()].into());
        assert!(covers(&shop, "shop/web") && covers(&shop, "blog/web"));
        assert!(!covers(&shop, "shop-2/web") && !covers(&shop, "sho/web") && !covers(&shop, "web/shop"));
    }

    #[test]
    fn a_scope_of_no_namespace_covers_nothing_and_the_default_everything() {
        assert!(!covers(&Scope::Only(BTreeSet::new()), "shop/web"));
        assert!(covers(&Scope::default(), "shop/web"));
    }
}
