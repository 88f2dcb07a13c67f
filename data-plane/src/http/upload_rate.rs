//! Whether a client sends its body fast enough: one that sends a byte now and then would hold a request, its slot and its
//! connections for ever.

use std::time::Duration;

use tokio::time::Instant;

/// So long a client may be waited for without regard to what comes.
const GRACE: Duration = Duration::from_secs(5);

/// The rate of one body. Only time in which the client is waited for counts: a slow upstream is nobody's fault here.
#[derive(Debug, Default)]
pub struct UploadRate {
    /// Bytes a second; 0 = any.
    least: u64,
    waited: Duration,
    since: Option<Instant>,
}

impl UploadRate {
    /// At least so many bytes a second, 0 = any.
    #[must_use]
    pub fn new(least: u64) -> Self {
        Self { least, ..Self::default() }
    }

    /// The client was asked for more: it has to be waited for, or no longer.
    pub fn note(&mut self, waits: bool) {
        if self.least == 0 {
            return;
        }
        match (waits, self.since) {
            (true, None) => self.since = Some(Instant::now()),
            (false, Some(since)) => {
                self.waited += since.elapsed();
                self.since = None;
            }
            _ => {}
        }
    }

    /// Whether so many bytes are enough by now.
    #[must_use]
    pub fn is_kept(&self, received: u64) -> bool {
        let counted = self.waited.saturating_sub(GRACE).as_millis();
        u128::from(received) * 1000 >= u128::from(self.least) * counted
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    async fn waits(rate: &mut UploadRate, seconds: u64) {
        rate.note(true);
        sleep(Duration::from_secs(seconds)).await;
        rate.note(true);
        rate.note(false);
    }

    #[tokio::test(start_paused = true)]
    async fn r7_a_body_has_a_rate_after_a_grace_of_the_time_that_it_is_waited_for() {
        let mut rate = UploadRate::new(100);
        waits(&mut rate, 5).await;
        assert!(rate.is_kept(0));
        sleep(Duration::from_secs(1000)).await;
        rate.note(false);
        assert!(rate.is_kept(0), "nobody has waited");
        waits(&mut rate, 2).await;
        assert!(rate.is_kept(200) && !rate.is_kept(199));
        let mut unlimited = UploadRate::new(0);
        waits(&mut unlimited, 1000).await;
        assert!(unlimited.is_kept(0));
    }
}
