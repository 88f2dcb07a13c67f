//! Sets of public keys (RFC 7517) that check the signatures of tokens.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind};

/// Most keys of a set: a token that names none is tried with each.
const MOST_KEYS: usize = 32;

/// Keys, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySet(Vec<PublicKey>);

/// A key that can check signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// Its name, by which tokens say who signed them.
    pub id: Option<String>,
    /// What it checks. Never a token, always its key says so.
    pub algorithms: Vec<Algorithm>,
    /// The key.
    pub jwk: Jwk,
}

impl KeySet {
    /// Reads a set. Keys that cannot check signatures are passed over (RFC 7517, 5), and so are secret ones (`oct`): who
    /// can read such a set could sign tokens.
    ///
    /// # Errors
    /// If it is none, or has no key that is of use. Never shows what is in it.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let no_set = |e: serde_json::Error| format!("is no JWK set: line {}, column {}", e.line(), e.column());
        let JwkSet { keys } = serde_json::from_slice(json).map_err(no_set)?;
        let keys: Vec<PublicKey> = keys.into_iter().filter_map(PublicKey::new).collect();
        match keys.len() {
            0 => {
                Err("has no key to check signatures with: RSA (2048 to 8192 bits), P-256, P-384 or Ed25519".to_owned())
            }
            1..=MOST_KEYS => Ok(Self(keys)),
            _ => Err(format!("has more than {MOST_KEYS} keys")),
        }
    }

    /// The keys.
    #[must_use]
    pub fn keys(&self) -> &[PublicKey] {
        &self.0
    }
}

impl PublicKey {
    fn new(jwk: Jwk) -> Option<Self> {
        let algorithms = algorithms(&jwk)?;
        let id = jwk.common.key_id.clone();
        (is_for_signatures(&jwk) && is_sound(&jwk, *algorithms.first()?)).then_some(Self { id, algorithms, jwk })
    }
}

/// By the kind of the key, and by what it says itself.
fn algorithms(jwk: &Jwk) -> Option<Vec<Algorithm>> {
    let possible = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => AlgorithmFamily::Rsa.algorithms().to_vec(),
        AlgorithmParameters::EllipticCurve(key) => match key.curve {
            EllipticCurve::P256 => vec![Algorithm::ES256],
            EllipticCurve::P384 => vec![Algorithm::ES384],
            _ => return None,
        },
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => vec![Algorithm::EdDSA],
        _ => return None,
    };
    let Some(named) = jwk.common.key_algorithm else { return Some(possible) };
    let named = Algorithm::try_from(named).ok()?;
    possible.contains(&named).then(|| vec![named])
}

fn is_for_signatures(jwk: &Jwk) -> bool {
    let by_use = jwk.common.public_key_use.as_ref().is_none_or(|purpose| *purpose == PublicKeyUse::Signature);
    let by_operation = jwk.common.key_operations.as_ref().is_none_or(|all| all.contains(&KeyOperations::Verify));
    by_use && by_operation
}

