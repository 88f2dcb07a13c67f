//! What is legal and most likely a mistake: `weir check` warns of it.
//!
//! A lint says what is certain from the resources alone, one mistake a file. It has a short name that never changes, by
//! which the annotation `weir.dev/ignore` of a resource silences it there.

mod auth_after_rate_limit;
mod backend_weight_without_effect;
mod chain_without_backends;
mod chains;
mod contradicting_timeouts;
mod credentials_removed;
mod plugin_after_answer;
mod plugin_twice;
mod pool_weight_without_effect;
mod queue_without_capacity;
mod resources;
mod shadowed_rule;
mod unreachable_backup;

use weir_proto::model::{Key, ResourceName};

pub use resources::Resources;

/// Annotation that names lints, separated by commas, which are silent about a resource.
pub const IGNORE: &str = "weir.dev/ignore";

/// One mistake to look for.
#[derive(Debug, Clone, Copy)]
pub struct Lint {
    /// Its short name.
    pub id: &'static str,
    /// What it finds, in a line.
    pub about: &'static str,
    look: fn(&Resources) -> Vec<Hit>,
}

/// A mistake that was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hit {
    /// The resource.
    pub key: Key,
    /// Path of the field as users write it.
    pub field: String,
    /// What is wrong.
    pub message: String,
}

impl Hit {
    fn pool(pool: &ResourceName, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: Key::pool(pool.clone()), field: field.into(), message: message.into() }
    }

    fn backend(backend: &ResourceName, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: Key::backend(backend.clone()), field: field.into(), message: message.into() }
    }
}

impl Lint {
    /// Every lint, by name.
    pub const ALL: [Self; 11] = [
        auth_after_rate_limit::LINT,
        backend_weight_without_effect::LINT,
        chain_without_backends::LINT,
        contradicting_timeouts::LINT,
        credentials_removed::LINT,
        plugin_after_answer::LINT,
        plugin_twice::LINT,
        pool_weight_without_effect::LINT,
        queue_without_capacity::LINT,
        shadowed_rule::LINT,
        unreachable_backup::LINT,
    ];

    /// What it finds in these resources.
    #[must_use]
    pub fn look(&self, resources: &Resources) -> Vec<Hit> {
        (self.look)(resources)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check;

    /// What a lint says of resources `default/...`: the resource, the field, and the message of each hit.
    pub(super) fn hits(lint: Lint, manifests: &[&str]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        for (place, text) in manifests.iter().enumerate() {
            let version = if text.starts_with("kind: Secret") { "v1" } else { "weir.dev/v1alpha1" };
            let text = format!("apiVersion: {version}\n{text}\n");
            std::fs::write(folder.path().join(format!("{place:02}.yaml")), text).unwrap();
        }
        let report = check::check(&[folder.path().to_owned()]);
        assert_eq!(report.errors, [], "the manifests are wrong");
        let own = report.warnings.into_iter().filter(|warning| warning.id == lint.id);
        own.map(|warning| {
            let finding = warning.finding;
            format!("{}: {}: {}", finding.key.unwrap(), finding.field, finding.message)
        })
        .collect()
    }

    /// A Pool in flow style.
    pub(super) fn pool(name: &str, spec: &str) -> String {
        format!("kind: Pool\nmetadata: {{name: {name}}}\nspec: {{{spec}}}")
    }

    /// A Backend `NAME-1` of a Pool.
    pub(super) fn backend(pool: &str, spec: &str) -> String {
        let spec = if spec.is_empty() { String::new() } else { format!(", {spec}") };
        format!("kind: Backend\nmetadata: {{name: {pool}-1}}\nspec: {{pool: {pool}, address: '10.0.0.1:80'{spec}}}")
    }

    /// What a lint says of one Pool `a` that has a Backend.
    pub(super) fn of_pool(lint: Lint, spec: &str) -> Vec<String> {
        hits(lint, &[&pool("a", spec), &backend("a", "")])
    }

    #[test]
    fn names_are_in_order_and_each_is_there_once() {
        let ids: Vec<&str> = Lint::ALL.iter().map(|lint| lint.id).collect();
        assert!(ids.is_sorted_by(|one, next| one < next), "{ids:?}");
        assert!(Lint::ALL.iter().all(|lint| !lint.about.is_empty() && !lint.about.ends_with('.')));
    }
}
