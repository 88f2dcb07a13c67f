//! What is known of one name: the last good addresses of each family, and when to ask again. Pure.

use std::net::IpAddr;
use std::time::Duration;

use rand::rngs::SmallRng;
use tracing::{info, warn};

use super::{Answer, Records};
use crate::backoff::Backoff;

const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_hours(1);
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_secs(10);

/// State of one name.
#[derive(Debug)]
pub(super) struct Tracker {
    name: String,
    v4: Vec<IpAddr>,
    v6: Vec<IpAddr>,
    failing: bool,
    backoff: Backoff,
}

impl Tracker {
    pub(super) fn new(name: String, rng: SmallRng) -> Self {
        let backoff = Backoff::new(FIRST_RETRY, LONGEST_RETRY, rng);
        Self { name, v4: Vec::new(), v6: Vec::new(), failing: false, backoff }
    }

    /// Takes an answer; gives the time until the next lookup. A family that could not be looked up keeps
    /// its addresses, and so do both if there is no record at all: more likely a mistake than a wish.
    pub(super) fn take(&mut self, answer: Answer) -> Duration {
        if !is_empty(&answer) {
            keep(&mut self.v4, &answer.v4);
            keep(&mut self.v6, &answer.v6);
        }
        let outcome = judge(answer);
        self.note(outcome.as_ref().err());
        match outcome {
            Ok(ttl) => {
                self.backoff.reset();
                ttl.clamp(SHORTEST, LONGEST)
            }
            Err(_) => self.backoff.next_wait(),
        }
    }

    /// The last good addresses, sorted; `None` if there never were any.
    pub(super) fn addresses(&self) -> Option<Vec<IpAddr>> {
        let mut addresses = [self.v4.as_slice(), self.v6.as_slice()].concat();
        addresses.sort_unstable();
        addresses.dedup();
        (!addresses.is_empty()).then_some(addresses)
    }

    /// One line when it begins to fail and one when it ends, not one per try.
    fn note(&mut self, error: Option<&String>) {
        match error {
            Some(error) if !self.failing => {
                warn!(name = self.name, error, kept = ?self.addresses(), "cannot resolve a name");
            }
            None if self.failing => info!(name = self.name, "the name resolves again"),
            _ => {}
        }
        self.failing = error.is_some();
    }
}

fn is_empty(answer: &Answer) -> bool {
    let empty = |family: &Result<Records, String>| family.as_ref().is_ok_and(|r| r.addresses.is_empty());
    empty(&answer.v4) && empty(&answer.v6)
}

fn keep(known: &mut Vec<IpAddr>, family: &Result<Records, String>) {
    if let Ok(records) = family {
        known.clone_from(&records.addresses);
    }
}

/// How long the answer holds, or why it is none.
fn judge(answer: Answer) -> Result<Duration, String> {
    let ttls = [answer.v4?.ttl, answer.v6?.ttl];
    ttls.into_iter().flatten().min().ok_or_else(|| "has no address".to_owned())
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn tracker() -> Tracker {
        Tracker::new("web".into(), SmallRng::seed_from_u64(1))
    }

    fn records(addresses: &[&str], ttl: u64) -> Result<Records, String> {
        let addresses: Vec<IpAddr> = addresses.iter().map(|a| a.parse().unwrap()).collect();
        let ttl = (!addresses.is_empty()).then_some(Duration::from_secs(ttl));
        Ok(Records { addresses, ttl })
    }

    fn known(tracker: &Tracker) -> Vec<String> {
        tracker.addresses().unwrap_or_default().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn u1_both_families_count_and_the_result_is_sorted() {
        let mut tracker = tracker();
        let wait = tracker.take(Answer { v4: records(&["10.0.0.2", "10.0.0.1"], 60), v6: records(&["::1"], 30) });
        assert_eq!((known(&tracker), wait), (vec!["10.0.0.1".into(), "10.0.0.2".into(), "::1".into()], 30 * SHORTEST));
    }

    #[test]
    fn u1_a_ttl_is_clamped_to_a_second_and_an_hour() {
        let wait = |ttl| tracker().take(Answer { v4: records(&["10.0.0.1"], ttl), v6: records(&[], 0) });
        assert_eq!([wait(0), wait(7), wait(100_000)], [SHORTEST, SHORTEST * 7, LONGEST]);
    }

    #[test]
    fn u1_a_family_that_fails_keeps_its_addresses() {
        let mut tracker = tracker();
        tracker.take(Answer { v4: records(&["10.0.0.1"], 9), v6: records(&["::1"], 9) });
        let wait = tracker.take(Answer { v4: Err("timed out".into()), v6: records(&["::2"], 9) });
        assert_eq!(known(&tracker), ["10.0.0.1", "::2"]);
        assert!(wait <= FIRST_RETRY && tracker.failing);
        tracker.take(Answer { v4: records(&[], 9), v6: records(&["::2"], 9) });
        assert_eq!(known(&tracker), ["::2"], "an empty answer beside a good one is no error");
        assert!(!tracker.failing);
    }

    #[test]
    fn u1_no_record_at_all_keeps_the_last_addresses() {
        let mut tracker = tracker();
        tracker.take(Answer { v4: records(&["10.0.0.1"], 9), v6: records(&[], 9) });
        tracker.take(Answer { v4: records(&[], 9), v6: records(&[], 9) });
        assert_eq!(known(&tracker), ["10.0.0.1"]);
        assert!(tracker.failing);
    }

    #[test]
    fn u1_a_name_that_never_resolved_has_no_addresses() {
        let mut tracker = tracker();
        tracker.take(Answer { v4: Err("refused".into()), v6: Err("refused".into()) });
        assert_eq!(tracker.addresses(), None);
    }
}
