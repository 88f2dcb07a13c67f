//! From the control plane's stream to the live table.

pub mod apply;
pub mod cache;
pub mod client;
pub mod report;
