//! The health of one endpoint: one state, fed by live requests and by probes.
//!
//! It is up if live failures have not ejected it, probes do not say that it is down, and it is not out for good by
//! `stickyOffline`. While there are probes, it is passes in a row that end an ejection, and no timer. Pure, as its
//! halves are: it is told the time, and says what has changed.

use tokio::time::Instant;
use weir_proto::model;

use super::outlier::{Failure, Outlier};
use super::probed::Probed;
use crate::reason::Reason;

/// Health of one endpoint.
#[derive(Debug, Default)]
pub struct Health {
    outlier: Outlier,
    probed: Probed,
    /// There are probes: ejections have no timer.
    has_probes: bool,
    /// Went down with `stickyOffline` (H5).
    out_for_good: bool,
    probe_failure: Option<Failure>,
}

/// What an endpoint's health comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It may have requests.
    Up,
    /// Live requests failed.
    Ejected,
    /// Probes fail, or have not passed yet.
    Down,
}

/// It went down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WentDown {
    /// When its time is over; `None` = something else must bring it back.
    pub until: Option<Instant>,
}

impl Health {
    /// Takes new settings; `Some` if the endpoint is up or down by them. What kept it out is over if the settings have
    /// it no more.
    pub fn follow(&mut self, settings: &model::Health) -> Option<bool> {
        let before = self.is_up();
        let lost_its_way_back = self.has_probes && settings.active.is_none();
        let no_longer_sticky = self.out_for_good && !settings.sticky_offline;
        if settings.passive.max_fails == 0 || lost_its_way_back || no_longer_sticky {
            self.outlier.reset();
        }
        self.out_for_good &= settings.sticky_offline;
        self.has_probes = settings.active.is_some();
        self.probed.follow(settings.active.as_ref());
        self.turned(before)
    }

    /// Notes a failure of a live request.
    pub fn fail(&mut self, now: Instant, reason: Reason, settings: &model::Health) -> Option<WentDown> {
        let before = self.is_up();
        let until = self.outlier.fail(now, reason, &settings.passive)?;
        self.probed.doubt();
        if !before {
            return None;
        }
        self.out_for_good = settings.sticky_offline;
        let has_timer = !self.has_probes && !self.out_for_good;
        Some(WentDown { until: has_timer.then_some(until) })
    }

    /// The time of an ejection may be over; true if the endpoint is up again.
    pub fn recover(&mut self, now: Instant, settings: &model::Health) -> bool {
        let before = self.is_up();
        if !self.has_probes {
            self.outlier.recover(now, &settings.passive);
        }
        self.turned(before) == Some(true)
    }

    /// Notes the outcome of a probe; `Some` if the endpoint went up or down by it.
    pub fn probed(&mut self, now: Instant, outcome: Result<(), Reason>, settings: &model::Health) -> Option<bool> {
        let active = settings.active.as_ref()?;
        let before = self.is_up();
        match outcome {
            Ok(()) => {
                if self.probed.pass(active) {
                    self.outlier.give_back(now, &settings.passive);
                }
            }
            Err(reason) => {
                self.probe_failure = Some(Failure { at: now, reason });
                self.probed.fail(active);
            }
        }
        let turned = self.turned(before);
        self.out_for_good |= turned == Some(false) && settings.sticky_offline;
        turned
    }

    /// A person enables the endpoint: counters begin at zero, and only probes may still say that it is down (H6).
    pub fn enable(&mut self) {
        self.outlier.reset();
        self.probed.forget_counts();
        self.out_for_good = false;
    }

    fn turned(&self, before: bool) -> Option<bool> {
        (self.is_up() != before).then_some(!before)
    }

