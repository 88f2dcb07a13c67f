//! What changes while a proxy serves: nobody who is served over HTTP/2 and TLS notices.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use weir_tests::edge::{Edge, HOST, Site};
use weir_tests::talk::pb::Line;
use weir_tests::talk::{Speaker, secure_client};
use weir_tests::websocket::{Socket, WebSocketServer, exchange, leave, open, open_http2};
use weir_tests::{Backend, Client, TlsClient, within};

const CHANGES: u64 = 100;
const ROTATIONS: u64 = 5;
/// Between two messages on what stays open: there are many of them, and the machine is small.
const PAUSE: Duration = Duration::from_millis(10);

/// Servers of every kind.
struct Servers {
    plain: Backend,
    sockets: WebSocketServer,
    speaker: Speaker,
}

impl Servers {
    async fn start() -> Self {
        Self {
            plain: Backend::start("plain").await,
            sockets: WebSocketServer::start().await,
            speaker: Speaker::start().await,
        }
    }

    /// Their Pools, all of which this changes.
    fn sites<'a>(&self, spec: &'a str) -> [Site<'a>; 3] {
        [
            Site::new("/plain", self.plain.address()).with(spec),
            Site::new("/socket", self.sockets.address()).with(spec),
            Site::http2("/weir.test.Talk", self.speaker.address()).with(spec),
        ]
    }
}

/// Who comes to the proxy.
#[derive(Debug, Clone)]
struct Visitor {
    tls: TlsClient,
    address: SocketAddr,
    stop: CancellationToken,
}

impl Visitor {
    async fn http2(&self) -> anyhow::Result<Client> {
        self.tls.offering(&["h2"]).connect(self.address, HOST).await?.http2(HOST).await
    }

    /// Requests one after the other on a connection that is there; gives how many.
    async fn asks(self, mut client: Client) -> anyhow::Result<u64> {
        let mut count = 0;
        while !self.stop.is_cancelled() {
            let response = client.get("/plain").await?;
            ensure!(response.status == 200, "status {}: {}", response.status, response.text());
            count += 1;
        }
        Ok(count)
    }

    /// A connection for each request.
    async fn comes_again(self) -> anyhow::Result<u64> {
        let mut count = 0;
        while !self.stop.is_cancelled() {
            let response = self.http2().await?.get("/plain").await?;
            ensure!(response.status == 200, "status {}: {}", response.status, response.text());
            count += 1;
        }
        Ok(count)
    }

    async fn socket(&self) -> anyhow::Result<Socket> {
        open(self.tls.offering(&["http/1.1"]).connect(self.address, HOST).await?.into_stream(), "/socket").await
    }

    async fn socket_http2(&self) -> anyhow::Result<Socket> {
        let mut client = self.http2().await?;
        client.get("/plain").await?;
        open_http2(&mut client, "/socket").await
    }

    /// Messages on a WebSocket, which then closes.
    async fn chats(self, mut socket: Socket) -> anyhow::Result<u64> {
        let mut count = 0;
        while !self.stop.is_cancelled() {
            let text = format!("message {count}");
            ensure!(exchange(&mut socket, text.clone()).await? == text.into());
            count += 1;
            sleep(PAUSE).await;
        }
        leave(socket).await?;
        Ok(count)
    }

    /// Messages on a stream of gRPC, which then ends.
    async fn talks(self) -> anyhow::Result<u64> {
        let (says, lines) = mpsc::channel(1);
        let mut client = secure_client(self.tls.clone(), self.address, HOST).await;
        let mut hears = client.chat(ReceiverStream::new(lines)).await?.into_inner();
        let mut count = 0;
        while !self.stop.is_cancelled() {
            says.send(Line { text: count.to_string() }).await?;
            let heard = within("a line", hears.message()).await?.context("the end")?;
            ensure!(heard.text == count.to_string());
            count += 1;
            sleep(PAUSE).await;
        }
        drop(says);
        ensure!(within("the end", hears.message()).await?.is_none());
        Ok(count)
    }
}

/// All that visitors do, until they are told to stop.
struct Crowd {
    stop: CancellationToken,
    tasks: JoinSet<(&'static str, anyhow::Result<u64>)>,
}

impl Crowd {
    async fn start(edge: &Edge) -> anyhow::Result<Self> {
        let stop = CancellationToken::new();
        let visitor = Visitor { tls: edge.client(), address: edge.weir.https_address(), stop: stop.clone() };
        let mut crowd = Self { stop, tasks: JoinSet::new() };
        for _ in 0..2 {
            let client = visitor.http2().await?;
            (0..4).for_each(|_| crowd.send("requests", visitor.clone().asks(client.beside())));
            crowd.send("connections", visitor.clone().comes_again());
            crowd.send("WebSocket", visitor.clone().chats(visitor.socket().await?));
            crowd.send("WebSocket over HTTP/2", visitor.clone().chats(visitor.socket_http2().await?));
            crowd.send("gRPC", visitor.clone().talks());
        }
        Ok(crowd)
    }

    fn send(&mut self, name: &'static str, what: impl Future<Output = anyhow::Result<u64>> + Send + 'static) {
        self.tasks.spawn(async move { (name, what.await) });
    }

    /// All did well, and did something.
    async fn went_well(self) {
        self.stop.cancel();
        for (name, result) in self.tasks.join_all().await {
            assert!(result.as_ref().is_ok_and(|count| *count > 0), "{name}: {result:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s5_new_certificates_each_second_and_a_hundred_changes_break_nothing() {
    let servers = Servers::start().await;
    let edge = Edge::start(&servers.sites("")).await;
    let crowd = Crowd::start(&edge).await.unwrap();
    let mut seconds = interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut changes, mut rotations) = (0, 0);
    while changes < CHANGES || rotations < ROTATIONS {
        tokio::select! {
            biased;
            _ = seconds.tick() => {
                let pair = edge.rotate().await;
                let shown = edge.client().connect(edge.weir.https_address(), HOST).await.unwrap();
                assert!(shown.was_shown(&pair), "a new connection has the new certificate");
                rotations += 1;
            }
            () = std::future::ready(()) => {
                // One that is read again, and changes every Pool.
                edge.change(&servers.sites(&format!("timeouts: {{connect: {}s}}", 10 + changes % 50))).await;
                changes += 1;
            }
        }
    }
    crowd.went_well().await;
    assert_eq!(servers.sockets.broken(), 0);
}
