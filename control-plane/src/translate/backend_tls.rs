//! TLS with backends: authorities and certificates come out of the Secrets and ConfigMaps that a Backend names.

use weir_proto::model::{Address, Certificate, EndpointAddress, Files, ResourceName};
use weir_proto::pb;

use super::Want;
use super::tls::{self, AUTHORITIES};
use crate::api::BackendSpec;
use crate::api::backend_tls::{BackendTlsSpec, CaRef, TlsVersion};
use crate::contents::ContentKind;

const CERTIFICATE: &str = "spec.tls.clientCertificate.secretName";

/// What the `tls` of a Backend names.
#[must_use]
pub fn backend_wants(spec: &BackendSpec) -> Vec<Want> {
    let Some(BackendTlsSpec { ca, client_certificate, .. }) = &spec.tls else { return Vec::new() };
    let ca = ca.as_ref().and_then(source).map(|(kind, name, field)| Want {
        kind,
        name: name.to_owned(),
        key: Some(AUTHORITIES.to_owned()),
        field: field.to_owned(),
    });
    let pair = client_certificate.iter().flat_map(|pair| tls::pair_wants(&pair.secret_name, CERTIFICATE));
    ca.into_iter().chain(pair).collect()
}

/// Where authorities are. The schema has one of both.
fn source(CaRef { secret_name, config_map_name }: &CaRef) -> Option<(ContentKind, &str, &'static str)> {
    let secret = secret_name.as_deref().map(|name| (ContentKind::Secret, name, "spec.tls.ca.secretName"));
    let map = || config_map_name.as_deref().map(|name| (ContentKind::ConfigMap, name, "spec.tls.ca.configMapName"));
    secret.or_else(map)
}

/// The message of the `tls` of a Backend, with the contents that it names.
pub(super) fn backend_tls(name: &ResourceName, spec: &BackendSpec, files: &Files) -> Option<pb::BackendTls> {
    let BackendTlsSpec { server_name, ca, client_certificate, minimum_version, insecure_skip_verify } =
        spec.tls.clone()?;
    let ca = ca.as_ref().and_then(source);
    Some(pb::BackendTls {
        server_name: server_name.unwrap_or_else(|| default_name(name, spec)),
        authorities: ca.map(|(kind, name, _)| tls::file(files, kind, name, AUTHORITIES)).unwrap_or_default(),
        skip_verify: insecure_skip_verify.unwrap_or_default(),
        certificate: client_certificate.map(|pair| tls::key_pair(files, &pair.secret_name)),
        minimum_version: version(minimum_version.unwrap_or_default()).into(),
    })
}

/// What the endpoints are known by; empty if they have no name.
fn default_name(name: &ResourceName, spec: &BackendSpec) -> String {
    if let Some(service) = &spec.service {
        return format!("{}.{}.svc", service.name, name.namespace());
    }
    match spec.address.as_deref().map(Address::parse) {
        Some(Ok(Address::Name(name, _))) => name,
        Some(Ok(Address::Fixed(EndpointAddress::Ip(address)))) => address.ip().to_string(),
        _ => String::new(),
    }
}

fn version(version: TlsVersion) -> pb::TlsVersion {
    match version {
        TlsVersion::V1_2 => pb::TlsVersion::TlsVersion12,
        TlsVersion::V1_3 => pb::TlsVersion::TlsVersion13,
    }
}

/// The certificate that a message has for endpoints that ask for one, with the field that names it.
#[must_use]
pub fn client_certificate(backend: &pb::Backend) -> Option<(Certificate, &'static str)> {
    let pair = backend.tls.as_ref()?.certificate.as_ref()?;
    Some((Certificate::from_pem(&pair.certificate, &pair.key).ok()?, CERTIFICATE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::backend_spec;

    fn server_name(spec: &str) -> String {
        let spec = backend_spec(spec);
        backend_tls(&"shop/web-1".parse().unwrap(), &spec, &Files::default()).unwrap().server_name
    }

    #[test]
    fn a_server_is_known_by_its_name_its_address_or_its_service() {
        for (spec, name) in [
            ("{pool: a, address: 'Web.internal:443', tls: {}}", "web.internal"),
            ("{pool: a, address: '10.0.0.1:443', tls: {}}", "10.0.0.1"),
            ("{pool: a, address: '[2001:db8::1]:443', tls: {}}", "2001:db8::1"),
            ("{pool: a, service: {name: web, port: 443}, tls: {}}", "web.shop.svc"),
            ("{pool: a, address: 'unix:/run/web.sock', tls: {}}", ""),
            ("{pool: a, address: '10.0.0.1:443', tls: {serverName: a.b}}", "a.b"),
        ] {
            assert_eq!(server_name(spec), name, "{spec}");
        }
    }

    #[test]
    fn what_tls_to_a_backend_names_is_wanted_by_its_field() {
        let wanted = |spec| {
            let name = |want: Want| format!("{}: {} {}", want.field, want.name, want.key.unwrap_or_default());
            backend_wants(&backend_spec(spec)).into_iter().map(name).collect::<Vec<_>>()
        };
        assert_eq!(wanted("{pool: a, address: 'h:1', tls: {}}"), [""; 0]);
        assert_eq!(
            wanted("{pool: a, address: 'h:1', tls: {ca: {secretName: x}, clientCertificate: {secretName: y}}}"),
            [
                "spec.tls.ca.secretName: x ca.crt",
                "spec.tls.clientCertificate.secretName: y tls.crt",
                "spec.tls.clientCertificate.secretName: y tls.key"
            ]
        );
        let wanted = wanted("{pool: a, address: 'h:1', tls: {ca: {configMapName: x}}}");
        assert_eq!(wanted, ["spec.tls.ca.configMapName: x ca.crt"]);
    }
}
