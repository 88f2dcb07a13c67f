//! Certificates of every sort, good and bad.

use std::fs;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    SanType,
};

/// A certificate authority of a test.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

/// A certificate and its key, in PEM.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

/// The year in which certificates end that are not over.
pub const YEAR: i32 = 2100;

impl Authority {
    /// A new one.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Of another name than what it signs: a certificate whose issuer has its own name counts as one that signed itself.
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "authority");
        let certificate = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// The certificate of a server at 127.0.0.1, good until a year.
    #[must_use]
    pub fn server(&self, until: i32) -> Pair {
        let address = SanType::IpAddress([127, 0, 0, 1].into());
        self.sign(vec![address], ExtendedKeyUsagePurpose::ServerAuth, until)
    }

    /// A proxy's certificate for these namespaces (`*` for all), good until a year.
    ///
    /// # Panics
    /// If a namespace cannot be part of a URI.
    #[must_use]
    pub fn client(&self, namespaces: &[&str], until: i32) -> Pair {
        let uri = |namespace: &&str| format!("weir://namespaces/{namespace}").try_into().expect("ASCII");
        let uris = namespaces.iter().map(uri).map(SanType::URI).collect();
        self.sign(uris, ExtendedKeyUsagePurpose::ClientAuth, until)
    }

    /// A certificate of these hosts, good until a year.
    ///
    /// # Panics
    /// If one is no name of DNS.
    #[must_use]
    pub fn site(&self, hosts: &[&str], until: i32) -> Pair {
        let host = |host: &&str| SanType::DnsName((*host).try_into().expect("ASCII"));
        self.sign(hosts.iter().map(host).collect(), ExtendedKeyUsagePurpose::ServerAuth, until)
    }

    /// The certificate of a person, who has a mailbox and an identity at `shop`.
    ///
    /// # Panics
    /// If the name cannot be part of a URI.
    #[must_use]
    pub fn person(&self, name: &str) -> Pair {
        let uri = SanType::URI(format!("spiffe://shop/{name}").try_into().expect("ASCII"));
        let email = SanType::Rfc822Name(format!("{name}@example.com").try_into().expect("ASCII"));
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.subject_alt_names = vec![uri, email];
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "shop");
        params.distinguished_name.push(DnType::CommonName, name);
        self.sign_params(params, ExtendedKeyUsagePurpose::ClientAuth, YEAR)
    }

    /// Its own certificate, in PEM.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.certificate
    }

    fn sign(&self, names: Vec<SanType>, usage: ExtendedKeyUsagePurpose, until: i32) -> Pair {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.subject_alt_names = names;
        self.sign_params(params, usage, until)
    }

    fn sign_params(&self, mut params: CertificateParams, usage: ExtendedKeyUsagePurpose, until: i32) -> Pair {
        let key = KeyPair::generate().expect("a key");
        params.extended_key_usages = vec![usage];
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Pair { certificate, key: key.serialize_pem() }
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Pair {
    /// Writes it into a folder, with the authorities that its holder believes.
    ///
    /// # Panics
    /// If that fails.
    pub fn write(&self, folder: &Path, believed: &[&Authority]) {
        let bundle: String = believed.iter().map(|authority| authority.certificate.as_str()).collect();
        let files = [("tls.crt", &self.certificate), ("tls.key", &self.key), ("ca.crt", &bundle)];
        for (name, text) in files {
            let new = folder.join(format!(".{name}"));
            fs::write(&new, text).and_then(|()| fs::rename(&new, folder.join(name))).expect("a folder to write to");
        }
    }
}
