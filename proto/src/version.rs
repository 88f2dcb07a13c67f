//! The version of a resource: a hash of its content, so that every replica of the control plane gives
//! the same resource the same version and a proxy may reconnect to any of them.

use std::fmt;

use prost::Message;
use sha2::{Digest, Sha256};

use crate::pb;

const LEN: usize = 16;

/// First 16 bytes of the SHA-256 of the canonical encoding (fields in order, maps sorted).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version([u8; LEN]);

impl Version {
    /// The version of a resource's body.
    #[must_use]
    pub fn of(body: &pb::resource::Body) -> Self {
        let bytes = match body {
            pb::resource::Body::Pool(pool) => pool.encode_to_vec(),
            pb::resource::Body::Backend(backend) => backend.encode_to_vec(),
            pb::resource::Body::Endpoints(endpoints) => endpoints.encode_to_vec(),
            pb::resource::Body::Plugin(plugin) => plugin.encode_to_vec(),
        };
        Self::of_parts([bytes.as_slice()])
    }

    /// The hash of several byte strings, each with its length.
    #[must_use]
    pub fn of_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let digest = hash.finalize();
        let mut version = [0; LEN];
        version.copy_from_slice(&digest[..LEN]);
        Self(version)
    }

    /// Reads a version from the wire; `None` if its length is wrong.
    #[must_use]
    pub fn from_wire(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The bytes for the wire.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The hash as a number, to reckon with.
    #[must_use]
    pub fn to_bits(self) -> u128 {
        u128::from_be_bytes(self.0)
    }

    /// The bytes for the wire, owned.
    #[must_use]
    pub fn to_wire(self) -> Vec<u8> {
        self.0.to_vec()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_5_versions_depend_on_content_only() {
        let body = |labels: &[(&str, &str)]| {
            pb::resource::Body::Backend(pb::Backend {
                labels: labels.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
                ..Default::default()
            })
        };
        assert_eq!(Version::of(&body(&[("a", "1"), ("b", "2")])), Version::of(&body(&[("b", "2"), ("a", "1")])));
        assert_ne!(Version::of(&body(&[("a", "1")])), Version::of(&body(&[("a", "2")])));
    }
}
