//! Counters of the request path and their way to Prometheus.
//!
//! Workers count into shards of their own and never share a cache line; a scrape adds the shards up.

pub mod access_log;
pub mod counter;
pub mod families;
pub mod histogram;
pub mod process;
pub mod recent;
pub mod shard;

pub use counter::{Counter, Gauge};
pub use histogram::Histogram;
pub use process::ProcessStats;
pub use recent::Recent;
pub use shard::Sharded;
