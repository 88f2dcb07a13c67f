//! The program `weir-control-plane`.

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use weir_control_plane::app;
use weir_control_plane::config::Cli;
use weir_proto::process::{shutdown, telemetry};

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
    telemetry::init(cli.telemetry.log_format)?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    runtime.block_on(async { Ok(app::bind(cli.config()).await?.run(shutdown::on_signal()?).await?) })
}
