//! Health of endpoints: the pure state machines, and the clock that brings ejected endpoints back.

mod beat;
pub mod clock;
pub mod event;
pub mod outlier;
pub mod probe;
mod probed;
pub mod probers;
pub mod state;

pub use clock::HealthClock;
pub use event::{Noted, Transition, TransitionLog, TransitionSink};
pub use probers::Probers;
pub use state::{Health, Verdict};