/// Whether it has the size that its algorithm needs: another one would refuse every token.
fn is_sound(jwk: &Jwk, algorithm: Algorithm) -> bool {
    let Ok(key) = DecodingKey::from_jwk(jwk) else { return false };
    match (key.kind(), algorithm) {
        (DecodingKeyKind::RsaModulusExponent { n, .. }, _) => (256..=1024).contains(&n.len()) && n[0] != 0,
        // The first byte of a point says that both coordinates follow.
        (DecodingKeyKind::SecretOrDer(point), Algorithm::ES256) => point.len() == 65,
        (DecodingKeyKind::SecretOrDer(point), Algorithm::ES384) => point.len() == 97,
        (DecodingKeyKind::SecretOrDer(point), _) => point.len() == 32,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Base64url of so many bytes.
    fn bytes(length: usize) -> String {
        let text = "f39_".repeat(length / 3);
        match length % 3 {
            0 => text,
            1 => text + "fw",
            _ => text + "f38",
        }
    }

    fn rsa(fields: Value) -> Value {
        with(json!({"kty": "RSA", "n": bytes(256), "e": "AQAB"}), fields)
    }

    fn with(mut key: Value, fields: Value) -> Value {
        let Value::Object(fields) = fields else { panic!() };
        key.as_object_mut().unwrap().extend(fields);
        key
    }

    fn parse(keys: Value) -> Result<KeySet, String> {
        KeySet::parse(json!({"keys": keys}).to_string().as_bytes())
    }

    /// The algorithms of a set of one key.
    fn algorithms_of(key: Value) -> Option<Vec<Algorithm>> {
        parse(json!([key])).ok().map(|set| set.keys()[0].algorithms.clone())
    }

    #[test]
    fn p1_the_algorithm_comes_from_the_key() {
        assert_eq!(algorithms_of(rsa(json!({"alg": "PS384"}))), Some(vec![Algorithm::PS384]));
        assert_eq!(algorithms_of(rsa(json!({}))).unwrap().len(), 6);
        let p256 = json!({"kty": "EC", "crv": "P-256", "x": bytes(32), "y": bytes(32)});
        assert_eq!(algorithms_of(p256.clone()), Some(vec![Algorithm::ES256]));
        let p384 = json!({"kty": "EC", "crv": "P-384", "x": bytes(48), "y": bytes(48)});
        assert_eq!(algorithms_of(p384), Some(vec![Algorithm::ES384]));
        let ed25519 = json!({"kty": "OKP", "crv": "Ed25519", "x": bytes(32), "alg": "EdDSA"});
        assert_eq!(algorithms_of(ed25519), Some(vec![Algorithm::EdDSA]));
        for wrong in [rsa(json!({"alg": "HS256"})), rsa(json!({"alg": "ES256"})), with(p256, json!({"alg": "RS256"}))] {
            assert_eq!(algorithms_of(wrong.clone()), None, "{wrong}");
        }
    }

    #[test]
    fn p1_keys_that_cannot_check_signatures_are_passed_over() {
        let useless = [
            json!({"kty": "oct", "k": bytes(32), "alg": "HS256"}),
            json!({"kty": "EC", "crv": "P-521", "x": bytes(66), "y": bytes(66)}),
            json!({"kty": "EC", "crv": "secp256k1", "x": bytes(32), "y": bytes(32)}),
            json!({"kty": "EC", "crv": "P-256", "x": bytes(31), "y": bytes(32)}),
            json!({"kty": "OKP", "crv": "Ed25519", "x": bytes(31)}),
            json!({"kty": "new"}),
            rsa(json!({"use": "enc"})),
            rsa(json!({"key_ops": ["encrypt"]})),
            rsa(json!({"n": bytes(128)})),
            rsa(json!({"n": "?"})),
            rsa(json!({"alg": "none"})),
        ];
        for key in &useless {
            assert_eq!(algorithms_of(key.clone()), None, "{key}");
        }
        let mut keys = useless.to_vec();
        keys.push(rsa(json!({"kid": "a", "use": "sig", "key_ops": ["verify"]})));
        let set = parse(Value::Array(keys)).unwrap();
        assert_eq!(set.keys().iter().map(|key| key.id.as_deref()).collect::<Vec<_>>(), [Some("a")]);
    }

    #[test]
    fn p1_what_is_no_set_is_refused_without_showing_it() {
        assert_eq!(KeySet::parse(b"hunter2").unwrap_err(), "is no JWK set: line 1, column 1");
        let refused = KeySet::parse(br#"{"keys": "hunter2"}"#).unwrap_err();
        assert!(refused.starts_with("is no JWK set: ") && !refused.contains("hunter2"), "{refused}");
        assert!(parse(json!([])).unwrap_err().starts_with("has no key"));
        assert_eq!(parse(Value::Array(vec![rsa(json!({})); 33])).unwrap_err(), "has more than 32 keys");
    }
}
