//! The conditions of a resource.

/// The conditions a resource has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConditionType {
    /// The resource is right in itself.
    Accepted,
    /// Everything it names exists.
    ResolvedRefs,
    /// The connected proxies work with it.
    Programmed,
}

impl ConditionType {
    /// Each of them, in the order in which people read them.
    pub const ALL: [Self; 3] = [Self::Accepted, Self::ResolvedRefs, Self::Programmed];

    /// The type as `kubectl` shows it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::ResolvedRefs => "ResolvedRefs",
            Self::Programmed => "Programmed",
        }
    }
}
