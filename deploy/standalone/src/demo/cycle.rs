//! Takes one server down and brings it back, over and over, and says so.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::servers::Server;

/// Until the server goes down for the first time.
const FIRST: Duration = Duration::from_millis(1500);
/// How long it is down: longer than the pool's `failTimeout`, so that the proxy also tries it in vain.
const DOWN: Duration = Duration::from_millis(1800);
/// How long it is up between two times.
const UP: Duration = Duration::from_secs(5);

/// Runs until told to stop, and leaves the server running.
pub(super) async fn run(server: &mut Server, say: mpsc::Sender<String>, stop: CancellationToken) -> anyhow::Result<()> {
    let mut pause = FIRST;
    while stop.run_until_cancelled(sleep(pause)).await.is_some() {
        server.stop().await;
        tell(&say, format!("-- {} is taken down: connections to it are refused", server.name())).await;
        stop.run_until_cancelled(sleep(DOWN)).await;
        server.restart().await?;
        tell(&say, format!("-- {} is back: Weir tries it again within its failTimeout", server.name())).await;
        pause = UP;
    }
    Ok(())
}

/// Nobody listens any more when the demo ends.
async fn tell(say: &mpsc::Sender<String>, text: String) {
    let _ = say.send(text).await;
}
