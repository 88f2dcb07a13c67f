//! The signals that end a program.

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

/// Waits for ctrl-c or SIGTERM.
pub(crate) async fn stop() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for signals")?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result.context("cannot wait for ctrl-c"),
        _ = terminate.recv() => Ok(()),
    }
}
