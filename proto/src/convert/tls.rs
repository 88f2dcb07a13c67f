//! `pb::Tls` and `model::Tls`.

use std::fmt;

use crate::model::{Authorities, Certificate, ClientCa, Invalid, Pool, Tls};
use crate::pb;

pub(super) fn decode(msg: pb::Tls) -> Result<Tls, Invalid> {
    let pb::Tls { certificate, default, client_ca, redirect } = msg;
    let tls = Tls {
        certificate: certificate.map(|pair| decode_pair(&pair, "secretName")).transpose()?,
        is_default: default,
        client_ca: client_ca.map(|ca| decode_ca(&ca)).transpose()?,
        redirect,
    };
    if tls.client_ca.is_some() && tls.certificate.is_none() {
        return Err(Invalid::new("clientCa", "needs secretName"));
    }
    Ok(tls)
}

/// A certificate; the field is where the Secret is named.
pub(super) fn decode_pair(msg: &pb::KeyPair, field: &str) -> Result<Certificate, Invalid> {
    let pb::KeyPair { certificate, key } = msg;
    Certificate::from_pem(certificate, key).map_err(|bad| Invalid::new(field, bad.to_string()))
}

pub(super) fn encode_pair(pair: &Certificate) -> pb::KeyPair {
    pb::KeyPair { certificate: pair.pem().into(), key: pair.private_pem().into() }
}

fn decode_ca(msg: &pb::ClientCa) -> Result<ClientCa, Invalid> {
    let pb::ClientCa { authorities, required } = msg;
    let authorities = Authorities::from_pem(authorities).map_err(|why| Invalid::new("clientCa.secretName", why))?;
    Ok(ClientCa { authorities, required: *required })
}

/// Refuses a certificate that no client would take for one of the Pool's hosts.
pub(super) fn check_hosts(pool: &Pool) -> Result<(), Invalid> {
    let Some(certificate) = pool.tls.as_ref().and_then(|tls| tls.certificate.as_ref()) else { return Ok(()) };
    let mut hosts = pool.rules.iter().flat_map(|rule| &rule.hosts);
    match hosts.find(|host| !certificate.covers(host)) {
        Some(host) => Err(Invalid::new("secretName", format!("the certificate is not for {host}"))),
        None => Ok(()),
    }
}

pub(super) fn encode(tls: &Tls) -> pb::Tls {
    let Tls { certificate, is_default, client_ca, redirect } = tls;
    let ca = |ca: &ClientCa| pb::ClientCa { authorities: ca.authorities.pem().into(), required: ca.required };
    pb::Tls {
        certificate: certificate.as_ref().map(encode_pair),
        default: *is_default,
        client_ca: client_ca.as_ref().map(ca),
        redirect: *redirect,
    }
}

/// Without the key.
impl fmt::Debug for pb::KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair").finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;
    use crate::convert::{Decoded, decode as decode_body};
    use crate::model::{HostPattern, Key, Rule};

    /// A certificate for this host, and its key.
    pub(in crate::convert) fn pair(host: &str) -> pb::KeyPair {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![host.to_owned()]).unwrap().self_signed(&key).unwrap();
        pb::KeyPair { certificate: certificate.pem().into(), key: key.serialize_pem().into() }
    }

    /// Nothing that is shown of these has the key in it, as text or as bytes.
    pub(in crate::convert) fn assert_hides_key(pair: &pb::KeyPair, shown: &[&dyn fmt::Debug]) {
        let key = String::from_utf8(pair.key.clone()).unwrap();
        let secret = key.lines().nth(1).unwrap();
        // Within the secret number itself: what is before it in the file is in every certificate, too.
        let bytes = format!("{:?}", &pair.key[78..90]);
        for shown in shown {
            let shown = format!("{shown:?}");
            assert!(!shown.contains(secret) && !shown.contains(bytes.trim_matches(['[', ']'])), "{shown}");
        }
    }

    fn through_the_wire(host: &str, tls: pb::Tls) -> Result<Pool, String> {
        let mut pool = Pool::new("shop/web".parse().unwrap());
        pool.rules = vec![Rule { hosts: vec![HostPattern::parse(host).unwrap()], ..Rule::default() }];
        let message = pb::Pool { tls: Some(tls), ..super::super::pool::encode(&pool) };
        let key = Key::pool(pool.name);
        match decode_body(&key, pb::resource::Body::Pool(message)).map_err(|e| e.to_string())? {
            Decoded::Pool(pool) => Ok(*pool),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn tls_survives_the_wire_and_shows_no_key() {
        let pair = pair("a.example.com");
        let ca = pb::ClientCa { authorities: pair.certificate.clone(), required: true };
        let message = pb::Tls { certificate: Some(pair.clone()), default: true, client_ca: Some(ca), redirect: true };
        let pool = through_the_wire("a.example.com", message.clone()).unwrap();
        assert_eq!(encode(pool.tls.as_ref().unwrap()), message);
        assert_hides_key(&pair, &[&pool, &message]);
    }

    #[test]
    fn s1_what_is_wrong_with_a_certificate_names_the_field() {
        let refused = |host: &str, tls| through_the_wire(host, tls).unwrap_err();
        let with = |pair: pb::KeyPair| pb::Tls { certificate: Some(pair), ..pb::Tls::default() };
        let (mine, other) = (pair("a.b"), pair("a.b"));
        let mixed = pb::KeyPair { key: other.key, ..mine.clone() };
        assert_eq!(refused("a.b", with(mixed)), "spec.tls.secretName: the key is not that of the certificate");
        assert_eq!(refused("c.b", with(mine.clone())), "spec.tls.secretName: the certificate is not for c.b");
        let ca = pb::ClientCa { authorities: b"x".to_vec(), required: true };
        let bad_ca = pb::Tls { client_ca: Some(ca.clone()), ..with(mine) };
        assert_eq!(refused("a.b", bad_ca), "spec.tls.clientCa.secretName: no certificate in PEM");
        let ca = pb::ClientCa { authorities: pair("ca").certificate, ..ca };
        let alone = pb::Tls { client_ca: Some(ca), ..pb::Tls::default() };
        assert_eq!(refused("a.b", alone), "spec.tls.clientCa: needs secretName");
    }
}
