//! What Weir's two planes share: the wire messages ([`pb`]), the validated domain model ([`model`]),
//! the conversions between them ([`convert`]), the version of a resource ([`version`]), and the stream for those who
//! pass resources on ([`encoded`]). What needs more crates is behind features: `process`, and `tls` for the stream's
//! security.

pub mod age;
pub mod convert;
pub mod encoded;
pub mod model;
pub mod nearest;
pub mod page;
pub mod pb;
#[cfg(feature = "process")]
pub mod process;
#[cfg(feature = "tls")]
pub mod tls;
pub mod version;
