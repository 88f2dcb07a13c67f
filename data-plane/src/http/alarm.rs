//! Timers for the requests of a connection.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use smallvec::SmallVec;
use tokio::time::{Instant, Sleep, sleep_until};

/// The timers of a connection that nobody waits for: one, as long as its requests come one after the other.
#[derive(Debug, Default)]
pub struct Alarms(RefCell<SmallVec<[Alarm; 1]>>);

impl Alarms {
    /// What `future` comes to, if it does so before `end`.
    pub async fn before<T>(&self, end: Instant, mut future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        let mut alarm = self.0.borrow_mut().pop().unwrap_or_default();
        let value = poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending => alarm.poll_passed(cx, end).map(|()| None),
        })
        .await;
        self.0.borrow_mut().push(alarm);
        value
    }
}

/// A timer that rings when the time of what is waited for is over. Nearly always that comes long before: the timer is
/// left as it is then, and the next wait moves it only if it must ring earlier. One that rings for a wait that is over is
/// moved on. So a request costs a look at the timer, where one of its own would be armed and given up.
///
/// One wait at a time: the timer wakes the task that looked last.
#[derive(Debug, Default)]
pub struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Ready at `end`; until then the task is woken in time.
    pub fn poll_passed(&mut self, cx: &mut Context<'_>, end: Instant) -> Poll<()> {
        let timer = self.0.get_or_insert_with(|| Box::pin(sleep_until(end)));
        if timer.deadline() > end {
            timer.as_mut().reset(end);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= end {
                return Poll::Ready(());
            }
            timer.as_mut().reset(end);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::pin::pin;
    use std::time::Duration;

    use tokio::time::sleep;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    async fn rings_after(alarm: &Alarms, limit: Duration) -> Duration {
        let began = Instant::now();
        assert_eq!(alarm.before(began + limit, pin!(pending::<()>())).await, None);
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn each_wait_has_its_own_time_whatever_the_last_one_had() {
        let alarm = Alarms::default();
        for seconds in [5, 1, 9, 9, 2] {
            let limit = seconds * SECOND;
            assert_eq!(alarm.before(Instant::now() + limit, pin!(sleep(limit / 4))).await, Some(()));
            assert_eq!(rings_after(&alarm, limit).await, limit);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_left_by_an_early_answer_neither_shortens_nor_lengthens_the_next_wait() {
        let alarm = Alarms::default();
        for (left, limit) in [(3, 7), (7, 3), (2, 2), (1, 60)] {
            assert_eq!(alarm.before(Instant::now() + left * SECOND, pin!(sleep(SECOND / 2))).await, Some(()));
            assert_eq!(rings_after(&alarm, limit * SECOND).await, limit * SECOND);
        }
        // Long after it last rang.
        sleep(100 * SECOND).await;
        assert_eq!(rings_after(&alarm, SECOND).await, SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn waits_at_the_same_time_do_not_disturb_each_other() {
        let alarms = Alarms::default();
        let begins_in = async |seconds: u32, limit: u32| {
            sleep(seconds * SECOND).await;
            rings_after(&alarms, limit * SECOND).await
        };
        let rang = tokio::join!(begins_in(0, 9), begins_in(1, 3), begins_in(2, 1), begins_in(5, 2), begins_in(12, 1));
        assert_eq!(rang, (9 * SECOND, 3 * SECOND, SECOND, 2 * SECOND, SECOND));
        assert_eq!(alarms.0.borrow().len(), 3, "as many timers as waits at a time");
    }
}
