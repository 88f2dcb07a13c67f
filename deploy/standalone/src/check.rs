//! `weir check`: what is wrong with resources, and what is most likely a mistake, without running anything.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use weir_control_plane::check::{self, Report};
use weir_control_plane::lint::{IGNORE, Lint};

/// What `weir check` may be told.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Files, or folders with *.yaml, *.yml and *.json files at any depth
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Fail if there are warnings, too
    #[arg(long, env = "WEIR_CHECK_STRICT")]
    strict: bool,
    /// A line per finding, or one object of JSON
    #[arg(long, value_name = "FORMAT", env = "WEIR_CHECK_OUTPUT", default_value = "text")]
    output: Output,
}

/// How findings are told.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// Examples, and all lints.
pub(crate) fn help() -> String {
    let widest = Lint::ALL.iter().map(|lint| lint.id.len()).max().unwrap_or_default();
    let lints = Lint::ALL.iter().map(|lint| format!("\n  {:widest$}  {}", lint.id, lint.about));
    format!(
        "\
Examples:
  weir check manifests/ extra.yaml     exit status 1 and one line per error:
                                       file:line: Kind namespace/name: field: what is wrong
  weir check --strict manifests/       exit status 1 for warnings, too
  weir check --output json manifests/  for other programs

Warnings (the annotation {IGNORE}: NAME,NAME of a resource silences them there):{}",
        lints.collect::<String>()
    )
}

/// Tells each finding, and how many there are; failure if there is an error, or a warning where that is strict.
pub(crate) fn run(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let report = check::check(&args.paths);
    let mut out = io::stdout().lock();
    match args.output {
        Output::Text => write_lines(&report, &mut out)?,
        Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?,
    }
    let (errors, warnings) = (report.errors.len(), report.warnings.len());
    if errors + warnings > 0 {
        eprintln!("{}, {}", count(errors, "error"), count(warnings, "warning"));
    }
    let failed = errors > 0 || (args.strict && warnings > 0);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn write_lines(report: &Report, out: &mut impl Write) -> io::Result<()> {
    report.errors.iter().try_for_each(|error| writeln!(out, "{error}"))?;
    report.warnings.iter().try_for_each(|warning| writeln!(out, "{warning}"))
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
