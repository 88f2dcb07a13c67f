//! Health of endpoints: the pure state machines, and the clock that brings ejected endpoints back.

pub mod clock;
pub mod event;
pub mod outlier;

pub use clock::HealthClock;
pub use event::{Transition, TransitionSink};
