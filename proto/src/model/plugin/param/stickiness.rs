//! The parameter of `Stickiness`.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::{Files, files, read, scalar};
use crate::model::{Invalid, PathMatch};

/// Of `Stickiness`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stickiness {
    /// Name of the cookie.
    pub cookie: String,
    /// What it says.
    pub encoding: Encoding,
    /// Where it is valid; `None` = the prefix of the rule that matched.
    pub path: Option<String>,
    /// Scripts do not see it.
    pub http_only: bool,
    /// It goes over TLS only.
    pub secure: bool,
    /// Whether requests from other sites carry it.
    pub same_site: Option<SameSite>,
    /// How long it is kept; `None` = until the browser ends.
    pub max_age: Option<Duration>,
    /// Whether requests stay with a server that is up but full, for which they wait, or has no weight any more.
    pub always: bool,
}

/// How a cookie names an endpoint.
#[derive(Clone, PartialEq, Eq)]
pub enum Encoding {
    /// By a hash.
    Opaque,
    /// By name and address, with a signature by this key.
    Signed(Vec<u8>),
    /// By name and address.
    Plain,
}

/// Never shows a key.
impl fmt::Debug for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Opaque => "Opaque",
            Self::Signed(_) => "Signed",
            Self::Plain => "Plain",
        })
    }
}

/// Whether requests from other sites carry a cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum SameSite {
    /// None of them.
    Strict,
    /// Those that follow a link.
    Lax,
    /// All of them.
    None,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Fields {
    #[serde(deserialize_with = "scalar::cookie_name")]
    cookie: String,
    #[serde(default)]
    value: ValueKind,
    secret_name: Option<String>,
    #[serde(default, deserialize_with = "path")]
    path: Option<String>,
    #[serde(default = "yes")]
    http_only: bool,
    #[serde(default)]
    secure: bool,
    same_site: Option<SameSite>,
    #[serde(default, deserialize_with = "scalar::some_duration")]
    max_age: Option<Duration>,
    #[serde(default)]
    always: bool,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ValueKind {
    #[default]
    Opaque,
    Signed,
    Plain,
}

fn yes() -> bool {
    true
}

/// A path without the characters that end an attribute of a cookie.
fn path<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    scalar::text(from, |path| match PathMatch::exact(path) {
        Ok(_) if path.contains(';') || !path.is_ascii() => Err(format!("{path:?} is no path of a cookie")),
        Ok(_) => Ok(Some(path.to_owned())),
        Err(reason) => Err(reason),
    })
}

impl Stickiness {
    pub(super) fn parse(param: &Value, files: &Files) -> Result<Self, Invalid> {
        let Fields { cookie, value, secret_name, path, http_only, secure, same_site, max_age, always } = read(param)?;
        let encoding = match (value, secret_name) {
            (ValueKind::Signed, None) => return Err(Invalid::new("secretName", "is needed with value signed")),
            (ValueKind::Signed, Some(name)) => Encoding::Signed(key(files, &name)?),
            (_, Some(_)) => return Err(Invalid::new("secretName", "goes with value signed only")),
            (ValueKind::Opaque, None) => Encoding::Opaque,
            (ValueKind::Plain, None) => Encoding::Plain,
        };
        if same_site == Some(SameSite::None) && !secure {
            return Err(Invalid::new("sameSite", "None goes with secure only: browsers refuse the cookie otherwise"));
        }
        Ok(Self { cookie, encoding, path, http_only, secure, same_site, max_age, always })
    }
}

/// The one entry of a Secret.
fn key(files: &Files, name: &str) -> Result<Vec<u8>, Invalid> {
    const SHORTEST: usize = 16;
    match files::secret(files, name)?[..] {
        [(_, key)] if key.len() >= SHORTEST => Ok(key.to_vec()),
        [_] => Err(Invalid::new("secretName", format!("the key in Secret {name:?} has less than {SHORTEST} bytes"))),
        _ => Err(Invalid::new("secretName", format!("Secret {name:?} must have one entry, the key"))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{parse, refusal};
    use super::super::{BuiltIn, Param};
    use super::*;

    #[test]
    fn p4_a_sticky_cookie_has_careful_defaults() {
        let Param::Stickiness(stickiness) = parse(BuiltIn::Stickiness, &json!({"cookie": "srv"})) else { panic!() };
        let expected = Stickiness {
            cookie: "srv".to_owned(),
            encoding: Encoding::Opaque,
            path: None,
            http_only: true,
            secure: false,
            same_site: None,
            max_age: None,
            always: false,
        };
        assert_eq!(stickiness, expected);
    }

    #[test]
    fn p4_a_signed_cookie_needs_a_key_that_is_one() {
        let param = json!({"cookie": "srv", "value": "signed", "secretName": "keys"});
        let with = |entries: &[(&str, &[u8])]| {
            let path = |key: &str| format!("secret/keys/{key}");
            let files = Files(entries.iter().map(|(key, content)| (path(key), content.to_vec())).collect());
            Param::parse(BuiltIn::Stickiness, &param, &files).map_err(|error| error.to_string())
        };
        let Ok(Param::Stickiness(stickiness)) = with(&[("key", &[7; 32])]) else { panic!() };
        assert_eq!(stickiness.encoding, Encoding::Signed(vec![7; 32]));
        assert!(!format!("{stickiness:?}").contains('7'), "the key is not shown");
        for entries in [&[][..], &[("key", &[7; 15][..])], &[("a", &[7; 32]), ("b", &[7; 32])]] {
            assert!(with(entries).unwrap_err().starts_with("secretName: "));
        }
        assert!(refusal(BuiltIn::Stickiness, &json!({"cookie": "a", "value": "signed"})).starts_with("secretName: "));
        assert!(refusal(BuiltIn::Stickiness, &json!({"cookie": "a", "secretName": "k"})).starts_with("secretName: "));
    }

    #[test]
    fn p4_no_attribute_of_a_cookie_can_be_smuggled_in() {
        for (field, value) in [("cookie", "a=b; x"), ("cookie", ""), ("path", "/a;secure"), ("path", "/\r\n")] {
            let mut param = json!({"cookie": "srv"});
            param[field] = value.into();
            assert!(refusal(BuiltIn::Stickiness, &param).starts_with(field), "{field} {value:?}");
        }
        let open = json!({"cookie": "srv", "sameSite": "None"});
        assert!(refusal(BuiltIn::Stickiness, &open).starts_with("sameSite: None goes with secure only"));
    }
}
