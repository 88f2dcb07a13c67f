//! How long a change takes to reach a thousand proxies. Part `control` of `tests/bench/run`, which has started the
//! control plane and looks at its memory and CPU meanwhile.
//!
//! flock ADDRESS FILE PROXIES CHANGES: connects, says so, waits for a line; then writes FILE anew CHANGES times, each
//! time waiting until every proxy has the change, and prints the figures. Both lines it prints are JSON.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::json;
use tokio::time::Instant;
use weir_tests::Flock;
use weir_tests::figures::figures;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { address, file, proxies, changes } = Arguments::parse()?;
    let start = Instant::now();
    let mut flock = Flock::connect(address, proxies);
    flock.all_take().await?;
    println!("{}", json!({"connected": start.elapsed().as_secs_f64()}));
    std::io::stdin().read_line(&mut String::new())?;
    let (mut each, mut last) = (Vec::new(), Vec::new());
    for number in 1..=changes {
        let start = Instant::now();
        change(&file, number)?;
        let times = flock.all_take().await?.into_iter().map(|at| at - start);
        each.extend(times);
        last.extend(each.last());
    }
    println!("{}", json!({"each": figures(each), "last": figures(last)}));
    Ok(())
}

struct Arguments {
    address: SocketAddr,
    file: PathBuf,
    proxies: usize,
    changes: u32,
}

impl Arguments {
    fn parse() -> anyhow::Result<Self> {
        let given: Vec<String> = std::env::args().skip(1).collect();
        let [address, file, proxies, changes] = given.as_slice() else {
            anyhow::bail!("usage: flock ADDRESS FILE PROXIES CHANGES");
        };
        Ok(Self {
            address: address.parse().context("ADDRESS")?,
            file: file.into(),
            proxies: proxies.parse().context("PROXIES")?,
            changes: changes.parse().context("CHANGES")?,
        })
    }
}

/// Puts another Pool into the file, at once: a file that is half written is no change yet.
fn change(file: &Path, number: u32) -> anyhow::Result<()> {
    let new = file.with_extension("new");
    let retries = number % 100;
    let head = "apiVersion: weir.dev/v1alpha1\nkind: Pool\nmetadata: {name: changing, namespace: bench}\n";
    fs::write(&new, format!("{head}spec: {{retry: {{attempts: {retries}}}}}\n"))?;
    Ok(fs::rename(new, file)?)
}
