//! The parameter of `Jwt`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use http::{HeaderName, Uri, header};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::scalar::Changeable;
use super::{Carrier, Files, KeySet, Reference, files, read, scalar};
use crate::model::Invalid;

/// Of `Jwt`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jwt {
    /// Who must have issued a token; `None` = whoever has a key.
    pub issuer: Option<String>,
    /// Whom a token must be for: one of them; empty = whomever.
    pub audience: Vec<String>,
    /// What signatures are checked with.
    pub keys: KeySource,
    /// Where requests carry their token.
    pub token: Carrier,
    /// How far clocks may differ, in whole seconds.
    pub leeway: Duration,
    /// Claims that upstreams see: by name, or by JSON pointer if it begins with a slash.
    pub claims_to_headers: BTreeMap<String, HeaderName>,
}

/// Where keys come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// The parameter names them.
    Fixed(KeySet),
    /// Another server has them.
    Url {
        /// Where.
        url: Uri,
        /// How long they are believed to be the newest.
        refresh: Duration,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Fields {
    #[serde(default, deserialize_with = "some_filled")]
    issuer: Option<String>,
    #[serde(default, deserialize_with = "audience")]
    audience: Vec<String>,
    jwks: JwksFields,
    #[serde(default, deserialize_with = "scalar::some_header")]
    header: Option<HeaderName>,
    #[serde(default, deserialize_with = "scalar::some_cookie")]
    cookie: Option<String>,
    #[serde(default = "minute", deserialize_with = "leeway")]
    leeway: Duration,
    #[serde(default)]
    claims_to_headers: BTreeMap<String, Changeable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct JwksFields {
    #[serde(default, deserialize_with = "some_url")]
    url: Option<Uri>,
    #[serde(default, deserialize_with = "some_refresh")]
    refresh: Option<Duration>,
    config_map: Option<EntryFields>,
    secret_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryFields {
    #[serde(deserialize_with = "scalar::filled")]
    name: String,
    #[serde(default = "jwks_json", deserialize_with = "scalar::filled")]
    key: String,
}

/// The entry that has the keys if nobody says otherwise.
fn jwks_json() -> String {
    "jwks.json".to_owned()
}

fn minute() -> Duration {
    Duration::from_mins(1)
}

fn some_filled<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    scalar::filled(from).map(Some)
}

fn some_url<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Uri>, D::Error> {
    scalar::url(from).map(Some)
}

fn some_refresh<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    const SHORTEST: Duration = Duration::from_secs(1);
    match scalar::duration(from)? {
        refresh if refresh < SHORTEST => Err(serde::de::Error::custom("must be at least 1s")),
        refresh => Ok(Some(refresh)),
    }
}

fn leeway<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    const LONGEST: Duration = Duration::from_mins(10);
    match scalar::duration(from)? {
        leeway if leeway > LONGEST => Err(serde::de::Error::custom("must be at most 10m")),
        leeway if leeway.subsec_nanos() > 0 => Err(serde::de::Error::custom("must be whole seconds")),
        leeway => Ok(leeway),
    }
}

/// A text or a list of texts.
fn audience<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let wrong = || serde::de::Error::custom("must be a text or a list of texts, none of them empty");
    let all = match Value::deserialize(from)? {
        Value::Array(all) => all,
        one => vec![one],
    };
    let texts = all.iter().map(|one| one.as_str().filter(|text| !text.is_empty()).map(str::to_owned));
    texts.collect::<Option<Vec<_>>>().filter(|texts| !texts.is_empty()).ok_or_else(wrong)
}

impl Jwt {
    pub(super) fn parse(param: &Value, files: &Files) -> Result<Self, Invalid> {
        let Fields { issuer, audience, jwks, header, cookie, leeway, claims_to_headers } = read(param)?;
        let token = Carrier::named(header, cookie)?.unwrap_or(Carrier::Header(header::AUTHORIZATION));
        Ok(Self {
            issuer,
            audience,
            keys: jwks.source(files).map_err(|e| e.under("jwks"))?,
            claims_to_headers: headers(claims_to_headers, &token).map_err(|e| e.under("claimsToHeaders"))?,
            token,
            leeway,
        })
    }
}

