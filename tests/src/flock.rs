//! Many proxies in one process that serve nothing: each has a connection and a stream of its own, takes every delta,
//! and notes when. They do not look into resources, so that what is measured is the control plane.

use std::net::SocketAddr;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};
use weir_proto::encoded;
use weir_proto::encoded::discovery_client::DiscoveryClient;
use weir_proto::pb::node_message::Body;
use weir_proto::pb::{Answer, NodeMessage, Subscribe};

/// All of them; they leave when it is dropped.
#[derive(Debug)]
pub struct Flock {
    streams: JoinSet<anyhow::Result<()>>,
    taken: mpsc::UnboundedReceiver<Taken>,
    size: usize,
}

/// One of them took a delta.
#[derive(Debug)]
struct Taken {
    number: usize,
    at: Instant,
}

impl Flock {
    /// Opens this many streams; none has taken anything yet.
    #[must_use]
    pub fn connect(address: SocketAddr, size: usize) -> Self {
        let (sender, taken) = mpsc::unbounded_channel();
        let follow = |number| follow(address, number, sender.clone());
        Self { streams: (0..size).map(follow).collect(), taken, size }
    }

    /// Waits until each has taken a delta more; when that was, the first one first.
    ///
    /// # Errors
    /// If a stream ends.
    pub async fn all_take(&mut self) -> anyhow::Result<Vec<Instant>> {
        let mut times = vec![None; self.size];
        let mut missing = self.size;
        while missing > 0 {
            let Taken { number, at } = tokio::select! {
                Some(taken) = self.taken.recv() => taken,
                Some(ended) = self.streams.join_next() => {
                    ended??;
                    anyhow::bail!("the control plane closed a stream");
                }
            };
            missing -= usize::from(times[number].replace(at).is_none());
        }
        let mut times: Vec<Instant> = times.into_iter().flatten().collect();
        times.sort();
        Ok(times)
    }
}

async fn follow(address: SocketAddr, number: usize, taken: mpsc::UnboundedSender<Taken>) -> anyhow::Result<()> {
    let mut stream = Stream::open(address, format!("flock-{number}")).await?;
    while let Some(nonce) = stream.delta().await? {
        let at = Instant::now();
        stream.say(Body::Answer(Answer { nonce, rejected: Vec::new() })).await?;
        taken.send(Taken { number, at })?;
    }
    Ok(())
}

struct Stream {
    to: mpsc::Sender<NodeMessage>,
    from: Streaming<encoded::Delta>,
    /// Open as long as the stream is.
    _client: DiscoveryClient<Channel>,
}

impl Stream {
    async fn open(address: SocketAddr, node_id: String) -> anyhow::Result<Self> {
        let channel = Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true).connect().await?;
        let (to, messages) = mpsc::channel(4);
        let mut client = DiscoveryClient::new(channel);
        let subscribe = Subscribe { node_id, ..Subscribe::default() };
        to.send(NodeMessage { body: Some(Body::Subscribe(subscribe)) }).await?;
        let from = client.stream(ReceiverStream::new(messages)).await?.into_inner();
        Ok(Self { to, from, _client: client })
    }

    async fn say(&self, body: Body) -> anyhow::Result<()> {
        Ok(self.to.send(NodeMessage { body: Some(body) }).await?)
    }

    /// The nonce of the next delta, once all of it is there; `None` at the end of the stream.
    async fn delta(&mut self) -> Result<Option<u64>, Status> {
        while let Some(chunk) = self.from.message().await? {
            if chunk.last {
                return Ok(Some(chunk.nonce));
            }
        }
        Ok(None)
    }
}
