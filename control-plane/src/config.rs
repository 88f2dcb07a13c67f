//! Flags, and what they come to.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use weir_proto::model::name::check_namespace;
use weir_proto::process::telemetry;

use crate::issue::IssueArgs;

/// Flag of the gRPC address.
const GRPC: &str = "--grpc";
/// Flag of the admin address.
const ADMIN: &str = "--admin";

/// Name of the Lease.
const LEASE: &str = "weir-control-plane";

const EXAMPLES: &str = "\
Examples:
  Watch the resources of a cluster, all of them or those of two namespaces; in a pod by its service account,
  elsewhere by KUBECONFIG:
    weir-control-plane
    weir-control-plane --namespace shop --namespace blog

  Without a cluster: serve the manifests below ./conf, reloading them on change:
    weir-control-plane --folder ./conf

  On this machine only, with a log in JSON:
    weir-control-plane --folder ./conf --grpc 127.0.0.1:9800 --admin 127.0.0.1:9801 --log-format json

  The same, and kubectl may change them, from this machine or with a token:
    weir-control-plane --folder ./conf --admin 127.0.0.1:9801
    weir-control-plane --folder ./conf --api-token-file /etc/weir/token
    kubectl --server http://127.0.0.1:9801 get pools

  Who is connected, and what is wrong with which resource:
    curl http://127.0.0.1:9801/api/v1/proxies
    curl http://127.0.0.1:9801/api/v1/resources";

/// Serves Weir's resources to its proxies.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "weir-control-plane", version, about, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do in place of serving.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Where resources come from.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Where to listen.
    #[command(flatten)]
    pub listen: ListenArgs,
    /// The Lease.
    #[command(flatten)]
    pub lease: LeaseArgs,
    /// The log.
    #[command(flatten)]
    pub telemetry: telemetry::LogArgs,
}

/// What else the program can do.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Command {
    /// Make and renew the certificates by which both planes know each other
    IssueCertificates(IssueArgs),
}

/// Where resources come from.
#[derive(Debug, Clone, clap::Args)]
pub struct SourceArgs {
    /// Folder with manifests, in place of a cluster: every *.yaml, *.yml and *.json below it.
    #[arg(long, env = "WEIR_FOLDER", value_name = "DIR", conflicts_with = "namespace")]
    pub folder: Option<PathBuf>,
    /// Namespace to watch; may be repeated (in the variable: separated by spaces) [default: all of the cluster]
    #[arg(long, env = "WEIR_NAMESPACE", value_name = "NS", value_delimiter = ' ', value_parser = namespace)]
    pub namespace: Vec<String>,
}

fn namespace(text: &str) -> Result<String, String> {
    check_namespace(text).map(|()| text.to_owned())
}

/// Where to listen.
#[derive(Debug, Clone, clap::Args)]
pub struct ListenArgs {
    /// Address for proxies, over gRPC.
    #[arg(long, env = "WEIR_GRPC", value_name = "ADDR", default_value = "0.0.0.0:9800")]
    pub grpc: SocketAddr,
    /// Folder with tls.crt, tls.key and ca.crt, such as a mounted Secret: proxies must show a certificate of that
    /// authority, and get the namespaces that it names (URIs such as weir://namespaces/shop). Followed while it
    /// changes. Without it the stream is neither encrypted nor authenticated.
    #[arg(long, env = "WEIR_GRPC_TLS", value_name = "DIR")]
    pub grpc_tls: Option<PathBuf>,
    /// Address for people and probes: /metrics, /healthz, /readyz, /api/v1/proxies, /api/v1/resources.
    #[arg(long, env = "WEIR_ADMIN", value_name = "ADDR", default_value = "0.0.0.0:9801")]
    pub admin: SocketAddr,
    /// File with a token that clients of the API for kubectl must show, which there is with --folder. Without it there is
    /// no such API, unless --admin is an address on loopback. It may be changed while we run.
    #[arg(long, env = "WEIR_API_TOKEN_FILE", value_name = "FILE", requires = "folder")]
    pub api_token_file: Option<PathBuf>,
}

/// Which replica writes statuses and Events in a cluster: the one that holds a Lease.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct LeaseArgs {
    /// Namespace of the Lease that the writer of statuses holds [default: the service account's, or KUBECONFIG's]
    #[arg(long, env = "WEIR_LEASE_NAMESPACE", value_name = "NS", value_parser = namespace, conflicts_with = "folder")]
    pub lease_namespace: Option<String>,
    /// Name of that Lease; replicas of one installation have the same.
    #[arg(long, env = "WEIR_LEASE_NAME", value_name = "NAME", default_value = LEASE)]
    pub lease_name: String,
    /// Who we are in that Lease and in Events [default: the host name]
    #[arg(long, env = "WEIR_POD_NAME", value_name = "NAME")]
    pub pod_name: Option<String>,
}

impl Default for LeaseArgs {
    fn default() -> Self {
        Self { lease_namespace: None, lease_name: LEASE.to_owned(), pod_name: None }
    }
}

/// An address to listen on, and the flag that sets it, which errors name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// As users write it.
    pub flag: &'static str,
    /// Port 0 = any free one.
    pub address: SocketAddr,
}

