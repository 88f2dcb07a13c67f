//! The moments at which probes begin.

use std::time::Duration;

use tokio::time::Instant;

/// Time between two moments; a whole number of them makes a second. To wake up for a probe costs more than the probe
/// does, and those that begin at the same moment share that. It is too short for a crowd of them to gather.
const STEP: Duration = Duration::from_millis(25);

/// Moments at even steps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beat(Instant);

impl Beat {
    /// The first moment is now.
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    /// The first moment that is not before `time`.
    pub(super) fn not_before(self, time: Instant) -> Instant {
        let since = time.saturating_duration_since(self.0);
        match since.subsec_nanos() % STEP.subsec_nanos() {
            0 => time,
            past => time + STEP - Duration::from_nanos(past.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn moments_are_at_even_steps_and_never_early() {
        let beat = Beat::start();
        let after = |time| beat.not_before(beat.0 + time) - beat.0;
        for (time, moment) in [(0, 0), (1, 25), (24_999, 25), (25_000, 25), (25_001, 50), (3_000_001, 3_025)] {
            assert_eq!(after(Duration::from_micros(time)), Duration::from_millis(moment), "{time}");
        }
    }
}