    /// Whether requests may go to it.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.verdict() == Verdict::Up
    }

    /// What it comes to.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        if !self.probed.is_up() {
            Verdict::Down
        } else if self.outlier.is_ejected() || self.out_for_good {
            Verdict::Ejected
        } else {
            Verdict::Up
        }
    }

    /// Live failures that add up so far.
    #[must_use]
    pub fn fails(&self) -> u32 {
        self.outlier.fails()
    }

    /// The last failure of a live request or of a probe.
    #[must_use]
    pub fn last_failure(&self) -> Option<Failure> {
        let of_both = [self.outlier.last_failure(), self.probe_failure];
        of_both.into_iter().flatten().max_by_key(|failure| failure.at)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use weir_proto::model::{ActiveHealth, HealthMode, PassiveHealth, Probe};

    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    fn settings(mode: HealthMode) -> model::Health {
        let active = ActiveHealth {
            probe: Probe::Tcp,
            mode,
            interval: Duration::from_secs(2),
            timeout: Duration::from_secs(1),
            healthy_threshold: 2,
            unhealthy_threshold: 2,
        };
        model::Health { active: Some(active), ..passive(1) }
    }

    fn passive(max_fails: u32) -> model::Health {
        let passive = PassiveHealth { max_fails, ..PassiveHealth::default() };
        model::Health { passive, ..model::Health::default() }
    }

    fn sticky(settings: model::Health) -> model::Health {
        model::Health { sticky_offline: true, ..settings }
    }

    /// An endpoint that is new in a pool of these settings.
    fn new(settings: &model::Health) -> Health {
        let mut health = Health::default();
        health.follow(settings);
        health
    }

    /// `p`asses and `f`ailures of probes, one letter each, and `x` for a live failure: what each changes.
    fn after(health: &mut Health, events: &str, settings: &model::Health) -> String {
        let now = Instant::now();
        let turn = |turned| match turned {
            Some(true) => 'U',
            Some(false) => 'D',
            None => '.',
        };
        let step = |event| match event {
            'p' => turn(health.probed(now, Ok(()), settings)),
            'f' => turn(health.probed(now, Err(Reason::Timeout), settings)),
            _ => turn(health.fail(now, Reason::Reset, settings).map(|_| false)),
        };
        events.chars().map(step).collect()
    }

    #[test]
    fn h3_paranoid_gets_no_traffic_until_a_probe_passed() {
        let settings = settings(HealthMode::Paranoid);
        let mut health = new(&settings);
        assert_eq!((health.is_up(), health.verdict()), (false, Verdict::Down));
        assert_eq!(after(&mut health, "p", &settings), "U");
        let mut failing = new(&settings);
        assert_eq!(after(&mut failing, "fpp", &settings), "..U", "after a failure it takes the threshold");
    }

    #[test]
    fn h3_the_other_modes_start_up() {
        for mode in [HealthMode::Opportunistic, HealthMode::Lazy] {
            assert!(new(&settings(mode)).is_up(), "{mode:?}");
        }
    }

    #[test]
    fn h2_thresholds_are_of_results_in_a_row() {
        let settings = settings(HealthMode::Lazy);
        let mut health = new(&settings);
        assert_eq!(after(&mut health, "fpffpfpp", &settings), "...D...U");
    }

    #[test]
    fn h3_live_failures_and_probes_feed_one_state() {
        let settings = settings(HealthMode::Lazy);
        let mut health = new(&settings);
        assert_eq!(after(&mut health, "pppxp", &settings), "...D.", "what passed before the failure counts no more");
        assert_eq!(health.verdict(), Verdict::Ejected);
        assert_eq!(after(&mut health, "p", &settings), "U");
        assert_eq!(after(&mut health, "x", &settings), "D", "on probation one failure is enough");
        assert_eq!(after(&mut health, "ffpp", &settings), "...U");
    }

    #[test]
    fn h1_with_probes_no_timer_brings_an_endpoint_back() {
        let (now, with) = (Instant::now(), settings(HealthMode::Lazy));
        let mut health = new(&with);
        assert_eq!(health.fail(now, Reason::Reset, &with), Some(WentDown { until: None }));
        assert!(!health.recover(now + MINUTE * 2, &with));
        let without = passive(1);
        let mut health = new(&without);
        assert_eq!(health.fail(now, Reason::Reset, &without), Some(WentDown { until: Some(now + MINUTE) }));
        assert!(health.recover(now + MINUTE, &without));
    }

    #[test]
    fn h5_sticky_offline_stays_out_until_a_person_enables_it() {
        for settings in [sticky(settings(HealthMode::Lazy)), sticky(passive(1))] {
            let mut health = new(&settings);
            assert_eq!(after(&mut health, "xpppp", &settings), "D....");
            assert!(!health.recover(Instant::now() + MINUTE * 2, &settings));
            health.enable();
            assert!(health.is_up());
        }
    }

    #[test]
    fn h5_a_first_start_is_no_going_down() {
        let settings = sticky(settings(HealthMode::Paranoid));
        let mut health = new(&settings);
        assert_eq!(after(&mut health, "ffpp", &settings), "...U");
        assert_eq!(after(&mut health, "ffpppp", &settings), ".D....");
    }

    #[test]
    fn h6_enabling_zeroes_counters_but_does_not_overrule_probes() {
        let settings = settings(HealthMode::Lazy);
        let mut health = new(&settings);
        after(&mut health, "xff", &settings);
        health.enable();
        assert_eq!((health.fails(), health.verdict()), (0, Verdict::Down));
        assert_eq!(after(&mut health, "pp", &settings), ".U");
    }

    #[test]
    fn c5_new_settings_bring_back_only_what_they_no_longer_keep_out() {
        let probing = settings(HealthMode::Lazy);
        let mut health = new(&probing);
        after(&mut health, "ff", &probing);
        assert_eq!(health.follow(&settings(HealthMode::Paranoid)), None, "still down");
        assert_eq!(health.follow(&passive(1)), Some(true), "nobody probes any more");
        assert_eq!(health.follow(&settings(HealthMode::Paranoid)), None, "who is up stays up");
        after(&mut health, "x", &probing);
        assert_eq!(health.follow(&passive(1)), Some(true), "its way back is gone");
        after(&mut health, "x", &sticky(passive(1)));
        assert_eq!(health.follow(&sticky(passive(1))), None);
        assert_eq!(health.follow(&passive(1)), Some(true));
        after(&mut health, "x", &passive(1));
        assert_eq!(health.follow(&passive(0)), Some(true), "passive health is off");
    }

    #[test]
    fn the_newest_failure_counts_whoever_saw_it() {
        let (t, settings) = (Instant::now(), settings(HealthMode::Lazy));
        let mut health = new(&settings);
        health.fail(t, Reason::Reset, &settings);
        health.probed(t + MINUTE, Err(Reason::Timeout), &settings);
        assert_eq!(health.last_failure().map(|failure| failure.reason), Some(Reason::Timeout));
    }
}
