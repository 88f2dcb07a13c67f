use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use jsonwebtoken::get_current_timestamp;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding,
    RsaKeyPair,
};
use ring::{hmac, rsa};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use weir_proto::model::plugin::param::{self, KeySet};

use super::keys::{Keys, Rules, Verdict};
use super::token::Token;
use super::{Jwt, signature};
use crate::plugin::testing::Fixture;
use crate::plugin::{Flow, Stage as _};

/// Whoever can sign.
enum Signer {
    Rsa(RsaKeyPair),
    Curve(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

impl Signer {
    fn rsa() -> Self {
        let pem = include_str!("../../../../../tests/testdata/jwt/rsa.pem");
        let key = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).unwrap();
        Self::Rsa(RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).unwrap())
    }

    fn p256() -> Self {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let key = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).unwrap();
        Self::Curve(EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &SystemRandom::new()).unwrap())
    }

    fn p384() -> Self {
        let algorithm = &ECDSA_P384_SHA384_FIXED_SIGNING;
        let key = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).unwrap();
        Self::Curve(EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &SystemRandom::new()).unwrap())
    }

    fn ed25519() -> Self {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::Ed25519(Ed25519KeyPair::from_pkcs8(key.as_ref()).unwrap())
    }

    /// The public key, with this name.
    fn jwk(&self, kid: &str) -> Value {
        match self {
            Self::Rsa(key) => {
                let rsa::PublicKeyComponents { n, e } = rsa::PublicKeyComponents::<Vec<u8>>::from(key.public());
                json!({"kid": kid, "kty": "RSA", "n": encode(n), "e": encode(e)})
            }
            Self::Curve(key) => {
                let (x, y) = key.public_key().as_ref()[1..].split_at(key.public_key().as_ref().len() / 2);
                let crv = if x.len() == 32 { "P-256" } else { "P-384" };
                json!({"kid": kid, "kty": "EC", "crv": crv, "x": encode(x), "y": encode(y)})
            }
            Self::Ed25519(key) => json!({"kid": kid, "kty": "OKP", "crv": "Ed25519", "x": encode(key.public_key())}),
        }
    }

    fn signature(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(rsa_encoding(algorithm), &random, message, &mut signature).unwrap();
                signature
            }
            Self::Curve(key) => key.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed25519(key) => key.sign(message).as_ref().to_vec(),
        }
    }

    fn token(&self, header: &Value, claims: &Value) -> String {
        let message = message(header, claims);
        let signature = self.signature(header["alg"].as_str().unwrap(), message.as_bytes());
        format!("{message}.{}", encode(signature))
    }
}

fn rsa_encoding(algorithm: &str) -> &'static dyn RsaEncoding {
    match algorithm {
        "RS384" => &RSA_PKCS1_SHA384,
        "RS512" => &RSA_PKCS1_SHA512,
        "PS256" => &RSA_PSS_SHA256,
        "PS384" => &RSA_PSS_SHA384,
        "PS512" => &RSA_PSS_SHA512,
        _ => &RSA_PKCS1_SHA256,
    }
}

fn message(header: &Value, claims: &Value) -> String {
    format!("{}.{}", encode(header.to_string()), encode(claims.to_string()))
}

/// Claims that pass, with others over them; null takes one away.
fn claims(others: Value) -> Value {
    let mut claims = json!({"iss": "idp", "aud": "shop", "sub": "ada", "exp": get_current_timestamp() + 600});
    let all = claims.as_object_mut().unwrap();
    all.extend(others.as_object().unwrap().clone());
    all.retain(|_, value| !value.is_null());
    claims
}

fn keys(jwks: &[Value]) -> Keys {
    signature::install();
    Keys::new(&KeySet::parse(json!({"keys": jwks}).to_string().as_bytes()).unwrap())
}

fn read(text: &str) -> Result<Token, String> {
    let carrier = param::Carrier::Header(AUTHORIZATION);
    let value: &'static str = format!("Bearer {text}").leak();
    let fixture = Fixture::new(&[1], |_| ()).with_request("/", &[("authorization", value)]);
    Token::read(&fixture.session(), &carrier).map_err(|refusal| format!("{refusal:?}"))
}

