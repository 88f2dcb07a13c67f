//! The command line of `weir`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand};
use tokio::runtime;
use weir_proto::process::telemetry::{self, LogArgs};

use crate::check::{self, CheckArgs};
use crate::crds;
use crate::demo::{self, DemoArgs};
use crate::explain::{self, ExplainArgs};
use crate::plugin::{self, PluginArgs};
use crate::run::{self, RunArgs};
use crate::status::{self, StatusArgs, TopArgs};

/// Weir, a load balancer: both planes in one command
#[derive(Debug, Parser)]
#[command(
    version,
    propagate_version = true,
    arg_required_else_help = true,
    after_help = "\
Examples:
  weir demo                            three servers, live figures
  weir run manifests/                  serve the resources of a folder
  weir check manifests/                say what is wrong with them
  weir status                          pools and backends of a running proxy
  weir explain GET http://a.example/   say where a request would go, and why
  weir plugin test greeting.lua        call the hooks of a plugin
  weir crds | kubectl apply -f -       teach Kubernetes the kinds Pool, Backend and Plugin"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    log: LogArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start three small servers and both planes, and show how Weir balances
    #[command(after_help = "\
Examples:
  weir demo                            until ctrl-c
  weir demo --exit-after 5s            in scripts; exit status 1 if a request failed
  weir demo --backend-port 9711 --listen http=127.0.0.1:8081")]
    Demo(DemoArgs),
    /// Run both planes with the resources of a folder
    #[command(after_help = "\
Examples:
  weir run manifests/
  weir run manifests/ --listen http=0.0.0.0:8080 --listen redis=127.0.0.1:6379,tcp
  weir run manifests/ --listen http=0.0.0.0:80 --listen https=0.0.0.0:443,tls --tls-dir /etc/weir/certificates
  weir run manifests/ --api 0.0.0.0:9801 --api-token-file /etc/weir/token
  weir run manifests/ --workers 4 --cache-dir /var/cache/weir --log-format json

The signal USR2 is refused: an upgrade in place is for weir-data-plane.")]
    Run(RunArgs),
    /// Check resources without running anything
    #[command(after_help = check::help())]
    Check(CheckArgs),
    /// Show pools and backends of running proxies
    #[command(after_help = "\
Examples:
  weir status                          the proxy of this machine; exit status 1 if something is not up
  weir status shop/ --problems         pools of the namespace shop of which something is not up
  weir status --admin 10.0.0.5:9900 --admin 10.0.0.6:9900
  weir status --control-plane 10.0.0.2:9801    all proxies of a control plane together")]
    Status(StatusArgs),
    /// The same, refreshed
    #[command(after_help = "\
Examples:
  weir top                             until ctrl-c
  weir top --control-plane 10.0.0.2:9801 --interval 5s
  weir top --count 3 | tee figures     three times, without colours")]
    Top(TopArgs),
    /// Say where a request would go and why, without sending it; or show requests as they come
    #[command(after_help = "\
Examples:
  weir explain GET http://shop.example.com/api
  weir explain POST https://shop.example.com/api?v=2 -H 'x-env: canary' --client 10.0.0.9
  weir explain GET /api -H 'host: shop.example.com' --listener internal --json
  weir explain --live --pool web --only errors        requests of a pool that went wrong, until ctrl-c
  weir explain --live --sample 0.1 --count 20 --json  one of ten, twenty in all

Nothing moves: no counter, no turn, no allowance of a rate limit; nobody is asked. Exit status 1 if the proxy's admin
server cannot be reached, 2 if it finds the question wrong.")]
    Explain(ExplainArgs),
    /// Try plugins without a proxy
    #[command(after_help = "\
Examples:
  weir plugin test greeting.lua        what its hooks answer, and how long they take; see weir plugin test --help")]
    Plugin(PluginArgs),
    /// Print the CustomResourceDefinitions of Weir's kinds
    #[command(after_help = "\
Examples:
  weir crds > crds.yaml
  weir crds | kubectl apply -f -")]
    Crds,
}

impl Cli {
    /// Does what was asked.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        telemetry::init_with(self.log.log_format, self.command.log_filter())?;
        match self.command {
            Command::Demo(args) => block_on(demo::run(args)),
            Command::Run(args) => block_on(run::run(args)),
            Command::Check(args) => check::run(&args),
            Command::Status(args) => block_on(status::run(args)),
            Command::Top(args) => block_on(status::top(args)),
            Command::Explain(args) => block_on(explain::run(args)),
            Command::Plugin(args) => plugin::run(args),
            Command::Crds => crds::run(),
        }
    }
}

fn block_on(future: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    let runtime = runtime::Builder::new_multi_thread().enable_all().build().context("cannot start a runtime")?;
    runtime.block_on(future)
}

impl Command {
    /// What is logged unless `WEIR_LOG` says otherwise.
    fn log_filter(&self) -> &'static str {
        match self {
            // The demo tells what happens by itself, in a table that log lines would tear.
            Self::Demo(_) => "error",
            Self::Run(_)
            | Self::Check(_)
            | Self::Status(_)
            | Self::Top(_)
            | Self::Explain(_)
            | Self::Plugin(_)
            | Self::Crds => telemetry::DEFAULT_FILTER,
        }
    }
}

/// Reads a duration as in manifests.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    weir_proto::model::units::parse_duration(text)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_has_a_variable_and_every_command_an_example() {
        let cli = Cli::command();
        let nested = cli.get_subcommands().flat_map(clap::Command::get_subcommands);
        for command in cli.get_subcommands().chain(nested) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Examples:"), "{}", command.get_name());
            for flag in command.get_arguments().filter(|a| a.get_long().is_some()) {
                let variable = flag.get_env().map(|v| v.to_string_lossy().into_owned()).unwrap_or_default();
                assert!(variable.starts_with("WEIR_"), "{} {}", command.get_name(), flag.get_id());
            }
        }
    }
}
