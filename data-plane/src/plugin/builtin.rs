//! The plugin types that come with Weir, one a file.

mod least_connections;
mod random;

use std::sync::Arc;

use serde_json::Value;
use weir_proto::model::{BuiltIn, Files, Invalid};

use super::Stage;

/// A stage of this type with this parameter.
///
/// # Errors
/// If the parameter is refused; names the field below it.
pub fn stage(built_in: BuiltIn, param: &Value, files: &Files) -> Result<Arc<dyn Stage>, Invalid> {
    let _ = (param, files);
    Ok(match built_in {
        BuiltIn::Random => Arc::new(random::Random),
        BuiltIn::LeastConnections => Arc::new(least_connections::LeastConnections),
    })
}
