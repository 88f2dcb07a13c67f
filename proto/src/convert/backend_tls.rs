//! `pb::BackendTls` and `model::BackendTls`.

use rustls::pki_types::ServerName;

use super::tls::{decode_pair, encode_pair};
use super::unknown;
use crate::model::{Authorities, BackendTls, Invalid, TlsVersion, Trust};
use crate::pb;

pub(super) fn decode(msg: pb::BackendTls) -> Result<BackendTls, Invalid> {
    let pb::BackendTls { server_name, authorities, skip_verify, certificate, minimum_version } = msg;
    let certificate = certificate.map(|pair| decode_pair(&pair, "clientCertificate.secretName")).transpose()?;
    Ok(BackendTls {
        server_name: decode_name(server_name)?,
        trust: decode_trust(&authorities, skip_verify)?,
        certificate,
        minimum_version: decode_version(minimum_version)?,
    })
}

fn decode_name(name: String) -> Result<ServerName<'static>, Invalid> {
    if name.is_empty() {
        return Err(Invalid::new("serverName", "is needed: the address is no DNS name and no IP address"));
    }
    let why = format!("{name:?} is no DNS name and no IP address");
    ServerName::try_from(name).map_err(|_| Invalid::new("serverName", why))
}

fn decode_trust(authorities: &[u8], skip_verify: bool) -> Result<Trust, Invalid> {
    match (authorities, skip_verify) {
        ([], false) => Ok(Trust::System),
        ([], true) => Ok(Trust::Anyone),
        (_, true) => Err(Invalid::new("insecureSkipVerify", "does not go with ca")),
        (pem, false) => Authorities::from_pem(pem).map(Trust::Authorities).map_err(|why| Invalid::new("ca", why)),
    }
}

fn decode_version(number: i32) -> Result<TlsVersion, Invalid> {
    match pb::TlsVersion::try_from(number) {
        // Unspecified by who knows no versions yet.
        Ok(pb::TlsVersion::TlsVersion12 | pb::TlsVersion::Unspecified) => Ok(TlsVersion::V1_2),
        Ok(pb::TlsVersion::TlsVersion13) => Ok(TlsVersion::V1_3),
        Err(_) => Err(unknown("minimumVersion", number)),
    }
}

pub(super) fn encode(tls: &BackendTls) -> pb::BackendTls {
    let BackendTls { server_name, trust, certificate, minimum_version } = tls;
    let authorities = match trust {
        Trust::Authorities(authorities) => authorities.pem().into(),
        Trust::System | Trust::Anyone => Vec::new(),
    };
    let minimum_version = match minimum_version {
        TlsVersion::V1_2 => pb::TlsVersion::TlsVersion12,
        TlsVersion::V1_3 => pb::TlsVersion::TlsVersion13,
    };
    pb::BackendTls {
        server_name: server_name.to_str().into_owned(),
        authorities,
        skip_verify: *trust == Trust::Anyone,
        certificate: certificate.as_ref().map(encode_pair),
        minimum_version: minimum_version.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::tls::tests::{assert_hides_key, pair};
    use crate::convert::{Decoded, decode as decode_body};
    use crate::model::{Backend, Key};

    fn through_the_wire(tls: pb::BackendTls, fastcgi: bool) -> Result<Backend, String> {
        let key = Key::backend("shop/web-1".parse().unwrap());
        let protocol = fastcgi.then(|| pb::backend::Protocol::Fastcgi(pb::FastCgi::default()));
        let (pool, address, tls) = ("web".to_owned(), "10.0.0.1:443".to_owned(), Some(tls));
        let message = pb::Backend { pool, address, tls, protocol, ..pb::Backend::default() };
        match decode_body(&key, pb::resource::Body::Backend(message)).map_err(|e| e.to_string())? {
            Decoded::Backend(backend) => Ok(*backend),
            other => Err(format!("{other:?}")),
        }
    }

    fn named(name: &str) -> pb::BackendTls {
        let minimum_version = pb::TlsVersion::TlsVersion12.into();
        pb::BackendTls { server_name: name.to_owned(), minimum_version, ..pb::BackendTls::default() }
    }

    #[test]
    fn tls_to_backends_survives_the_wire_and_shows_no_key() {
        let pair = pair("client");
        for message in [
            named("web.internal"),
            pb::BackendTls { skip_verify: true, ..named("10.0.0.1") },
            pb::BackendTls {
                authorities: pair.certificate.clone(),
                certificate: Some(pair.clone()),
                minimum_version: pb::TlsVersion::TlsVersion13.into(),
                ..named("2001:db8::1")
            },
        ] {
            let backend = through_the_wire(message.clone(), false).unwrap();
            assert_eq!(encode(backend.tls.as_ref().unwrap()), message);
            assert_hides_key(&pair, &[&backend, &message]);
        }
    }

    #[test]
    fn s1_what_is_wrong_with_tls_to_a_backend_names_the_field() {
        let refused = |message| through_the_wire(message, false).unwrap_err();
        let (one, other) = (pair("a"), pair("a"));
        let said = refused(named(""));
        assert_eq!(said, "spec.tls.serverName: is needed: the address is no DNS name and no IP address");
        let said = refused(named("a b"));
        assert_eq!(said, "spec.tls.serverName: \"a b\" is no DNS name and no IP address");
        let said = refused(pb::BackendTls { authorities: b"x".to_vec(), ..named("a") });
        assert_eq!(said, "spec.tls.ca: no certificate in PEM");
        let both = pb::BackendTls { authorities: one.certificate.clone(), skip_verify: true, ..named("a") };
        assert_eq!(refused(both), "spec.tls.insecureSkipVerify: does not go with ca");
        let mixed = Some(pb::KeyPair { key: other.key, ..one });
        let said = refused(pb::BackendTls { certificate: mixed, ..named("a") });
        assert_eq!(said, "spec.tls.clientCertificate.secretName: the key is not that of the certificate");
        let said = refused(pb::BackendTls { minimum_version: 9, ..named("a") });
        assert!(said.starts_with("spec.tls.minimumVersion: "), "{said}");
        let said = through_the_wire(named("a"), true).unwrap_err();
        assert_eq!(said, "spec.tls: does not go with protocol FastCGI");
    }
}
