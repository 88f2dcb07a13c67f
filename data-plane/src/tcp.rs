//! Connections of TCP: to an endpoint of the listener's chain of pools, then bytes both ways.
//!
//! [`search`] finds the endpoint, [`direction`] moves the bytes, [`session`] counts and logs. Nothing here looks at a
//! byte.

pub mod buffers;
mod choose;
pub mod direction;
pub mod pace;
pub mod search;
pub mod serve;
pub mod session;

pub use buffers::Buffers;
pub use serve::serve;
