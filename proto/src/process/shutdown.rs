//! When to stop.

use std::io;
use std::process;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Exit status after a second signal: 128 and the number of SIGINT, as shells have it.
const IMPATIENT: i32 = 130;

/// A token that is cancelled by SIGINT or SIGTERM. A second signal ends the process at once.
///
/// # Errors
/// If the signals cannot be listened to.
pub fn on_signal() -> io::Result<CancellationToken> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        for second in [false, true] {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if second {
                process::exit(IMPATIENT);
            }
            tracing::info!("stopping");
            token.cancel();
        }
    });
    Ok(stop)
}
