//! To come.
pub mod api;
pub mod desired;
pub mod discovery;
pub mod finding;
pub mod index;
pub mod manifest;
pub mod metrics;
pub mod publish;
pub mod snapshot;
pub mod source;
pub mod status;
#[cfg(test)]
mod testing;
pub mod translate;
pub mod yaml;
