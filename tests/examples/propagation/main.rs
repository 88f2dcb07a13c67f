//! How long a change takes from the API server to the first request that sees it. Part `propagation` of
//! `tests/bench/run`, which has started the cluster, the control plane and the proxy.
//!
//! propagation PROXY CHANGES OTHERS RATE: changes one route CHANGES times while nothing else happens, then CHANGES
//! times while OTHERS other Pools change, RATE of them a second. Prints the figures of each as a line of JSON.

mod churn;
mod route;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use serde_json::json;
use weir_tests::figures::figures;
use weir_tests::{Backend, Kube};

use churn::Churn;
use route::{Change, Route};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { proxy, changes, others, rate } = Arguments::parse()?;
    let kube = Kube::shared().await;
    let namespace = kube.namespace().await;
    let server = Backend::start("web-1").await;
    let mut route = Route::prepare(&kube, &namespace, proxy, server.address()).await?;
    report("idle", &measure(&mut route, changes).await?, 0.0);
    let churn = Churn::start(&kube, &namespace, proxy, others, rate).await?;
    let measured = measure(&mut route, changes).await?;
    report("churning", &measured, churn.stop().await?);
    Ok(())
}

struct Arguments {
    proxy: SocketAddr,
    changes: usize,
    others: usize,
    rate: u32,
}

impl Arguments {
    fn parse() -> anyhow::Result<Self> {
        let given: Vec<String> = std::env::args().skip(1).collect();
        let [proxy, changes, others, rate] = given.as_slice() else {
            anyhow::bail!("usage: propagation PROXY CHANGES OTHERS RATE");
        };
        Ok(Self {
            proxy: proxy.parse().context("PROXY")?,
            changes: changes.parse().context("CHANGES")?,
            others: others.parse().context("OTHERS")?,
            rate: rate.parse().context("RATE")?,
        })
    }
}

async fn measure(route: &mut Route, changes: usize) -> anyhow::Result<Vec<Change>> {
    let mut measured = Vec::new();
    for _ in 0..changes {
        measured.push(route.change().await?);
    }
    Ok(measured)
}

/// `rate`: how many other Pools changed a second.
fn report(when: &str, changes: &[Change], rate: f64) {
    let of = |time: fn(&Change) -> Duration| figures(changes.iter().map(time).collect());
    println!("{}", json!({"when": when, "rate": rate, "written": of(Change::written), "live": of(Change::live)}));
}
