//! How long a response body may take.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use super::exchange::Exchange;

/// `timeouts.read` between two reads, and `timeouts.request` for all of them. The timer is made when a
/// read first waits, and moved rather than made anew when another does.
#[derive(Debug)]
pub struct ReadLimit {
    /// Zero = none.
    between: Duration,
    end: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    armed: bool,
}

impl ReadLimit {
    /// The limits of the pool that answers.
    #[must_use]
    pub fn of(exchange: &Exchange) -> Self {
        let timeouts = exchange.pool().map(|pool| &pool.config.timeouts);
        let between = timeouts.map_or(Duration::ZERO, |t| t.read);
        let whole = exchange.pool().map(|pool| exchange.limit(pool)).filter(|whole| !whole.is_zero());
        Self { between, end: whole.map(|request| exchange.began + request), timer: None, armed: false }
    }

    /// Something was read.
    pub fn progress(&mut self) {
        self.armed = false;
    }

    /// Ready when a limit has passed.
    pub fn poll_passed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.armed {
            let Some(at) = self.next() else { return Poll::Pending };
            match &mut self.timer {
                Some(timer) => timer.as_mut().reset(at),
                None => self.timer = Some(Box::pin(sleep_until(at))),
            }
            self.armed = true;
        }
        self.timer.as_mut().map_or(Poll::Pending, |timer| timer.as_mut().poll(cx))
    }

    fn next(&self) -> Option<Instant> {
        let read = (!self.between.is_zero()).then(|| Instant::now() + self.between);
        [read, self.end].into_iter().flatten().min()
    }
}
