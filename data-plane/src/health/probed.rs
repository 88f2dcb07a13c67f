//! Active health: what probes say of an endpoint.
//!
//! LIFECYCLE
//! ```text
//!                    Paranoid                 a pass
//!   (first settings) ---------> Unknown ------------------> Up <--------------------------+
//!                    else            |                       |                            |
//!   (first settings) ---> Up         | a failure             | unhealthyThreshold         | healthyThreshold
//!                                    v                       v failures in a row          | passes in a row
//!                                  Down <--------------------+----------------------------+
//! ```
//! Without probes it is Up. The machine is pure; it is one half of [`super::Health`].

use weir_proto::model::{ActiveHealth, HealthMode};

/// What the probes of one endpoint have come to.
#[derive(Debug, Default)]
pub(super) struct Probed {
    reading: Reading,
    /// In a row, since the last failure of any kind.
    passes: u32,
    /// In a row.
    fails: u32,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Reading {
    /// No settings were seen yet.
    #[default]
    New,
    Unknown,
    Up,
    Down,
}

impl Probed {
    /// Takes new settings. Who is up stays up, and who is down stays down while there are probes.
    pub(super) fn follow(&mut self, active: Option<&ActiveHealth>) {
        let waits = active.is_some_and(|active| active.mode == HealthMode::Paranoid);
        self.reading = match self.reading {
            Reading::New if waits => Reading::Unknown,
            Reading::Unknown if waits => Reading::Unknown,
            Reading::Down if active.is_some() => Reading::Down,
            _ => Reading::Up,
        };
    }

    /// A probe passed; true if there were enough in a row for one that is down.
    pub(super) fn pass(&mut self, active: &ActiveHealth) -> bool {
        self.fails = 0;
        self.passes = self.passes.saturating_add(1);
        let enough = self.passes >= active.healthy_threshold;
        if self.reading != Reading::Down || enough {
            self.reading = Reading::Up;
        }
        enough
    }

    /// A probe failed.
    pub(super) fn fail(&mut self, active: &ActiveHealth) {
        self.passes = 0;
        self.fails = self.fails.saturating_add(1);
        if self.reading != Reading::Up || self.fails >= active.unhealthy_threshold {
            self.reading = Reading::Down;
        }
    }

    /// What passed so far counts no longer, as live requests fail.
    pub(super) fn doubt(&mut self) {
        self.passes = 0;
    }

    /// Results count from here on.
    pub(super) fn forget_counts(&mut self) {
        (self.passes, self.fails) = (0, 0);
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(self.reading, Reading::New | Reading::Up)
    }
}