/// Where resources come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceConfig {
    /// The manifests of a folder.
    Folder(PathBuf),
    /// A cluster.
    Kubernetes {
        /// Namespaces to watch, each once; none = all.
        namespaces: Vec<String>,
    },
}

impl SourceArgs {
    fn config(&self) -> SourceConfig {
        if let Some(folder) = &self.folder {
            return SourceConfig::Folder(folder.clone());
        }
        let each_once: BTreeSet<&String> = self.namespace.iter().collect();
        SourceConfig::Kubernetes { namespaces: each_once.into_iter().cloned().collect() }
    }
}

/// What the control plane needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where resources come from.
    pub source: SourceConfig,
    /// For proxies.
    pub grpc: Listen,
    /// Folder of the certificates for proxies, if they come by TLS.
    pub grpc_tls: Option<PathBuf>,
    /// For people and probes.
    pub admin: Listen,
    /// File with the token for the API of a folder; without it the API is there on loopback only.
    pub api_token_file: Option<PathBuf>,
    /// Which replica writes statuses, in a cluster.
    pub lease: LeaseArgs,
}

impl Config {
    /// A control plane over these resources, with the flags of `weir-control-plane`.
    #[must_use]
    pub fn new(source: SourceConfig, grpc: SocketAddr, admin: SocketAddr) -> Self {
        Self {
            source,
            grpc: Listen { flag: GRPC, address: grpc },
            grpc_tls: None,
            admin: Listen { flag: ADMIN, address: admin },
            api_token_file: None,
            lease: LeaseArgs::default(),
        }
    }
}

impl Cli {
    /// What the flags come to.
    #[must_use]
    pub fn config(&self) -> Config {
        let mut config = Config::new(self.source.config(), self.listen.grpc, self.listen.admin);
        config.grpc_tls.clone_from(&self.listen.grpc_tls);
        config.api_token_file.clone_from(&self.listen.api_token_file);
        config.lease.clone_from(&self.lease);
        config
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    #[test]
    fn flags_are_consistent_and_each_has_a_variable() {
        let command = Cli::command();
        command.clone().debug_assert();
        let commands = [&command].into_iter().chain(command.get_subcommands());
        let flags = commands.flat_map(clap::Command::get_arguments);
        for flag in flags.filter(|a| !["help", "version"].contains(&a.get_id().as_str())) {
            let variable = format!("WEIR_{}", flag.get_id().as_str().to_uppercase());
            assert_eq!(flag.get_env().and_then(|v| v.to_str()), Some(variable.as_str()));
        }
    }

    #[test]
    fn certificates_go_into_secrets_or_into_a_folder() {
        let issue = |more: &[&str]| {
            let common = ["weir-control-plane", "issue-certificates", "--dns-name", "a.test", "--allow-namespace", "*"];
            Cli::try_parse_from([&common, more].concat()).map(|_| ()).map_err(|error| error.exit_code())
        };
        let secrets = ["--namespace=weir", "--ca-secret=a", "--control-plane-secret=b", "--data-plane-secret=c"];
        assert_eq!(issue(&secrets), Ok(()));
        assert_eq!(issue(&["--dir", "tls"]), Ok(()));
        assert_eq!(issue(&secrets[1..]), Err(2));
        assert_eq!(issue(&[]), Err(2));
        assert_eq!(issue(&["--dir", "tls", "--namespace", "weir"]), Err(2));
        assert_eq!(issue(&["--dir", "tls", "--allow-namespace", "Shop"]), Err(2));
        assert_eq!(issue(&["--dir", "tls", "--dns-name", "a/b"]), Err(2));
    }

    #[test]
    fn defaults_are_the_documented_ones() {
        let config = Cli::parse_from(["weir-control-plane", "--folder", "conf"]).config();
        assert_eq!(config.grpc.address.to_string(), "0.0.0.0:9800");
        assert_eq!(config.admin.address.to_string(), "0.0.0.0:9801");
    }

    fn source(arguments: &[&str]) -> Result<SourceConfig, clap::Error> {
        Cli::try_parse_from([&["weir-control-plane"], arguments].concat()).map(|cli| cli.config().source)
    }

    #[test]
    fn resources_come_from_the_cluster_unless_there_is_a_folder() {
        let of = |namespaces: &[&str]| SourceConfig::Kubernetes {
            namespaces: namespaces.iter().map(ToString::to_string).collect(),
        };
        assert_eq!(source(&[]).unwrap(), of(&[]));
        let twice = ["--namespace", "shop", "--namespace", "blog", "--namespace", "shop"];
        assert_eq!(source(&twice).unwrap(), of(&["blog", "shop"]));
        assert_eq!(source(&["--folder", "conf"]).unwrap(), SourceConfig::Folder("conf".into()));
    }

    #[test]
    fn wrong_usage_exits_with_2_and_names_the_flag() {
        for (arguments, flag) in [
            (vec!["--folder", "x", "--grpc", "nowhere"], "--grpc"),
            (vec!["--folder", "x", "--namespace", "shop"], "--namespace"),
            (vec!["--namespace", "Shop"], "--namespace"),
            (vec!["--namespace", ""], "--namespace"),
            (vec!["--api-token-file", "token"], "--folder"),
        ] {
            let error = source(&arguments).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains(flag), "{error}");
        }
    }
}