impl JwksFields {
    fn source(self, files: &Files) -> Result<KeySource, Invalid> {
        const REFRESH: Duration = Duration::from_mins(10);
        let Self { url, refresh, config_map, secret_name } = self;
        if url.is_none() && refresh.is_some() {
            return Err(Invalid::new("refresh", "goes with url only"));
        }
        match (url, config_map, secret_name) {
            (Some(url), None, None) => Ok(KeySource::Url { url, refresh: refresh.unwrap_or(REFRESH) }),
            (None, Some(EntryFields { name, key }), None) => {
                fixed(files, &Reference::ConfigMap(name), &key).map_err(|e| Invalid::new("configMap", e))
            }
            (None, None, Some(name)) => {
                fixed(files, &Reference::Secret(name), &jwks_json()).map_err(|e| Invalid::new("secretName", e))
            }
            _ => Err(Invalid::new("", "names either a url, a configMap or a secretName")),
        }
    }
}

fn fixed(files: &Files, object: &Reference, key: &str) -> Result<KeySource, String> {
    let set = KeySet::parse(files::entry(files, object, key)?);
    set.map(KeySource::Fixed).map_err(|reason| format!("entry {key:?} {reason}"))
}

/// Two claims in one header, or one in place of the token, would hide what upstreams rely on.
fn headers(claims: BTreeMap<String, Changeable>, token: &Carrier) -> Result<BTreeMap<String, HeaderName>, Invalid> {
    let mut known = BTreeSet::new();
    for (claim, Changeable(name)) in &claims {
        if !known.insert(name.as_str()) {
            return Err(Invalid::new(claim.as_str(), format!("the header {name} has another claim")));
        }
        if *token == Carrier::Header(name.clone()) {
            return Err(Invalid::new(claim.as_str(), format!("the header {name} has the token")));
        }
    }
    Ok(claims.into_iter().map(|(claim, name)| (claim, name.0)).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{parse, refusal};
    use super::super::{BuiltIn, Param};
    use super::*;

    const KEY: &str =
        r#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

    fn jwt(param: &Value, files: &[(&str, &str)]) -> Result<Jwt, String> {
        let files = Files(files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect());
        match Param::parse(BuiltIn::Jwt, param, &files).map_err(|e| e.to_string())? {
            Param::Jwt(jwt) => Ok(jwt),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn p1_a_token_is_in_authorization_unless_another_place_is_named() {
        let place = |fields: Value| {
            let mut param = json!({"jwks": {"url": "https://idp.example.com/keys"}});
            param.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            let Param::Jwt(jwt) = parse(BuiltIn::Jwt, &param) else { panic!() };
            jwt.token
        };
        assert_eq!(place(json!({})), Carrier::Header(header::AUTHORIZATION));
        assert_eq!(place(json!({"header": "X-Token"})), Carrier::Header(HeaderName::from_static("x-token")));
        assert_eq!(place(json!({"cookie": "token"})), Carrier::Cookie("token".to_owned()));
    }

    #[test]
    fn p1_keys_come_from_a_url_a_config_map_or_a_secret() {
        let url = jwt(&json!({"jwks": {"url": "https://idp.example.com/keys"}}), &[]).unwrap().keys;
        let expected = Uri::from_static("https://idp.example.com/keys");
        assert_eq!(url, KeySource::Url { url: expected, refresh: Duration::from_mins(10) });
        let fixed = KeySource::Fixed(KeySet::parse(KEY.as_bytes()).unwrap());
        let secret = json!({"jwks": {"secretName": "idp"}});
        assert_eq!(jwt(&secret, &[("secret/idp/jwks.json", KEY)]).unwrap().keys, fixed);
        let config_map = json!({"jwks": {"configMap": {"name": "idp", "key": "a"}}});
        assert_eq!(jwt(&config_map, &[("configmap/idp/a", KEY)]).unwrap().keys, fixed);
        let refused = jwt(&config_map, &[("configmap/idp/jwks.json", KEY)]).unwrap_err();
        assert_eq!(refused, "jwks.configMap: there is no ConfigMap \"idp\" with an entry \"a\"");
        let refused = jwt(&secret, &[("secret/idp/jwks.json", "hunter2")]).unwrap_err();
        assert_eq!(refused, "jwks.secretName: entry \"jwks.json\" is no JWK set: line 1, column 1");
    }

    #[test]
    fn p1_tokens_are_for_one_audience_or_several() {
        let audience = |audience: Value| {
            let param = json!({"audience": audience, "issuer": "i", "jwks": {"url": "http://idp/"}, "leeway": "0s"});
            jwt(&param, &[]).map(|jwt| jwt.audience)
        };
        assert_eq!(audience(json!("a")).unwrap(), ["a"]);
        assert_eq!(audience(json!(["a", "b"])).unwrap(), ["a", "b"]);
        for wrong in [json!(""), json!([]), json!([""]), json!(5), json!({"a": "b"})] {
            assert!(audience(wrong).unwrap_err().starts_with("audience: must be a text or a list"));
        }
    }

    #[test]
    fn p1_parameters_that_would_let_the_wrong_in_are_refused_by_field() {
        let url = json!({"url": "https://idp.example.com/keys"});
        for (param, expected) in [
            (json!({}), ": missing field `jwks`"),
            (json!({"jwks": {}}), "jwks: names either a url"),
            (json!({"jwks": {"url": "http://a/", "secretName": "a"}}), "jwks: names either a url"),
            (json!({"jwks": {"url": "ftp://a/b"}}), "jwks.url: must begin with http://"),
            (json!({"jwks": {"url": "/keys"}}), "jwks.url: must begin with http://"),
            (json!({"jwks": {"url": "https://a:b@c/"}}), "jwks.url: must not have a user name"),
            (json!({"jwks": {"url": "file:///a"}}), "jwks.url: \"file:///a\" is no URL"),
            (json!({"jwks": {"url": "https://a b/"}}), "jwks.url: \"https://a b/\" is no URL"),
            (json!({"jwks": {"url": "https://a/", "refresh": "1ms"}}), "jwks.refresh: must be at least 1s"),
            (json!({"jwks": {"secretName": "a", "refresh": "1m"}}), "jwks.refresh: goes with url only"),
            (json!({"jwks": {"configMap": {"name": ""}}}), "jwks.configMap.name: must not be empty"),
            (json!({"jwks": {"secretName": "a"}}), "jwks.secretName: there is no Secret \"a\""),
            (json!({"jwks": url, "issuer": ""}), "issuer: must not be empty"),
            (json!({"jwks": url, "header": "a", "cookie": "b"}), ": names either a header or a cookie"),
            (json!({"jwks": url, "leeway": "11m"}), "leeway: must be at most 10m"),
            (json!({"jwks": url, "leeway": "1ms"}), "leeway: must be whole seconds"),
            (json!({"jwks": url, "algorithms": ["none"]}), "algorithms: unknown field"),
            (json!({"jwks": url, "claimsToHeaders": {"sub": "a b"}}), "claimsToHeaders.sub: \"a b\" is no name"),
            (
                json!({"jwks": url, "claimsToHeaders": {"sub": "connection"}}),
                "claimsToHeaders.sub: the header connection",
            ),
            (
                json!({"jwks": url, "claimsToHeaders": {"a": "x", "b": "X"}}),
                "claimsToHeaders.b: the header x has another",
            ),
            (
                json!({"jwks": url, "claimsToHeaders": {"a": "authorization"}}),
                "claimsToHeaders.a: the header authorization",
            ),
        ] {
            let refused = refusal(BuiltIn::Jwt, &param);
            assert!(refused.starts_with(expected), "{refused}");
        }
    }
}
