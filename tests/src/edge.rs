//! A proxy as it stands at the edge: with TLS, and an authority that programs can believe by a file.

use std::net::SocketAddr;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::authority::{Authority, Pair, YEAR};
use crate::cluster::Builder;
use crate::manifest::{backend, pool, secret};
use crate::{TlsClient, Weir};

/// The name that its certificate is for.
pub const HOST: &str = "localhost";

/// A proxy with the listeners `http` and `https`, and Pools by path.
#[derive(Debug)]
pub struct Edge {
    /// The proxy.
    pub weir: Weir,
    authority: Authority,
    folder: TempDir,
}

/// A Pool of an [`Edge`]: where its requests go.
#[derive(Debug, Clone, Copy)]
pub struct Site<'a> {
    /// The beginning of their paths, which is its name too after a slash.
    pub path: &'a str,
    /// What the Pool says besides, after a comma.
    pub spec: &'a str,
    /// The server of its Backend.
    pub server: SocketAddr,
    /// What the Backend says besides.
    pub more: &'a str,
}

impl<'a> Site<'a> {
    /// Of HTTP/1.1, with all defaults.
    #[must_use]
    pub fn new(path: &'a str, server: SocketAddr) -> Self {
        Self { path, spec: "", server, more: "" }
    }

    /// Of HTTP/2.
    #[must_use]
    pub fn http2(path: &'a str, server: SocketAddr) -> Self {
        Self { more: "protocol: H2", ..Self::new(path, server) }
    }

    /// With this in its Pool.
    #[must_use]
    pub fn with(self, spec: &'a str) -> Self {
        Self { spec, ..self }
    }

    fn manifest(&self) -> String {
        let name = self.path.trim_start_matches('/').replace('.', "-").to_lowercase();
        let name = if name.is_empty() { "root".to_owned() } else { name };
        let comma = if self.spec.is_empty() { "" } else { ", " };
        let spec = format!("match: [{{path: {{type: Prefix, value: {}}}}}]{comma}{}", self.path, self.spec);
        pool(&name, &spec) + &backend(&format!("{name}-1"), &name, self.server, self.more)
    }
}

impl Edge {
    /// Starts one.
    pub async fn start(sites: &[Site<'_>]) -> Self {
        Self::start_as(Weir::builder(), sites).await
    }

    /// Starts one that is like this besides.
    ///
    /// # Panics
    /// If there is no temporary folder.
    pub async fn start_as(builder: Builder, sites: &[Site<'_>]) -> Self {
        let (authority, folder) = (Authority::new(), tempfile::tempdir().expect("a temporary folder"));
        std::fs::write(folder.path().join("ca.pem"), authority.pem()).expect("a folder to write to");
        let builder =
            builder.https().file("sites.yaml", &manifests(sites)).file("tls.yaml", &certificate(&pair(&authority)));
        Self { weir: builder.start().await, authority, folder }
    }

    /// The file of the authority.
    #[must_use]
    pub fn ca(&self) -> String {
        self.folder.path().join("ca.pem").display().to_string()
    }

    /// A file of this name that is removed with it.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The URL of a path, over TLS.
    #[must_use]
    pub fn https(&self, path: &str) -> String {
        format!("https://{HOST}:{}{path}", self.weir.https_address().port())
    }

    /// The URL of a path, without TLS.
    #[must_use]
    pub fn http(&self, path: &str) -> String {
        format!("http://{HOST}:{}{path}", self.weir.address().port())
    }

    /// A client that believes it.
    #[must_use]
    pub fn client(&self) -> TlsClient {
        TlsClient::trusting(&self.authority)
    }

    /// Serves with a new certificate and key from now on; gives them.
    pub async fn rotate(&self) -> Pair {
        let pair = pair(&self.authority);
        self.weir.write("tls.yaml", &certificate(&pair)).await;
        pair
    }

    /// Serves these from now on.
    pub async fn change(&self, sites: &[Site<'_>]) {
        self.weir.write("sites.yaml", &manifests(sites)).await;
    }
}

fn manifests(sites: &[Site<'_>]) -> String {
    sites.iter().map(Site::manifest).collect()
}

fn pair(authority: &Authority) -> Pair {
    authority.site(&[HOST], YEAR)
}

/// A Pool that no request is for gives the certificate of all.
fn certificate(pair: &Pair) -> String {
    pool(
        "edge",
        &format!(
            "match: [{{hosts: [{HOST}], path: {{type: Exact, value: /edge}}}}], tls: {{secretName: edge-tls, default: true}}"
        ),
    ) + &secret("edge-tls", &[("tls.crt", &pair.certificate), ("tls.key", &pair.key)])
}