/// Why a token is not right; empty = it is.
fn judge(keys: &Keys, text: &str) -> String {
    let rules = Rules::new(Some("idp"), &["shop".to_owned(), "web".to_owned()], Duration::from_secs(60));
    match read(text).map(|token| keys.check(&token, &rules)) {
        Ok(Verdict::Right(_)) => String::new(),
        Ok(verdict) => format!("{verdict:?}"),
        Err(refusal) => refusal,
    }
}

fn hs256(key: &[u8], message: &str) -> String {
    format!("{message}.{}", encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message.as_bytes())))
}

#[tokio::test]
async fn p1_tokens_of_every_algorithm_are_right() {
    for (signer, algorithms) in [
        (Signer::rsa(), &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"][..]),
        (Signer::p256(), &["ES256"]),
        (Signer::p384(), &["ES384"]),
        (Signer::ed25519(), &["EdDSA"]),
    ] {
        let keys = keys(&[signer.jwk("a")]);
        for algorithm in algorithms {
            for header in [json!({"alg": algorithm, "kid": "a"}), json!({"alg": algorithm})] {
                assert_eq!(judge(&keys, &signer.token(&header, &claims(json!({})))), "", "{header}");
            }
        }
    }
}

#[tokio::test]
async fn p1_no_token_chooses_its_algorithm() {
    let signer = Signer::rsa();
    let jwk = signer.jwk("a");
    let rsa = keys(std::slice::from_ref(&jwk));
    for algorithm in ["none", "None", "NONE", "", "HS257"] {
        let message = message(&json!({"alg": algorithm, "kid": "a"}), &claims(json!({})));
        for token in [format!("{message}."), hs256(b"", &message)] {
            assert!(judge(&rsa, &token).contains("malformed"), "{algorithm}");
        }
    }
    // The public key as the secret of an HMAC, in whichever form.
    let n = BASE64_URL_SAFE_NO_PAD.decode(jwk["n"].as_str().unwrap()).unwrap();
    for secret in [n.as_slice(), jwk["n"].as_str().unwrap().as_bytes(), jwk.to_string().as_bytes(), b""] {
        let message = message(&json!({"alg": "HS256", "kid": "a"}), &claims(json!({})));
        assert!(judge(&rsa, &hs256(secret, &message)).contains("the algorithm is not that of the key"));
    }
    // Another algorithm than the key is for.
    let mut pss = jwk;
    pss["alg"] = json!("PS256");
    let token = signer.token(&json!({"alg": "RS256", "kid": "a"}), &claims(json!({})));
    assert!(judge(&keys(&[pss]), &token).contains("the algorithm is not that of the key"));
    let es256 = Signer::p256().token(&json!({"alg": "ES256", "kid": "a"}), &claims(json!({})));
    assert!(judge(&rsa, &es256).contains("the algorithm is not that of the key"));
}

#[tokio::test]
async fn p1_a_token_that_was_changed_or_signed_by_others_is_wrong() {
    let (signer, attacker) = (Signer::p256(), Signer::p256());
    let keys = keys(&[signer.jwk("a")]);
    let header = json!({"alg": "ES256", "kid": "a"});
    let token = signer.token(&header, &claims(json!({})));
    let (message_of, signature) = token.rsplit_once('.').unwrap();
    let forged = message(&header, &claims(json!({"sub": "root"})));
    let zeros = encode([0; 64]);
    let longer = signature.to_owned() + "AA";
    let wrong = [format!("{forged}.{signature}"), format!("{message_of}.{zeros}"), format!("{message_of}.{longer}")];
    for token in wrong.into_iter().chain([format!("{message_of}."), attacker.token(&header, &claims(json!({})))]) {
        assert!(judge(&keys, &token).contains("the signature is not that of a known key"), "{token}");
    }
    // A token that brings its own key, or says where it is.
    for own in [json!({"jwk": attacker.jwk("a")}), json!({"jku": "http://evil/"}), json!({"x5u": "http://evil/"})] {
        let mut header = header.clone();
        header.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
        let refused = judge(&keys, &attacker.token(&header, &claims(json!({}))));
        assert!(refused.contains("the signature is not that of a known key"), "{refused}");
    }
    let critical = json!({"alg": "ES256", "kid": "a", "crit": ["b64"], "b64": false});
    assert!(judge(&keys, &signer.token(&critical, &claims(json!({})))).contains("needs an extension"));
    let unknown = signer.token(&json!({"alg": "ES256", "kid": "b"}), &claims(json!({})));
    assert_eq!(judge(&keys, &unknown), "UnknownKey");
}

#[tokio::test]
async fn p1_a_token_without_the_name_of_its_key_is_tried_with_each() {
    let (first, second) = (Signer::ed25519(), Signer::p256());
    let keys = keys(&[first.jwk("a"), second.jwk("b")]);
    for (signer, algorithm) in [(&first, "EdDSA"), (&second, "ES256")] {
        assert_eq!(judge(&keys, &signer.token(&json!({"alg": algorithm}), &claims(json!({})))), "");
        let expired = signer.token(&json!({"alg": algorithm}), &claims(json!({"exp": 1})));
        assert!(judge(&keys, &expired).contains("has expired"), "the reason of the key that fits");
    }
}

#[tokio::test]
async fn p1_a_token_holds_for_its_time_issuer_and_audience_only() {
    let signer = Signer::ed25519();
    let keys = keys(&[signer.jwk("a")]);
    let now = get_current_timestamp();
    for (others, reason) in [
        (json!({"exp": now - 50}), ""),
        (json!({"exp": now - 70}), "has expired"),
        (json!({"exp": null}), "lacks a claim"),
        (json!({"exp": "9999999999"}), "lacks a claim"),
        (json!({"exp": -1}), "lacks a claim"),
        (json!({"nbf": now + 50}), ""),
        (json!({"nbf": now + 90}), "not valid yet"),
        (json!({"nbf": "soon"}), "malformed"),
        (json!({"iss": "evil"}), "another issuer"),
        (json!({"iss": null}), "lacks a claim"),
        (json!({"iss": {"a": "idp"}}), "lacks a claim"),
        (json!({"aud": "other"}), "another audience"),
        (json!({"aud": null}), "lacks a claim"),
        (json!({"aud": []}), "another audience"),
        (json!({"aud": ["other", "web"]}), ""),
    ] {
        let verdict = judge(&keys, &signer.token(&json!({"alg": "EdDSA"}), &claims(others.clone())));
        assert!(if reason.is_empty() { verdict.is_empty() } else { verdict.contains(reason) }, "{others}: {verdict}");
    }
    let twice = format!(r#"{{"iss":"idp","aud":"shop","exp":1,"exp":{}}}"#, now + 600);
    let message = format!("{}.{}", encode(r#"{"alg":"EdDSA"}"#), encode(twice));
    let token = format!("{message}.{}", encode(signer.signature("EdDSA", message.as_bytes())));
    assert!(judge(&keys, &token).contains("malformed"), "a claim that is there twice");
}

#[tokio::test]
async fn p1_claims_become_headers_and_what_is_wrong_an_answer() {
    let signer = Signer::ed25519();
    let param = json!({"jwks": {"secretName": "idp"}, "claimsToHeaders": {"sub": "x-user", "role": "x-role"}});
    let content = json!({"keys": [signer.jwk("a")]}).to_string();
    let files = weir_proto::model::Files([("secret/idp/jwks.json".to_owned(), content.into_bytes())].into());
    let Ok(param::Param::Jwt(param)) = param::Param::parse(weir_proto::model::BuiltIn::Jwt, &param, &files) else {
        panic!()
    };
    let jwt = Jwt::new(param);
    assert_eq!(jwt.own_headers().len(), 2);
    let run = |text: String| {
        let value: &'static str = format!("Bearer {text}").leak();
        let fixture = Fixture::new(&[1], |_| ()).with_request("/", &[("authorization", value)]);
        let mut session = fixture.session();
        let flow = jwt.pre(&mut session).unwrap();
        (flow, session.into_changes().len())
    };
    let header = json!({"alg": "EdDSA", "kid": "a"});
    let (flow, changes) = run(signer.token(&header, &claims(json!({"aud": null, "iss": null}))));
    assert!(matches!(flow, Flow::GoOn) && changes == 1, "neither issuer nor audience is asked for");
    let (flow, changes) = run(signer.token(&header, &claims(json!({"exp": 1}))));
    let Flow::Halt(halt) = flow else { panic!("{flow:?}") };
    assert_eq!((halt.status.as_u16(), changes), (401, 0));
    assert!(halt.headers[WWW_AUTHENTICATE].to_str().unwrap().contains("error=\"invalid_token\""));
    let (flow, _) = run(signer.token(&json!({"alg": "EdDSA", "kid": "b"}), &claims(json!({}))));
    assert!(matches!(flow, Flow::Halt(_)), "nobody is asked for a key that is not among fixed ones");
}
