//! The program `weir-data-plane`.

use anyhow::Context;
use clap::Parser;
use weir_data_plane::app;
use weir_data_plane::config::{Args, Config, EXAMPLES};
use weir_proto::process::{shutdown, telemetry};

/// Weir's proxy: takes its configuration from a control plane, and serves
#[derive(Debug, Parser)]
#[command(name = "weir-data-plane", version, after_help = EXAMPLES)]
struct Cli {
    #[command(flatten)]
    args: Args,
    #[command(flatten)]
    telemetry: telemetry::LogArgs,
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    telemetry::init(cli.telemetry.log_format)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    runtime.block_on(async {
        let bound = app::bind(Config::try_from(cli.args)?)?;
        bound.run(shutdown::on_signal()?).await?;
        Ok(())
    })
}
