//! HTTP/2 to backends: few [`connection`]s, which many requests share, each with a [`Slot`] of its own. A [`pool`] has those
//! of one worker, and makes others when all are full: each [`dial`] is for as many requests as there will be room for.
//!
//! Windows are fixed, not adaptive: what a backend may send ahead of slow clients is known, and on a connection there is
//! room for what all of its streams may have unread, so that no client that reads nothing stops the others.

pub mod connection;
mod dial;
pub mod pool;
mod tasks;

pub use connection::{Settings, Shared, Slot};
pub use pool::{Pool, Wish};
