//! `tls` of a Backend.
#![expect(unreachable_pub, reason = "KubeSchema copies each struct into a function, with its visibility")]

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// TLS with the endpoints of a Backend.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("!has(self.ca) || !has(self.insecureSkipVerify) || !self.insecureSkipVerify").field_path(".insecureSkipVerify").message("does not go with ca")
)]
pub struct BackendTlsSpec {
    /// DNS name or IP address that the certificates of the endpoints must be for. A name is asked for in the handshake
    /// (SNI). Default: the name or IP address of `address`; of a Service, NAME.NAMESPACE.svc. A Unix socket has no
    /// default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub server_name: Option<String>,
    /// Who certifies the endpoints. Default: the authorities of the system that the proxy runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<CaRef>,
    /// What is shown to endpoints that ask for a certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<ClientCertificateRef>,
    /// The oldest version of TLS that may be spoken. Default: 1.2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum_version: Option<TlsVersion>,
    /// Whether any certificate will do: then anybody on the way can read and change what is sent. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insecure_skip_verify: Option<bool>,
}

/// A Secret or ConfigMap of this namespace with certificates of authorities: `ca.crt`, in PEM.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("has(self.secretName) != has(self.configMapName)").message("one of secretName and configMapName must be there")
)]
pub struct CaRef {
    /// A Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: Option<String>,
    /// A ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub config_map_name: Option<String>,
}

/// A Secret of this namespace with a certificate: `tls.crt` and `tls.key`, in PEM, as in Secrets of type
/// kubernetes.io/tls.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClientCertificateRef {
    /// The Secret.
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: String,
}

/// A version of TLS.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersion {
    /// 1.2.
    #[default]
    #[serde(rename = "1.2")]
    V1_2,
    /// 1.3.
    #[serde(rename = "1.3")]
    V1_3,
}
