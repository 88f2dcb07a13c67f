//! Weir's control plane: takes resources from a source, and pushes to every proxy what it should have.
//!
//! The way of a change: [`source`] -> [`desired`] ([`index`] and [`translate`]) -> [`snapshot`], published by
//! [`publish`] -> one [`discovery`] session a proxy. What is said about each resource goes by [`status`].

pub mod admin;
pub mod api;
pub mod app;
pub mod check;
pub mod config;
pub mod contents;
pub mod desired;
pub mod discovery;
pub mod finding;
pub mod held;
pub mod index;
pub mod issue;
pub mod keep;
mod kube_api;
pub mod lease;
pub mod lint;
pub mod manifest;
pub mod metrics;
pub mod mtls;
mod objects;
mod pace;
pub mod publish;
mod references;
pub mod rehearsal;
pub mod scope;
pub mod services;
pub mod snapshot;
pub mod source;
pub mod status;
#[cfg(test)]
mod testing;
pub mod translate;
pub mod yaml;
