//! Weir's data plane: the proxy.
pub mod balance;
pub mod health;
pub mod pool;
pub mod reason;
pub mod stats;
