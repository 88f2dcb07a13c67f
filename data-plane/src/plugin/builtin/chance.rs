//! Shares of requests.

use rand::RngExt;

use crate::plugin::Session;

/// Whether a request is one of so many per cent, by chance.
pub(super) fn hits(session: &Session<'_>, percent: f64) -> bool {
    session.worker().rng.borrow_mut().random_range(0.0..100.0) < percent
}
