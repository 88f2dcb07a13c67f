//! `weir check`: what is wrong with resources, without running anything.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

/// What `weir check` may be told.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Files, or folders with *.yaml, *.yml and *.json files at any depth
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

/// Prints one line per finding; failure if there is any.
pub(crate) fn run(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let findings = weir_control_plane::check::check(&args.paths);
    let mut out = io::stdout().lock();
    for finding in &findings {
        writeln!(out, "{finding}")?;
    }
    Ok(if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
