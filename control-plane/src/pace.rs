//! So many at once, and so many a second after that.

use std::time::Duration;

use tokio::time::Instant;

/// Lets through `burst` at once, then one every so often.
#[derive(Debug)]
pub(crate) struct Pace {
    every: Duration,
    burst: u32,
    /// When the next one would be let through if there were no burst.
    next: Instant,
}

impl Pace {
    /// A pace that has its whole burst left.
    pub(crate) fn new(burst: u32, a_second: u32, now: Instant) -> Self {
        Self { every: Duration::from_secs(1) / a_second.max(1), burst, next: now }
    }

    /// When one more may go: not later than `now` = it may go now.
    pub(crate) fn due(&self) -> Instant {
        self.next.checked_sub(self.every * self.burst.saturating_sub(1)).unwrap_or(self.next)
    }

    /// One goes.
    pub(crate) fn spend(&mut self, now: Instant) {
        self.next = self.next.max(now) + self.every;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many go in a time, if as many as possible do.
    fn goes(pace: &mut Pace, start: Instant, within: Duration) -> u32 {
        let mut count = 0;
        while pace.due() <= start + within {
            pace.spend(pace.due().max(start));
            count += 1;
        }
        count
    }

    #[test]
    fn a_burst_goes_at_once_and_then_so_many_a_second() {
        let start = Instant::now();
        let mut pace = Pace::new(20, 10, start);
        assert_eq!(goes(&mut pace, start, Duration::ZERO), 20);
        assert_eq!(goes(&mut pace, start, Duration::from_secs(3)), 30);
    }

    #[test]
    fn quiet_times_give_the_burst_back_and_no_more() {
        let start = Instant::now();
        let mut pace = Pace::new(5, 1, start);
        goes(&mut pace, start, Duration::ZERO);
        assert_eq!(goes(&mut pace, start + Duration::from_secs(3600), Duration::ZERO), 5);
    }
}
