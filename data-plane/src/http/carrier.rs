//! The value that a part of a request carries.

use http::{HeaderMap, HeaderValue};
use weir_proto::model::plugin::param::Carrier;

use super::cookie;

/// The value of this header or cookie.
#[must_use]
pub fn value<'h>(carrier: &Carrier, headers: &'h HeaderMap) -> Option<&'h [u8]> {
    match carrier {
        Carrier::Header(name) => headers.get(name).map(HeaderValue::as_bytes),
        Carrier::Cookie(name) => cookie::value(headers, name),
    }
}
