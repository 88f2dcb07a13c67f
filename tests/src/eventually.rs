//! Waiting for a condition, never for a time.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

/// Longer than anything should take on a loaded machine; only a failing test waits this long.
pub const DEADLINE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(5);

/// Polls `probe` until it gives a value.
///
/// # Panics
/// If it gave none before [`DEADLINE`]; the message names `what` was waited for.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut probe: impl FnMut() -> F) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(value) = probe().await {
            return value;
        }
        assert!(Instant::now() < end, "waited {DEADLINE:?} in vain until {what}");
        sleep(PAUSE).await;
    }
}

/// Awaits `future`.
///
/// # Panics
/// If it was not done before [`DEADLINE`]; the message names `what` was waited for.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {DEADLINE:?} in vain for {what}"),
    }
}
