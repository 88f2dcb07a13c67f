//! `weir run`: both planes with the resources of a folder, until a signal.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tracing::warn;
use weir_control_plane::status::LineSink;
use weir_proto::process::shutdown;

use crate::planes::{PlaneArgs, Planes};

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
    let told_to_stop = shutdown::on_signal()?;
    refuse_upgrades()?;
    let mut planes = Planes::start(&args.folder, &args.planes, LineSink::log()).await?;
    greet(&planes, &args.planes);
    tokio::select! {
        () = told_to_stop.cancelled() => {}
        error = planes.failed() => return Err(error),
    }
    planes.stop().await?;
    Ok(ExitCode::SUCCESS)
}

/// Only the proxy can be replaced while it runs, and here it would leave its control plane behind.
fn refuse_upgrades() -> io::Result<()> {
    let mut asked = signal(SignalKind::user_defined2())?;
    tokio::spawn(async move {
        while asked.recv().await.is_some() {
            warn!("SIGUSR2 changes nothing here: run weir-control-plane and weir-data-plane, which upgrades in place");
        }
    });
    Ok(())
}

/// Says where everything listens, with the ports that were chosen for port 0.
fn greet(planes: &Planes, args: &PlaneArgs) {
    for ((name, address), scheme) in planes.listeners().iter().zip(args.schemes()) {
        eprintln!("listener {name} at {scheme}://{address}");
    }
    eprintln!("proxy at http://{}, control plane at http://{}", planes.admin(), planes.api());
}
