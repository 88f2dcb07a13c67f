//! `tls` of a Pool.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Fill;

/// TLS with clients, on listeners that speak it.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TlsSpec {
    /// Secret of this namespace with the certificate for the hosts of `match`: `tls.crt` and `tls.key`, in PEM, as in
    /// Secrets of type kubernetes.io/tls. It must be for each of the hosts; a Pool with a rule without hosts brings the
    /// one for all hosts that have no other. Of Pools with different ones for a host the first by name is right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: Option<String>,
    /// Whether the certificate is shown, too, to clients that ask for no host or for one without a certificate.
    /// Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<bool>,
    /// Clients are asked for a certificate of their own, by these authorities. With `secretName` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<ClientCaSpec>,
    /// Whether requests on other listeners are sent to https by 308. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect: Option<bool>,
}

impl Fill for TlsSpec {
    fn fill(&mut self, base: &Self) {
        let Self { secret_name, default, client_ca, redirect } = self;
        secret_name.fill(&base.secret_name);
        default.fill(&base.default);
        client_ca.fill(&base.client_ca);
        redirect.fill(&base.redirect);
    }
}

/// Who certifies clients. Backends get subject and names of a client's certificate in the headers
/// X-Client-Certificate-Subject and X-Client-Certificate-Names. Inherited as a whole.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClientCaSpec {
    /// Secret of this namespace with the authorities' certificates: `ca.crt`, in PEM.
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: String,
    /// Required: who has no certificate is turned away. Optional: backends decide. Default: Required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<ClientCaMode>,
}

impl Fill for ClientCaSpec {}

/// What becomes of clients without a certificate.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientCaMode {
    /// They are turned away.
    #[default]
    Required,
    /// They are served.
    Optional,
}
