//! `weir`: both planes of the load balancer in one command. See `weir --help`.

mod admin_url;
mod check;
mod cli;
mod client;
mod crds;
mod demo;
mod explain;
mod ink;
mod planes;
mod plugin;
mod run;
mod status;

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;

/// As in `weir-data-plane`, whose requests are served here, too.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    // Wrong usage ends here, with exit status 2.
    cli::Cli::parse().run().unwrap_or_else(|e| {
        eprintln!("weir: {e:#}");
        ExitCode::FAILURE
    })
}
