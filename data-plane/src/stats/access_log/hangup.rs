//! SIGHUP: whoever turns logs over has moved the file away.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::task::AbortOnDropHandle;
use tracing::info;

use super::AccessLog;

/// Opens the file of this log anew at each SIGHUP, until the handle is dropped. The signal ends the process no more.
///
/// # Errors
/// If the signal cannot be listened to.
pub fn follow_hangups(log: AccessLog) -> io::Result<AbortOnDropHandle<()>> {
    let mut hangups = signal(SignalKind::hangup())?;
    Ok(AbortOnDropHandle::new(tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            info!("opening the access log anew");
            log.reopen();
        }
    })))
}
