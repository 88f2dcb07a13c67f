//! The control planes that a proxy may go to: every address of every URL, in an order of chance, so that proxies
//! spread over replicas.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http::Uri;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use tokio::net::lookup_host;
use tokio::time::timeout;
use tracing::debug;

use crate::resolve::{Answer, Dns, Lookup};

/// Bounds a lookup while no address of the name is known.
const FIRST_LOOKUP: Duration = Duration::from_secs(3);
/// Bounds it once some are: who lost a control plane has no time to wait for DNS.
const NEXT_LOOKUP: Duration = Duration::from_millis(300);

/// Somewhere to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    /// The URL it comes from.
    pub(super) url: Uri,
    /// One of its addresses.
    pub(super) address: SocketAddr,
}

/// Who turns names into addresses.
#[derive(Debug, Clone)]
pub(super) enum Names {
    /// The system, with all it is configured for.
    System,
    /// A DNS server that was named.
    Server(Box<Dns>),
}

/// Where there may be control planes.
#[derive(Debug)]
pub(super) struct Targets {
    targets: Vec<Target>,
    names: Names,
    rng: SmallRng,
}

#[derive(Debug)]
struct Target {
    url: Uri,
    /// What the last successful lookup found.
    known: Vec<SocketAddr>,
}

impl Targets {
    /// All addresses of these URLs; `rng` decides on their order.
    pub(super) fn new(urls: Vec<Uri>, names: Names, rng: SmallRng) -> Self {
        Self { targets: urls.into_iter().map(|url| Target { url, known: Vec::new() }).collect(), names, rng }
    }

    /// Each address once, in a new order; `avoid` comes last.
    pub(super) async fn round(&mut self, avoid: Option<SocketAddr>) -> Vec<Candidate> {
        for target in &mut self.targets {
            target.look_up(&self.names).await;
        }
        let mut all = self.candidates();
        all.shuffle(&mut self.rng);
        all.sort_by_key(|candidate| Some(candidate.address) == avoid);
        all
    }

    /// In the order of the URLs.
    fn candidates(&self) -> Vec<Candidate> {
        let mut all: Vec<Candidate> = Vec::new();
        for Target { url, known } in &self.targets {
            for &address in known {
                if all.iter().all(|other| other.address != address) {
                    all.push(Candidate { url: url.clone(), address });
                }
            }
        }
        all
    }
}

impl Target {
    /// What is known stays while DNS has nothing to say.
    async fn look_up(&mut self, names: &Names) {
        let limit = if self.known.is_empty() { FIRST_LOOKUP } else { NEXT_LOOKUP };
        match timeout(limit, addresses(&self.url, names)).await {
            Ok(Ok(found)) if !found.is_empty() => self.known = found,
            Ok(Ok(_)) => debug!(url = %self.url, "the control plane's name has no address"),
            Ok(Err(error)) => debug!(url = %self.url, error, "the control plane's name cannot be resolved"),
            Err(_) => debug!(url = %self.url, "DNS takes too long"),
        }
    }
}

async fn addresses(url: &Uri, names: &Names) -> Result<Vec<SocketAddr>, String> {
    let host = host(url);
    let port = url.port_u16().unwrap_or_default();
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![(ip, port).into()]);
    }
    match names {
        Names::System => Ok(lookup_host((host, port)).await.map_err(|error| error.to_string())?.collect()),
        Names::Server(dns) => of_answer(dns.lookup(host).await, port),
    }
}

/// A family that failed does not take the other's addresses away.
fn of_answer(Answer { v4, v6 }: Answer, port: u16) -> Result<Vec<SocketAddr>, String> {
    if let (Err(error), Err(_)) = (&v4, &v6) {
        return Err(error.clone());
    }
    let records = [v4, v6].into_iter().flatten();
    Ok(records.flat_map(|records| records.addresses).map(|ip| (ip, port).into()).collect())
}

/// The host of a URL, an IPv6 address without its brackets.
pub(super) fn host(url: &Uri) -> &str {
    url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::SeedableRng;

    use super::*;

    fn targets(urls: &[&str], seed: u64) -> Targets {
        let urls = urls.iter().map(|url| url.parse().unwrap()).collect();
        Targets::new(urls, Names::System, SmallRng::seed_from_u64(seed))
    }

    async fn order(urls: &[&str], seed: u64, avoid: Option<&str>) -> Vec<String> {
        let avoid = avoid.map(|address| address.parse().unwrap());
        targets(urls, seed).round(avoid).await.iter().map(|candidate| candidate.address.to_string()).collect()
    }

    const URLS: [&str; 3] = ["https://10.0.0.1:9800", "https://10.0.0.2:9800", "https://[fd00::3]:9800"];

    #[tokio::test]
    async fn each_address_may_come_first_and_the_one_to_avoid_comes_last() {
        let mut first = BTreeSet::new();
        for seed in 0..50 {
            let order = order(&URLS, seed, None).await;
            assert_eq!(order.len(), 3);
            first.insert(order[0].clone());
            let avoiding = self::order(&URLS, seed, Some("10.0.0.1:9800")).await;
            assert_eq!(avoiding[2], "10.0.0.1:9800");
        }
        assert_eq!(first.len(), 3, "{first:?}");
    }

    #[tokio::test]
    async fn an_address_of_two_urls_comes_once() {
        let twice = ["http://127.0.0.1:9800", "http://127.0.0.1:9800"];
        assert_eq!(order(&twice, 1, None).await, ["127.0.0.1:9800"]);
    }

    #[tokio::test]
    async fn names_are_resolved_and_what_is_known_stays_when_that_fails() {
        let mut targets = targets(&["http://localhost:9800"], 1);
        let found = targets.round(None).await;
        assert!(found.iter().any(|c| c.address.ip().is_loopback() && c.address.port() == 9800), "{found:?}");
        targets.targets[0].url = "http://no.such.name.invalid:9800".parse().unwrap();
        let later = targets.round(None).await;
        assert_eq!(later.len(), found.len());
    }

    #[test]
    fn brackets_are_no_part_of_a_host() {
        assert_eq!(host(&"https://[::1]:9800".parse().unwrap()), "::1");
        assert_eq!(host(&"https://weir.svc:9800".parse().unwrap()), "weir.svc");
    }
}
