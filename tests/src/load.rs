//! Steady load on kept-alive connections: every request is counted, every failure kept.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{Client, Response};

/// How long a test under load lasts: so many seconds, or as many as `WEIR_TEST_SOAK` says.
///
/// # Panics
/// If that is no number.
#[must_use]
pub fn soak(seconds: u64) -> Duration {
    Duration::from_secs(
        std::env::var("WEIR_TEST_SOAK").map_or(seconds, |text| text.parse().expect("a number of seconds")),
    )
}

/// What became of the requests of a [`Load`].
#[derive(Debug, Default)]
pub struct Tally {
    /// Requests answered 200.
    pub answered: u64,
    /// What went wrong with the others.
    pub failures: Vec<String>,
}

impl Tally {
    fn add(mut self, other: Self) -> Self {
        self.answered += other.answered;
        self.failures.extend(other.failures);
        self
    }
}

/// Clients that send one request after the other until told to stop.
#[derive(Debug)]
pub struct Load {
    stop: CancellationToken,
    clients: JoinSet<Tally>,
}

impl Load {
    /// Starts `clients` connections that GET `/load`.
    #[must_use]
    pub fn start(address: SocketAddr, clients: usize) -> Self {
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        (0..clients).for_each(|_| drop(tasks.spawn(client(address, stop.clone()))));
        Self { stop, clients: tasks }
    }

    /// Lets running requests finish and gives the sum.
    pub async fn stop(self) -> Tally {
        self.stop.cancel();
        self.clients.join_all().await.into_iter().fold(Tally::default(), Tally::add)
    }
}

async fn client(address: SocketAddr, stop: CancellationToken) -> Tally {
    let mut tally = Tally::default();
    let mut connection = None;
    while !stop.is_cancelled() {
        match request(&mut connection, address).await {
            Ok(()) => tally.answered += 1,
            Err(e) => {
                tally.failures.push(format!("{e:#}"));
                connection = None;
            }
        }
    }
    tally
}

async fn request(connection: &mut Option<Client>, address: SocketAddr) -> anyhow::Result<()> {
    let client = match connection {
        Some(client) => client,
        None => connection.insert(Client::connect(address).await?),
    };
    let response = client.get("/load").await.context("/load")?;
    if closes(&response) {
        *connection = None;
    }
    ensure!(response.status == 200, "status {}: {}", response.status, response.text());
    Ok(())
}

fn closes(response: &Response) -> bool {
    response.header("connection").eq_ignore_ascii_case("close")
}

/// Sends `count` requests for `path` over `clients` connections at once and gives how often each body came.
///
/// # Errors
/// If a request gets no answer, or one that is not 200.
pub async fn bodies(
    address: SocketAddr,
    path: &'static str,
    count: usize,
    clients: usize,
) -> anyhow::Result<std::collections::BTreeMap<String, usize>> {
    let mut tasks = JoinSet::new();
    for i in 0..clients {
        let share = count / clients + usize::from(i < count % clients);
        tasks.spawn(some_bodies(address, path, share));
    }
    let mut all = std::collections::BTreeMap::new();
    while let Some(bodies) = tasks.join_next().await {
        for body in bodies?? {
            *all.entry(body).or_default() += 1;
        }
    }
    Ok(all)
}

async fn some_bodies(address: SocketAddr, path: &str, count: usize) -> anyhow::Result<Vec<String>> {
    let mut client = Client::connect(address).await?;
    let mut bodies = Vec::with_capacity(count);
    for _ in 0..count {
        let response = client.get(path).await?;
        ensure!(response.status == 200, "status {}: {}", response.status, response.text());
        bodies.push(response.text());
    }
    Ok(bodies)
}
