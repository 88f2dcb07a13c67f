//! Why a request goes where it goes: a dry run against the live table.
//!
//! A dry run takes the request path's own steps: the matcher, the order of the chain, the hooks of plugins, the roles and
//! the method. What would leave a trace stands in for itself: turns are taken of a copy, a slot is looked at and not
//! entered, and of each plugin runs what [`crate::plugin::Stage::dry`] gives. So nothing moves: no counter, no
//! allowance, no connection. What is told is of this moment, for a request that comes alone by a new connection.
//!
//! Dry runs happen one after the other on a thread of their own ([`thread`]), where a plugin that takes its time makes no
//! request wait. [`live`] is the other way to look: records of requests that have been answered.

pub mod answer;
pub mod live;
pub mod question;
pub mod thread;

mod candidates;
mod forecast;
mod plugins;
mod rules;
mod run;
mod walk;

pub use answer::Explanation;
pub use question::Question;
pub use thread::{Explainer, Unexplained};
