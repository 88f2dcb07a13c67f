//! The log: as text or JSON, on standard error, filtered by `WEIR_LOG`.

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::FromEnvError;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// Variable with the filter, in the syntax of `RUST_LOG`.
pub const FILTER_VARIABLE: &str = "WEIR_LOG";

/// The filter when the variable is not set. Of a handshake that looks odd, such as one for an address as its name, the
/// library warns by itself: any client could fill the log.
pub const DEFAULT_FILTER: &str = "info,rustls=error";

/// Form of the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Flags of the log.
#[derive(Debug, Clone, clap::Args)]
pub struct LogArgs {
    /// Form of the log on standard error; the variable WEIR_LOG filters it, as in WEIR_LOG=debug
    #[arg(long, global = true, env = "WEIR_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The variable with the filter cannot be read.
    #[error("{FILTER_VARIABLE}: {0}")]
    Filter(#[from] FromEnvError),
    /// It is set up already.
    #[error(transparent)]
    Twice(#[from] TryInitError),
}

/// Sets up the log of the process.
///
/// # Errors
/// If it is set up already, or the filter is malformed.
pub fn init(format: LogFormat) -> Result<(), Error> {
    init_with(format, DEFAULT_FILTER)
}

/// As [`init`], with the filter to use when the variable is not set.
///
/// # Errors
/// As for [`init`].
pub fn init_with(format: LogFormat, default_filter: &str) -> Result<(), Error> {
    let filter = match std::env::var_os(FILTER_VARIABLE) {
        Some(_) => EnvFilter::try_from_env(FILTER_VARIABLE)?,
        None => EnvFilter::new(default_filter),
    };
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    match format {
        LogFormat::Text => log.finish().try_init()?,
        LogFormat::Json => log.json().finish().try_init()?,
    }
    Ok(())
}
