//! Flags, and what they come to.

use std::net::SocketAddr;
use std::path::PathBuf;

use weir_proto::process::telemetry;

/// Flag of the gRPC address.
const GRPC: &str = "--grpc";
/// Flag of the admin address.
const ADMIN: &str = "--admin";

const EXAMPLES: &str = "\
Examples:
  Serve the manifests below ./conf, reloading them on change:
    weir-control-plane --folder ./conf

  On this machine only, with a log in JSON:
    weir-control-plane --folder ./conf --grpc 127.0.0.1:9800 --admin 127.0.0.1:9801 --log-format json

  Who is connected, and what is wrong with which resource:
    curl http://127.0.0.1:9801/api/v1/proxies
    curl http://127.0.0.1:9801/api/v1/resources";

/// Serves Weir's resources to its proxies.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "weir-control-plane", version, about, after_help = EXAMPLES)]
pub struct Cli {
    /// Where resources come from.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Where to listen.
    #[command(flatten)]
    pub listen: ListenArgs,
    /// The log.
    #[command(flatten)]
    pub telemetry: telemetry::LogArgs,
}

/// Where resources come from.
#[derive(Debug, Clone, clap::Args)]
pub struct SourceArgs {
    /// Folder with manifests: every *.yaml, *.yml and *.json below it. The only source of this version: it
    /// does not watch Kubernetes.
    #[arg(long, env = "WEIR_FOLDER", value_name = "DIR")]
    pub folder: PathBuf,
}

/// Where to listen.
#[derive(Debug, Clone, clap::Args)]
pub struct ListenArgs {
    /// Address for proxies, over gRPC.
    #[arg(long, env = "WEIR_GRPC", value_name = "ADDR", default_value = "0.0.0.0:9800")]
    pub grpc: SocketAddr,
    /// Address for people and probes: /metrics, /healthz, /readyz, /api/v1/proxies, /api/v1/resources.
    #[arg(long, env = "WEIR_ADMIN", value_name = "ADDR", default_value = "0.0.0.0:9801")]
    pub admin: SocketAddr,
}

/// An address to listen on, and the flag that sets it, which errors name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// As users write it.
    pub flag: &'static str,
    /// Port 0 = any free one.
    pub address: SocketAddr,
}

/// What the control plane needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Folder with manifests.
    pub folder: PathBuf,
    /// For proxies.
    pub grpc: Listen,
    /// For people and probes.
    pub admin: Listen,
}

impl Config {
    /// A control plane over the manifests of a folder, with the flags of `weir-control-plane`.
    #[must_use]
    pub fn new(folder: PathBuf, grpc: SocketAddr, admin: SocketAddr) -> Self {
        Self { folder, grpc: Listen { flag: GRPC, address: grpc }, admin: Listen { flag: ADMIN, address: admin } }
    }
}

impl Cli {
    /// What the flags come to.
    #[must_use]
    pub fn config(&self) -> Config {
        Config::new(self.source.folder.clone(), self.listen.grpc, self.listen.admin)
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
        let flags = command.get_arguments().filter(|a| !["help", "version"].contains(&a.get_id().as_str()));
        for flag in flags {
            let variable = format!("WEIR_{}", flag.get_id().as_str().to_uppercase());
            assert_eq!(flag.get_env().and_then(|v| v.to_str()), Some(variable.as_str()));
        }
    }

    #[test]
    fn defaults_are_the_documented_ones() {
        let config = Cli::parse_from(["weir-control-plane", "--folder", "conf"]).config();
        assert_eq!(config.grpc.address.to_string(), "0.0.0.0:9800");
        assert_eq!(config.admin.address.to_string(), "0.0.0.0:9801");
    }

    #[test]
    fn wrong_usage_exits_with_2() {
        assert_eq!(Cli::try_parse_from(["weir-control-plane"]).unwrap_err().exit_code(), 2);
        let bad = ["weir-control-plane", "--folder", "x", "--grpc", "nowhere"];
        assert_eq!(Cli::try_parse_from(bad).unwrap_err().exit_code(), 2);
    }
}
