//! What Weir's two planes share: the wire messages ([`pb`]), the validated domain model ([`model`]),
//! the conversions between them ([`convert`]) and the version of a resource ([`version`]).

pub mod convert;
pub mod model;
pub mod pb;
#[cfg(feature = "process")]
pub mod process;
pub mod version;
