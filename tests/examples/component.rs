//! Turns the text of a component into its bytes: `component IN.wat OUT.wasm`. For tests/bench/run.

use std::path::PathBuf;

use anyhow::Context;

fn main() -> anyhow::Result<()> {
    let mut paths = std::env::args_os().skip(1).map(PathBuf::from);
    let (text, bytes) = paths.next().zip(paths.next()).context("component IN.wat OUT.wasm")?;
    std::fs::write(bytes, wat::parse_file(text)?)?;
    Ok(())
}
