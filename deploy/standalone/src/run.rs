//! `weir run`: both planes with the resources of a folder, until a signal.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::planes::{PlaneArgs, Planes};
use crate::signal;

/// What `weir run` may be told.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Folder with the resources: every *.yaml, *.yml and *.json below it, reloaded on change
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    #[command(flatten)]
    planes: PlaneArgs,
}

/// Runs until ctrl-c or SIGTERM, then lets running requests finish.
pub(crate) async fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    let mut planes = Planes::start(&args.folder, &args.planes).await?;
    for (name, address) in planes.listeners() {
        eprintln!("listener {name} at http://{address}");
    }
    eprintln!("proxy at http://{}, control plane at http://{}", planes.admin(), planes.api());
    tokio::select! {
        result = signal::stop() => result?,
        error = planes.failed() => return Err(error),
    }
    planes.stop().await?;
    Ok(ExitCode::SUCCESS)
}
