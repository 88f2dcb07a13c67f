//! Whoever issues signed tokens (RFC 7519).

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

/// An issuer with an Ed25519 key of its own.
pub struct Signer {
    kid: String,
    key: Ed25519KeyPair,
}

impl Signer {
    /// One whose key has this name.
    ///
    /// # Panics
    /// If no key can be made.
    #[must_use]
    pub fn new(kid: &str) -> Self {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("randomness");
        Self { kid: kid.to_owned(), key: Ed25519KeyPair::from_pkcs8(key.as_ref()).expect("a key") }
    }

    /// A token with these claims.
    #[must_use]
    pub fn token(&self, claims: &Value) -> String {
        let header = json!({"alg": "EdDSA", "kid": self.kid});
        let message = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        format!("{message}.{}", encode(self.key.sign(message.as_bytes())))
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// The public keys of these, as a JWK set.
pub fn key_set<'s>(signers: impl IntoIterator<Item = &'s Signer>) -> String {
    let key = |Signer { kid, key }: &Signer| json!({"kid": kid, "kty": "OKP", "crv": "Ed25519", "use": "sig", "x": encode(key.public_key())});
    json!({"keys": signers.into_iter().map(key).collect::<Vec<_>>()}).to_string()
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}
