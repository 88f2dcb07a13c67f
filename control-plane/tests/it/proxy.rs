//! A proxy by hand: sees every message, answers when told to.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;
use tonic::{Status, Streaming};
use weir_proto::model::Key;
use weir_proto::pb;
use weir_proto::pb::discovery_client::DiscoveryClient;
use weir_proto::pb::node_message::Body;

/// Long enough for a busy machine; only a failure takes it.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// Nothing that is due takes so long.
pub(crate) const NEVER: Duration = Duration::from_millis(200);

pub(crate) struct Proxy {
    to: mpsc::Sender<pb::NodeMessage>,
    from: Streaming<pb::Delta>,
    /// What it holds, by key.
    pub(crate) held: BTreeMap<Key, Vec<u8>>,
    /// Chunks of the last delta.
    pub(crate) chunks: Vec<pb::Delta>,
}

/// The resources of a delta.
#[derive(Debug, PartialEq)]
pub(crate) struct Got {
    pub(crate) nonce: u64,
    pub(crate) upserts: Vec<String>,
    pub(crate) removed: Vec<String>,
}

impl Proxy {
    /// Opens a stream without a word.
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
        let (to, messages) = mpsc::channel(64);
        let mut client = DiscoveryClient::new(channel).max_decoding_message_size(1 << 20);
        let from = client.stream(ReceiverStream::new(messages)).await.unwrap().into_inner();
        Self { to, from, held: BTreeMap::new(), chunks: Vec::new() }
    }

    /// Opens a stream and subscribes, holding what an earlier proxy held.
    pub(crate) async fn resume(address: SocketAddr, id: &str, held: BTreeMap<Key, Vec<u8>>) -> Self {
        let mut proxy = Self::open(address).await;
        proxy.held = held;
        let held = proxy.held.iter().map(|(key, version)| pb::Held { key: Some(key.into()), version: version.clone() });
        let held = held.collect();
        proxy
            .say(Body::Subscribe(pb::Subscribe { node_id: id.into(), build: "test".into(), held, admin_port: 0 }))
            .await;
        proxy
    }

    pub(crate) async fn subscribe(address: SocketAddr, id: &str) -> Self {
        Self::resume(address, id, BTreeMap::new()).await
    }

    pub(crate) async fn say(&self, body: Body) {
        self.to.send(pb::NodeMessage { body: Some(body) }).await.unwrap();
    }

    /// The next delta, all its chunks, applied to what is held.
    pub(crate) async fn delta(&mut self) -> Got {
        self.chunks.clear();
        loop {
            let chunk = tokio::time::timeout(SOON, self.from.message()).await.unwrap().unwrap().unwrap();
            self.chunks.push(chunk);
            if self.chunks.last().unwrap().last {
                return self.apply();
            }
        }
    }

    fn apply(&mut self) -> Got {
        let mut got = Got { nonce: self.chunks[0].nonce, upserts: Vec::new(), removed: Vec::new() };
        for chunk in &self.chunks {
            for resource in &chunk.upserts {
                let key = Key::try_from(resource.key.clone().unwrap()).unwrap();
                got.upserts.push(key.to_string());
                self.held.insert(key, resource.version.clone());
            }
            for key in &chunk.removed {
                let key = Key::try_from(key.clone()).unwrap();
                got.removed.push(key.to_string());
                assert!(self.held.remove(&key).is_some(), "{key} was not held");
            }
        }
        got
    }

    pub(crate) async fn ack(&self, nonce: u64) {
        self.say(Body::Answer(pb::Answer { nonce, rejected: Vec::new() })).await;
    }

    /// Takes the next delta and acknowledges it.
    pub(crate) async fn accept(&mut self) -> Got {
        let got = self.delta().await;
        self.ack(got.nonce).await;
        got
    }

    /// Refuses one resource of a delta, going back to the version held before.
    pub(crate) async fn nack(&mut self, nonce: u64, key: &Key, before: Option<Vec<u8>>) {
        let version = self.held.remove(key).unwrap();
        if let Some(before) = before {
            self.held.insert(key.clone(), before);
        }
        let rejection = pb::Rejection { key: Some(key.into()), version, reason: "spec.weight: too odd".into() };
        self.say(Body::Answer(pb::Answer { nonce, rejected: vec![rejection] })).await;
    }

    /// The error that ends the stream.
    pub(crate) async fn end(&mut self) -> Status {
        loop {
            match tokio::time::timeout(SOON, self.from.message()).await.expect("the stream goes on") {
                Ok(Some(_)) => {}
                Ok(None) => return Status::ok("ended"),
                Err(status) => return status,
            }
        }
    }

    /// Nothing comes.
    pub(crate) async fn hears_nothing(&mut self) {
        let message = tokio::time::timeout(NEVER, self.from.message()).await;
        assert!(message.is_err(), "{message:?}");
    }
}
