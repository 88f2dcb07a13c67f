//! Keys that check tokens, with the rules for what the tokens say.

use std::time::Duration;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde_json::{Map, Value};
use weir_proto::model::plugin::param::KeySet;
use weir_proto::model::plugin::param::jwks::PublicKey;

use super::refusal::Refusal;
use super::token::Token;

/// What a token says.
pub(super) type Claims = Map<String, Value>;

/// Keys, ready to check.
#[derive(Debug)]
pub(super) struct Keys(Box<[Key]>);

#[derive(Debug)]
struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

/// What a token must say, besides being signed.
#[derive(Debug)]
pub(super) struct Rules(Validation);

/// What is to be thought of a token.
#[derive(Debug)]
pub(super) enum Verdict {
    /// All is well, and it says this.
    Right(Claims),
    /// It does not fit.
    Wrong(Refusal),
    /// It names a key that is not there.
    UnknownKey,
}

impl Keys {
    pub(super) fn new(set: &KeySet) -> Self {
        let key = |PublicKey { id, algorithms, jwk }: &PublicKey| {
            // The set has no key that cannot be read.
            let key = DecodingKey::from_jwk(jwk).ok()?;
            Some(Key { id: id.clone(), algorithms: algorithms.clone(), key })
        };
        Self(set.keys().iter().filter_map(key).collect())
    }

    /// Checks a token with the key that it names, or if it names none, with each.
    pub(super) fn check(&self, token: &Token, rules: &Rules) -> Verdict {
        let mut verdict = Verdict::UnknownKey;
        for key in self.0.iter().filter(|key| key.may_have_signed(token)) {
            match decode::<Claims>(&token.text, &key.key, &rules.with(&key.algorithms)) {
                Ok(token) => return Verdict::Right(token.claims),
                Err(error) => {
                    verdict = Verdict::Wrong(Refusal::of(&error));
                    if !is_of_another_key(error.kind()) {
                        break;
                    }
                }
            }
        }
        verdict
    }
}

fn is_of_another_key(error: &ErrorKind) -> bool {
    matches!(error, ErrorKind::InvalidSignature | ErrorKind::InvalidAlgorithm)
}

impl Key {
    fn may_have_signed(&self, token: &Token) -> bool {
        match (&self.id, &token.header.kid) {
            (Some(id), Some(named)) => id == named,
            _ => true,
        }
    }
}

impl Rules {
    /// The issuer it must have, whom it must be for (one of them; none = whomever), and how far clocks may differ. Each
    /// must expire.
    pub(super) fn new(issuer: Option<&str>, audience: &[String], leeway: Duration) -> Self {
        let mut validation = Validation::default();
        let mut required = vec!["exp"];
        validation.leeway = leeway.as_secs();
        validation.validate_nbf = true;
        validation.validate_aud = !audience.is_empty();
        if let Some(issuer) = issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        if !audience.is_empty() {
            validation.set_audience(audience);
            required.push("aud");
        }
        validation.set_required_spec_claims(&required);
        Self(validation)
    }

    fn with(&self, algorithms: &[Algorithm]) -> Validation {
        Validation { algorithms: algorithms.to_vec(), ..self.0.clone() }
    }
}
