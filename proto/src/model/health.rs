//! Health settings.

use std::time::Duration;

use super::StatusMask;

/// How a pool judges its endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Health {
    /// Failures seen in traffic.
    pub passive: PassiveHealth,
    /// Below this percentage (0-100) of endpoints up, balance over all of them; 0 = never.
    pub panic_threshold: u8,
    /// Time in which the share of an endpoint that is new or came up grows to its full size; zero = at once.
    pub slow_start: Duration,
}

/// When failures seen in traffic take an endpoint out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassiveHealth {
    /// Failures that eject; 0 = never.
    pub max_fails: u32,
    /// Longest time between two failures that add up, and the time an endpoint stays out.
    pub fail_timeout: Duration,
    /// Response statuses that count as failures.
    pub statuses: Vec<StatusMask>,
}

impl Default for PassiveHealth {
    fn default() -> Self {
        Self { max_fails: 3, fail_timeout: Duration::from_mins(1), statuses: Vec::new() }
    }
}
