//! Errors as people read them.

use std::error::Error;

/// The error and its causes, as the outermost alone says only "transport error".
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
