//! Flags of `issue-certificates`.

use std::path::PathBuf;
use std::time::Duration;

use weir_proto::model::name::check_namespace;
use weir_proto::model::units::parse_duration;

use crate::mtls::identity;

const EXAMPLES: &str = "\
Examples:
  As Secrets of a cluster (a service account, or KUBECONFIG):
    weir-control-plane issue-certificates --namespace weir --ca-secret weir-ca \\
      --control-plane-secret weir-control-plane-tls --data-plane-secret weir-data-plane-tls \\
      --dns-name weir-control-plane.weir.svc --allow-namespace '*'

  As files, for --grpc-tls ./tls/control-plane and --control-plane-tls ./tls/data-plane:
    weir-control-plane issue-certificates --dir ./tls --dns-name localhost --allow-namespace '*'";

/// Make and renew the certificates by which both planes know each other. Run it as often as you like: it changes only
/// what is missing, past two thirds of its life, or asked for differently now.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct IssueArgs {
    /// Secrets to keep them in.
    #[command(flatten)]
    pub secrets: SecretArgs,
    /// Folder to keep them in instead: ca/, control-plane/ and data-plane/ below it
    #[arg(long, env = "WEIR_DIR", value_name = "DIR", conflicts_with_all = SECRET_FLAGS)]
    pub dir: Option<PathBuf>,
    /// DNS name or IP address by which proxies reach the control plane; may be repeated (in the variable: separated by
    /// spaces)
    #[arg(long, env = "WEIR_DNS_NAME", value_name = "NAME", value_delimiter = ' ', required = true, value_parser = dns_name)]
    pub dns_name: Vec<String>,
    /// Namespace that proxies may read, or * for all; may be repeated (in the variable: separated by spaces)
    #[arg(long, env = "WEIR_ALLOW_NAMESPACE", value_name = "NAMESPACE", value_delimiter = ' ', required = true, value_parser = namespace)]
    pub allow_namespace: Vec<String>,
    /// How long the certificates of the planes are valid; their authority is for ten years
    #[arg(long, env = "WEIR_VALID_FOR", value_name = "TIME", default_value = "2160h", value_parser = parse_duration)]
    pub valid_for: Duration,
}

const SECRET_FLAGS: [&str; 4] = ["namespace", "control_plane_secret", "data_plane_secret", "ca_secret"];

/// Where Secrets are.
#[derive(Debug, Clone, clap::Args)]
pub struct SecretArgs {
    /// Namespace of the Secrets
    #[arg(long, env = "WEIR_NAMESPACE", value_name = "NAMESPACE", required_unless_present = "dir")]
    pub namespace: Option<String>,
    /// Secret for the control plane
    #[arg(long, env = "WEIR_CONTROL_PLANE_SECRET", value_name = "NAME", required_unless_present = "dir")]
    pub control_plane_secret: Option<String>,
    /// Secret for proxies
    #[arg(long, env = "WEIR_DATA_PLANE_SECRET", value_name = "NAME", required_unless_present = "dir")]
    pub data_plane_secret: Option<String>,
    /// Secret for the authority, with the key that signs
    #[arg(long, env = "WEIR_CA_SECRET", value_name = "NAME", required_unless_present = "dir")]
    pub ca_secret: Option<String>,
}

fn dns_name(text: &str) -> Result<String, String> {
    match rustls::pki_types::ServerName::try_from(text) {
        Ok(_) => Ok(text.to_ascii_lowercase()),
        Err(_) => Err("is no DNS name or IP address".to_owned()),
    }
}

fn namespace(text: &str) -> Result<String, String> {
    if text == identity::ALL {
        return Ok(text.to_owned());
    }
    check_namespace(text).map(|()| text.to_owned())
}
