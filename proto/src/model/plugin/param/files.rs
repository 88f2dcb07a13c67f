//! Secrets, ConfigMaps and Pools that parameters name.

use serde_json::Value;

use super::{BuiltIn, Files};
use crate::model::Invalid;

/// What a parameter names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reference {
    /// A Secret of the same namespace.
    Secret(String),
    /// A ConfigMap of the same namespace.
    ConfigMap(String),
    /// A Pool of the same namespace.
    Pool(String),
}

/// What the parameter of this type names, and in which of its fields; needs no parameter that is right.
#[must_use]
pub fn references(built_in: BuiltIn, param: &Value) -> Vec<(Reference, &'static str)> {
    let named = |field: &'static str, reference: fn(String) -> Reference| {
        let value = field.split('.').try_fold(param, |value, name| value.get(name))?;
        Some((reference(value.as_str()?.to_owned()), field))
    };
    let named = match built_in {
        BuiltIn::Stickiness | BuiltIn::ApiKey | BuiltIn::BasicAuth => [named("secretName", Reference::Secret), None],
        BuiltIn::Jwt => {
            [named("jwks.secretName", Reference::Secret), named("jwks.configMap.name", Reference::ConfigMap)]
        }
        BuiltIn::Mirror => [named("pool", Reference::Pool), None],
        _ => [None, None],
    };
    named.into_iter().flatten().collect()
}

/// The entries of a Secret, by key.
///
/// # Errors
/// If there is none: it is missing or empty.
pub(super) fn secret<'f>(files: &'f Files, name: &str) -> Result<Vec<(&'f str, &'f [u8])>, Invalid> {
    let found = entries(files, &format!("secret/{name}/"));
    if found.is_empty() {
        return Err(Invalid::new("secretName", format!("there is no Secret {name:?} with an entry")));
    }
    Ok(found)
}

/// One entry of a Secret or ConfigMap.
///
/// # Errors
/// If there is none.
pub(super) fn entry<'f>(files: &'f Files, object: &Reference, key: &str) -> Result<&'f [u8], String> {
    let (kind, folder, name) = match object {
        Reference::Secret(name) => ("Secret", "secret", name),
        Reference::ConfigMap(name) => ("ConfigMap", "configmap", name),
        Reference::Pool(name) => return Err(format!("the Pool {name:?} has no entries")),
    };
    let content = files.0.get(&format!("{folder}/{name}/{key}"));
    content.map(Vec::as_slice).ok_or_else(|| format!("there is no {kind} {name:?} with an entry {key:?}"))
}

fn entries<'f>(files: &'f Files, folder: &str) -> Vec<(&'f str, &'f [u8])> {
    let all = files.0.iter();
    all.filter_map(|(path, content)| Some((path.strip_prefix(folder)?, content.as_slice()))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_parameter_names_is_known_before_it_is_right() {
        let param = json!({"secretName": "keys", "cookie": 5});
        assert_eq!(references(BuiltIn::Stickiness, &param), [(Reference::Secret("keys".to_owned()), "secretName")]);
        assert_eq!(references(BuiltIn::Stickiness, &json!({"secretName": 5})), []);
        assert_eq!(references(BuiltIn::Random, &param), []);
        let jwks = references(BuiltIn::Jwt, &json!({"jwks": {"configMap": {"name": "a"}, "secretName": "b"}}));
        let secret = (Reference::Secret("b".to_owned()), "jwks.secretName");
        assert_eq!(jwks, [secret, (Reference::ConfigMap("a".to_owned()), "jwks.configMap.name")]);
        let param = json!({"pool": "shadow", "percent": 500});
        assert_eq!(references(BuiltIn::Mirror, &param), [(Reference::Pool("shadow".to_owned()), "pool")]);
    }

    #[test]
    fn the_entries_of_a_secret_are_its_own() {
        let paths = ["secret/a/x", "secret/ab/y", "configmap/a/z"];
        let files = Files(paths.map(|path| (path.to_owned(), path.as_bytes().to_vec())).into());
        assert_eq!(secret(&files, "a"), Ok(vec![("x", &b"secret/a/x"[..])]));
        assert_eq!(secret(&files, "b").unwrap_err().field, "secretName");
        let config_map = Reference::ConfigMap("a".to_owned());
        assert_eq!(entry(&files, &config_map, "z"), Ok(&b"configmap/a/z"[..]));
        assert!(entry(&files, &config_map, "x").unwrap_err().contains("no ConfigMap \"a\" with an entry \"x\""));
    }
}
