//! TLS with clients. Everything that can be decided when configuration arrives is: a handshake looks one name up in an
//! immutable [`Certificates`] and goes by the [`Terms`] found there, a request looks nothing up at all.
//!
//! [`store`] makes the next [`Certificates`] of what Pools bring and what is in the [`folder`]; [`handshake`] is what
//! becomes of a client's connection, [`failure`] why nothing does, and [`identity`] who the client is.

pub mod certificates;
pub mod failure;
pub mod folder;
pub mod handshake;
pub mod identity;
mod prompt;
pub mod store;
pub mod terms;

pub use certificates::{Certificates, CertificatesHandle};
pub use failure::Failure;
pub use handshake::{Handshakes, serve};
pub use identity::{Identity, Secured};
pub use store::CertificateStore;
pub use terms::{Terms, TermsMaker};
