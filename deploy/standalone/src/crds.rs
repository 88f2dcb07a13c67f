//! `weir crds`: the CustomResourceDefinitions, generated from the Rust types.

use std::io::{self, Write};
use std::process::ExitCode;

/// Prints them.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    io::stdout().write_all(weir_control_plane::api::crds_yaml().as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
