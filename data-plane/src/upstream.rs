//! Connections to backends, per worker: made, reused, given up.

pub mod connect;
pub mod halves;
pub mod idle;
pub mod io;
pub mod stream;

pub use connect::{ConnectError, Connection, connect};
pub use idle::IdlePool;
