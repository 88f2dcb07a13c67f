//! A connection that is being made, for as many requests as it will have room for.

use std::io;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout_at};

use crate::upstream::ConnectError;

/// What comes of it; `None` = nothing yet.
type Outcome = Option<Result<(), Arc<ConnectError>>>;

/// A connection that is being made.
#[derive(Debug)]
pub(super) struct Dial {
    told: watch::Receiver<Outcome>,
    /// Requests that may still wait for it.
    places: usize,
}

/// One who waits for a connection.
#[derive(Debug)]
pub(super) struct Waiting(watch::Receiver<Outcome>);

impl Dial {
    /// Makes one, which is done when `making` is. It does not end with the request that wanted it first: others wait, too.
    pub(super) fn start(making: impl Future<Output = Result<(), ConnectError>> + 'static, places: usize) -> Self {
        let (tell, told) = watch::channel(None);
        spawn_local(async move {
            let made = making.await.map_err(Arc::new);
            tell.send_replace(Some(made));
        });
        Self { told, places }
    }

    /// Whether nobody makes it any more.
    pub(super) fn is_over(&self) -> bool {
        self.told.has_changed().is_err()
    }

    /// Waits for it, if it will have room for one more.
    pub(super) fn join(&mut self) -> Option<Waiting> {
        self.places = self.places.checked_sub(1)?;
        Some(Waiting(self.told.clone()))
    }
}

impl Waiting {
    /// What comes of the connection until then.
    pub(super) async fn outcome(mut self, until: Option<Instant>) -> Result<(), Arc<ConnectError>> {
        let told = self.0.wait_for(Option::is_some);
        let told = match until {
            None => told.await,
            Some(until) => timeout_at(until, told).await.map_err(|_| Arc::new(ConnectError::Timeout))?,
        };
        match told {
            Ok(told) => told.clone().unwrap_or(Ok(())),
            // The task that makes it cannot end without a word, short of a panic in it.
            Err(_) => Err(Arc::new(ConnectError::Io(io::ErrorKind::Interrupted.into()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;
    use tokio::task::LocalSet;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_made_for_so_many_and_all_are_told_what_came_of_it() {
        let work = async {
            let (end, ended) = oneshot::channel();
            let making = async { ended.await.unwrap_or(Err(ConnectError::Timeout)) };
            let mut dial = Dial::start(making, 2);
            let (first, second) = (dial.join().unwrap(), dial.join().unwrap());
            assert!(dial.join().is_none() && !dial.is_over());
            let soon = Some(Instant::now() + Duration::from_secs(1));
            assert!(matches!(*first.outcome(soon).await.unwrap_err(), ConnectError::Timeout), "one goes, it goes on");
            end.send(Err(ConnectError::Io(io::ErrorKind::ConnectionRefused.into()))).unwrap();
            assert!(matches!(*second.outcome(None).await.unwrap_err(), ConnectError::Io(_)));
            assert!(dial.is_over());
        };
        LocalSet::new().run_until(work).await;
    }
}
