//! The program `weir-data-plane`.

use anyhow::Context;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use mimalloc::MiMalloc;
use weir_data_plane::config::{Args, Config, EXAMPLES, Invalid};
use weir_data_plane::handover;
use weir_proto::process::{shutdown, telemetry};

/// A request's buffers are larger than what glibc keeps at hand: its allocations cost three times as much there.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

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
    let config = Config::try_from(cli.args).unwrap_or_else(|error| wrong_usage(&error));
    telemetry::init(cli.telemetry.log_format)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    runtime.block_on(async { Ok(handover::run(config, shutdown::on_signal()?).await?) })
}

/// Ends as clap does for what it finds by itself: usage, and exit status 2.
fn wrong_usage(error: &Invalid) -> ! {
    Cli::command().error(ErrorKind::ValueValidation, error).exit()
}
