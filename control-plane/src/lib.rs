//! To come.
pub mod api;
pub mod finding;
pub mod index;
pub mod manifest;
pub mod snapshot;
pub mod source;
#[cfg(test)]
mod testing;
pub mod translate;
pub mod yaml;
