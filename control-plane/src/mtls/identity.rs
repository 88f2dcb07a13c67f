//! The namespaces that a proxy's certificate names, as URIs among its alternative names: `weir://namespaces/shop`,
//! one each, or `weir://namespaces/*` for all of them. URIs of other schemes are other people's.
//!
//! Whatever else has our scheme makes the whole certificate worthless: a slip of the pen must not widen or narrow
//! what a proxy may read without anybody noticing.

use std::collections::BTreeSet;
use std::sync::Arc;

use weir_proto::model::name::check_namespace;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use super::Refusal;
use crate::scope::Scope;

/// What a namespace's name follows.
pub(crate) const PREFIX: &str = "weir://namespaces/";
const SCHEME: &str = "weir:";
/// In place of a namespace's name.
pub(crate) const ALL: &str = "*";

/// The scope of a proxy with this certificate, in DER.
///
/// # Errors
/// If it names no namespace, or cannot be understood.
pub fn scope(certificate: &[u8]) -> Result<Scope, Refusal> {
    let bad = |what: &str| Refusal::BadCertificate(what.to_owned());
    let (_, certificate) = parse_x509_certificate(certificate).map_err(|_| bad("malformed"))?;
    let names = certificate.subject_alternative_name().map_err(|_| bad("malformed alternative names"))?;
    let names = names.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
    of_uris(names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    }))
}

fn of_uris<'a>(uris: impl Iterator<Item = &'a str>) -> Result<Scope, Refusal> {
    let mut namespaces = BTreeSet::new();
    let mut is_all = false;
    for uri in uris.filter(|uri| is_ours(uri)) {
        match uri.strip_prefix(PREFIX) {
            Some(ALL) => is_all = true,
            Some(namespace) if check_namespace(namespace).is_ok() => _ = namespaces.insert(Arc::from(namespace)),
            _ => return Err(Refusal::BadCertificate(format!("{uri:?} is no {PREFIX}NAMESPACE"))),
        }
    }
    match (is_all, namespaces.is_empty()) {
        (true, _) => Ok(Scope::All),
        (false, false) => Ok(Scope::Only(namespaces)),
        (false, true) => Err(Refusal::NoNamespace),
    }
}

/// Schemes have no case.
fn is_ours(uri: &str) -> bool {
    uri.get(..SCHEME.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    fn of(uris: &[&str]) -> Result<Scope, Refusal> {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["weir://namespaces/in-a-dns-name".to_owned()]).unwrap();
        params.subject_alt_names.extend(uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())));
        scope(params.self_signed(&key).unwrap().der())
    }

    fn only(namespaces: &[&str]) -> Result<Scope, Refusal> {
        Ok(Scope::Only(namespaces.iter().map(|&n| Arc::from(n)).collect()))
    }

    #[test]
    fn each_uri_names_a_namespace_and_a_star_names_all() {
        assert_eq!(of(&["weir://namespaces/shop"]), only(&["shop"]));
        assert_eq!(of(&["weir://namespaces/shop", "weir://namespaces/blog-2"]), only(&["blog-2", "shop"]));
        assert_eq!(of(&["weir://namespaces/*"]), Ok(Scope::All));
        assert_eq!(of(&["weir://namespaces/shop", "weir://namespaces/*"]), Ok(Scope::All));
    }

    #[test]
    fn uris_of_other_schemes_say_nothing() {
        assert_eq!(of(&["spiffe://cluster/ns/shop", "weir://namespaces/shop"]), only(&["shop"]));
        assert_eq!(
            of(&["spiffe://cluster/ns/shop", "weirs://namespaces/*", "https://weir.dev/"]),
            Err(Refusal::NoNamespace)
        );
        assert_eq!(of(&[]), Err(Refusal::NoNamespace));
    }

    #[test]
    fn anything_else_of_our_scheme_spoils_the_certificate() {
        for uri in [
            "weir://namespaces/",
            "weir://namespaces",
            "weir://namespaces/shop/",
            "weir://namespaces/shop/web",
            "weir://namespaces/Shop",
            "weir://namespaces/sh op",
            "weir://namespaces/shop?all",
            "weir://namespaces/%2A",
            "weir://namespaces/**",
            "weir://namespaces/shop*",
            "weir://namespaces/shop,blog",
            "weir://namespaces/-shop",
            "WEIR://namespaces/shop",
            "weir:namespaces/shop",
            "weir://namespace/shop",
            "weir://pools/shop",
        ] {
            assert!(matches!(of(&[uri]), Err(Refusal::BadCertificate(_))), "{uri}");
            let beside = of(&["weir://namespaces/good", uri]);
            assert!(matches!(beside, Err(Refusal::BadCertificate(_))), "{uri} beside a good one");
        }
    }

    #[test]
    fn what_is_no_certificate_names_nothing() {
        assert!(matches!(scope(b"garbage"), Err(Refusal::BadCertificate(_))));
    }
}
