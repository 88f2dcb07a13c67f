//! The program `weir-control-plane`.

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use weir_control_plane::config::{Cli, Command};
use weir_control_plane::{app, issue};
use weir_proto::process::{shutdown, telemetry};

/// The default of all programs; and the client of the cluster says at each attempt what the source says once.
const LOG: &str = "info,rustls=error,kube_client=off,kube_runtime=off";

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weir-control-plane: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<()> {
    telemetry::init_with(cli.telemetry.log_format, LOG)?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    runtime.block_on(async {
        match &cli.command {
            Some(Command::IssueCertificates(args)) => Ok(issue::run(args).await?),
            None => Ok(app::bind(cli.config()).await?.run(shutdown::on_signal()?).await?),
        }
    })
}
