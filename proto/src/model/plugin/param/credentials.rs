//! Parameters of the types that ask who it is: `ApiKey`, `BasicAuth`.

use std::collections::BTreeMap;
use std::fmt;

use http::HeaderName;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{Files, files, read, scalar};
use crate::model::Invalid;

/// Of `ApiKey`.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Where requests carry their key.
    pub header: HeaderName,
    /// Keys that may come in.
    pub keys: Vec<Vec<u8>>,
}

/// Never shows a key.
impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey").field("header", &self.header).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ApiKeyFields {
    #[serde(default = "x_api_key", deserialize_with = "scalar::header")]
    header: HeaderName,
    #[serde(deserialize_with = "scalar::filled")]
    secret_name: String,
}

fn x_api_key() -> HeaderName {
    HeaderName::from_static("x-api-key")
}

impl ApiKey {
    /// Each entry of the Secret is a client and its key.
    pub(super) fn parse(param: &Value, files: &Files) -> Result<Self, Invalid> {
        let ApiKeyFields { header, secret_name } = read(param)?;
        let entries = files::secret(files, &secret_name)?;
        let keys = entries.into_iter().map(|(client, key)| match key.trim_ascii() {
            b"" => Err(Invalid::new("secretName", format!("the key of {client:?} is empty"))),
            key => Ok(key.to_vec()),
        });
        Ok(Self { header, keys: keys.collect::<Result<_, _>>()? })
    }
}

/// Of `BasicAuth`.
#[derive(Clone, PartialEq, Eq)]
pub struct BasicAuth {
    /// What people are asked for.
    pub realm: String,
    /// Users with the hashes of their passwords.
    pub users: BTreeMap<String, PasswordHash>,
}

/// Never shows a hash.
impl fmt::Debug for BasicAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BasicAuth").field("realm", &self.realm).finish_non_exhaustive()
    }
}

/// A hash of a password.
#[derive(Clone, PartialEq, Eq)]
pub enum PasswordHash {
    /// `$2y$...`
    Bcrypt(String),
    /// `$6$...`
    Sha512Crypt(String),
}

/// Never shows a hash.
impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bcrypt(_) => "Bcrypt",
            Self::Sha512Crypt(_) => "Sha512Crypt",
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct BasicAuthFields {
    #[serde(deserialize_with = "scalar::filled")]
    secret_name: String,
    #[serde(default = "restricted", deserialize_with = "realm")]
    realm: String,
}

fn restricted() -> String {
    "restricted".to_owned()
}

fn realm<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    scalar::text(from, |text| {
        let legal = text.chars().all(|c| matches!(c, ' '..='~') && c != '"' && c != '\\');
        if legal { Ok(text.to_owned()) } else { Err("must be printable ASCII without quotes and backslashes") }
    })
}

impl BasicAuth {
    /// Each entry of the Secret is an htpasswd file.
    pub(super) fn parse(param: &Value, files: &Files) -> Result<Self, Invalid> {
        let BasicAuthFields { secret_name, realm } = read(param)?;
        let mut users = BTreeMap::new();
        for (key, content) in files::secret(files, &secret_name)? {
            let refused = |reason: String| Invalid::new("secretName", format!("entry {key:?}: {reason}"));
            let text = std::str::from_utf8(content).map_err(|e| refused(e.to_string()))?;
            for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
                let (user, hash) = parse_user(line).map_err(refused)?;
                users.insert(user, hash);
            }
        }
        Ok(Self { realm, users })
    }
}

/// Reasons never show the hash.
fn parse_user(line: &str) -> Result<(String, PasswordHash), String> {
    let (user, hash) = line.split_once(':').ok_or("a line is not USER:HASH")?;
    let is_bcrypt = ["$2y$", "$2b$", "$2a$"].iter().any(|prefix| hash.starts_with(prefix)) && hash.len() == 60;
    // Its end is the base64 of 64 bytes.
    let is_sha512 = hash.starts_with("$6$") && hash.rsplit('$').next().is_some_and(|end| end.len() == 86);
    match (is_bcrypt, is_sha512) {
        (true, _) => Ok((user.to_owned(), PasswordHash::Bcrypt(hash.to_owned()))),
        (_, true) => Ok((user.to_owned(), PasswordHash::Sha512Crypt(hash.to_owned()))),
        _ => Err(format!(
            "the hash of {user:?} is neither bcrypt nor SHA-512-crypt: use htpasswd -B or mkpasswd -m sha512crypt"
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{BuiltIn, Param};
    use super::*;

    const BCRYPT: &str = "$2b$04$EGdrhbKUv8Oc9vGiXX0HQOxSg445d458Muh7DAHskb6QbtCvdxcie";

    fn with(built_in: BuiltIn, param: &Value, entries: &[(&str, &str)]) -> Result<Param, String> {
        let entry = |(key, content): &(&str, &str)| (format!("secret/users/{key}"), content.as_bytes().to_vec());
        let files = Files(entries.iter().map(entry).collect());
        Param::parse(built_in, param, &files).map_err(|error| error.to_string())
    }

    #[test]
    fn p1_htpasswd_files_have_hashes_that_can_be_checked() {
        let param = json!({"secretName": "users", "realm": "shop"});
        let text = format!("# people\nada:{BCRYPT}\n\nbob:$6$saltsalt${}\n", "a".repeat(86));
        let Ok(Param::BasicAuth(auth)) = with(BuiltIn::BasicAuth, &param, &[("auth", &text)]) else { panic!() };
        assert_eq!(auth.users.keys().collect::<Vec<_>>(), ["ada", "bob"]);
        assert!(!format!("{auth:?}").contains("$2b$"), "hashes are not shown");
        for (line, reason) in
            [("ada", "not USER:HASH"), ("ada:{SHA}abc=", "\"ada\" is neither"), ("ada:plain", "neither")]
        {
            let refused = with(BuiltIn::BasicAuth, &param, &[("auth", line)]).unwrap_err();
            assert!(refused.starts_with("secretName: entry \"auth\"") && refused.contains(reason), "{refused}");
            assert!(!refused.contains("abc=") && !refused.contains("plain"), "{refused}");
        }
        let quoted = json!({"secretName": "users", "realm": "a\"b"});
        assert!(with(BuiltIn::BasicAuth, &quoted, &[]).unwrap_err().starts_with("realm: must be"));
    }

    #[test]
    fn p1_a_secret_that_is_missing_is_refused_and_no_key_is_empty() {
        let param = json!({"secretName": "users"});
        for built_in in [BuiltIn::BasicAuth, BuiltIn::ApiKey] {
            let refused = with(built_in, &param, &[]).unwrap_err();
            assert!(refused.starts_with("secretName: there is no Secret \"users\""), "{refused}");
        }
        assert!(with(BuiltIn::ApiKey, &param, &[("ada", " \n")]).unwrap_err().contains("key of \"ada\" is empty"));
        let Ok(Param::ApiKey(keys)) = with(BuiltIn::ApiKey, &param, &[("ada", "k1\n")]) else { panic!() };
        assert_eq!((keys.header.as_str(), keys.keys), ("x-api-key", vec![b"k1".to_vec()]));
    }
}
