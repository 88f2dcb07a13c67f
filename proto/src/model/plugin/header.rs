//! Headers that are for plugins to change.

use http::header::{self, HeaderName};

/// The name of a header that plugins may change: not one that frames messages or belongs to the connection.
///
/// # Errors
/// If it is no legal name, or Weir's own business.
pub fn changeable(name: &str) -> Result<HeaderName, String> {
    let name = HeaderName::try_from(name).map_err(|_| format!("{name:?} is no name of a header"))?;
    if is_ours(&name) {
        return Err(format!("the header {name} frames messages and is not for plugins"));
    }
    Ok(name)
}

fn is_ours(name: &HeaderName) -> bool {
    const OURS: [HeaderName; 6] = [
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::TE,
        header::TRAILER,
        header::UPGRADE,
    ];
    OURS.contains(name) || matches!(name.as_str(), "keep-alive" | "proxy-connection")
}
