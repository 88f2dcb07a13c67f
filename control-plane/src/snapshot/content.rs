//! The hash of a whole snapshot, kept up to date entry by entry.

use weir_proto::model::Key;
use weir_proto::version::Version;

/// The sum, modulo 2^128, of a hash of each entry. A sum does not depend on the order in which its terms came
/// and went, so every replica has the same one for the same content, whatever its history.
///
/// Two contents by chance share a sum once in 2^128. Somebody who may write thousands of resources could search
/// for two that do, since a sum is weaker than a hash of everything in a row; it would gain them nothing, as
/// the version of a snapshot is shown to people and decides nothing. What a proxy is sent is decided by the
/// version of each resource, which is a plain hash.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Content(u128);

impl Content {
    pub(super) fn add(&mut self, key: &Key, version: Version) {
        self.0 = self.0.wrapping_add(term(key, version));
    }

    pub(super) fn subtract(&mut self, key: &Key, version: Version) {
        self.0 = self.0.wrapping_sub(term(key, version));
    }

    pub(super) fn version(self) -> Version {
        Version::of_parts([&self.0.to_be_bytes()[..]])
    }
}

fn term(key: &Key, version: Version) -> u128 {
    let Key { kind, name } = key;
    let (kind, namespace, name) = (kind.as_str().as_bytes(), name.namespace().as_bytes(), name.name().as_bytes());
    Version::of_parts([kind, namespace, name, version.as_bytes()]).to_bits()
}
