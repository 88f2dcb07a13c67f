//! TLS with clients: certificates come out of the Secrets that a Pool names.

use std::collections::BTreeSet;

use weir_proto::convert::{self, Decoded};
use weir_proto::model::{Certificate, ClientCa, Files, Key};
use weir_proto::pb;
use weir_proto::pb::resource::Body;

use super::Want;
use crate::api::PoolSpec;
use crate::api::tls::{ClientCaMode, ClientCaSpec, TlsSpec};
use crate::contents::ContentKind;

const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
pub(super) const AUTHORITIES: &str = "ca.crt";

/// For which hosts a Pool brings a certificate, and whom it asks for theirs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Hosts as written in rules; `*` = all that have no certificate.
    pub hosts: BTreeSet<String>,
    /// The certificate.
    pub certificate: Certificate,
    /// Who certifies clients.
    pub client_ca: Option<ClientCa>,
}

/// What the `tls` of a Pool names.
#[must_use]
pub fn tls_wants(spec: &PoolSpec) -> Vec<Want> {
    let Some(TlsSpec { secret_name, client_ca, default: _, redirect: _ }) = &spec.tls else { return Vec::new() };
    let pair = secret_name.iter().flat_map(|name| pair_wants(name, "spec.tls.secretName"));
    let ca = client_ca.iter().map(|ca| want(&ca.secret_name, AUTHORITIES, "spec.tls.clientCa.secretName"));
    pair.chain(ca).collect()
}

fn want(name: &str, key: &str, field: &str) -> Want {
    Want { kind: ContentKind::Secret, name: name.to_owned(), key: Some(key.to_owned()), field: field.to_owned() }
}

/// Both parts of a certificate out of a Secret.
pub(super) fn pair_wants(name: &str, field: &str) -> [Want; 2] {
    [CERTIFICATE, KEY].map(|key| want(name, key, field))
}

/// Both parts of a certificate out of a Secret.
pub(super) fn key_pair(files: &Files, name: &str) -> pb::KeyPair {
    let part = |key| file(files, ContentKind::Secret, name, key);
    pb::KeyPair { certificate: part(CERTIFICATE), key: part(KEY) }
}

/// One part of a Secret or `ConfigMap`.
pub(super) fn file(files: &Files, kind: ContentKind, name: &str, key: &str) -> Vec<u8> {
    files.0.get(&format!("{}/{name}/{key}", kind.prefix())).cloned().unwrap_or_default()
}

/// The message of the `tls` of a Pool, with the contents that it names.
#[must_use]
pub fn tls(spec: &PoolSpec, files: &Files) -> Option<pb::Tls> {
    let TlsSpec { secret_name, default, client_ca, redirect } = spec.tls.clone()?;
    let ca = |ClientCaSpec { secret_name, mode }: ClientCaSpec| pb::ClientCa {
        authorities: file(files, ContentKind::Secret, &secret_name, AUTHORITIES),
        required: mode.unwrap_or_default() == ClientCaMode::Required,
    };
    Some(pb::Tls {
        certificate: secret_name.map(|name| key_pair(files, &name)),
        default: default.unwrap_or_default(),
        client_ca: client_ca.map(ca),
        redirect: redirect.unwrap_or_default(),
    })
}

/// What the checked message of a Pool claims, if it brings a certificate.
#[must_use]
pub fn claim(key: &Key, body: &Body) -> Option<Claim> {
    let Body::Pool(pb::Pool { tls: Some(pb::Tls { certificate: Some(_), .. }), .. }) = body else { return None };
    let Ok(Decoded::Pool(pool)) = convert::decode(key, body.clone()) else { return None };
    let tls = pool.tls?;
    let name = |host: Option<&_>| host.map_or("*".to_owned(), ToString::to_string);
    let hosts = tls.served(&pool.rules).map(name).collect();
    Some(Claim { hosts, certificate: tls.certificate?, client_ca: tls.client_ca })
}
