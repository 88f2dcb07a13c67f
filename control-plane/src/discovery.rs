//! The discovery service: opens a session for each proxy that connects, and listens to those that another replica
//! serves. The rules of order are in `proto/weir/v1/discovery.proto`.

mod arrivals;
mod chunk;
mod inform;
mod ledger;
mod nodes;
mod progress;
mod session;
mod subscribe;

use std::sync::Arc;

pub use arrivals::Arrivals;
pub(crate) use nodes::News;
pub use nodes::{Nodes, Peer};
pub use progress::Progress;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};
use weir_proto::encoded::discovery_server::{Discovery, DiscoveryServer};
use weir_proto::{encoded, pb};

use crate::metrics::Metrics;
use crate::scope::Scope;
use crate::snapshot::Snapshot;

/// Chunks on their way to one proxy; a slow reader holds up its own session only.
const IN_FLIGHT: usize = 4;

/// Largest message from a proxy: its list of held versions, some 60 bytes a resource.
const MAX_MESSAGE: usize = 64 << 20;

/// The service.
#[derive(Debug, Clone)]
pub struct Service {
    context: Context,
    sessions: TaskTracker,
}

/// What sessions share.
#[derive(Debug, Clone)]
pub struct Context {
    /// What proxies should have; `None` before the first snapshot.
    pub snapshot: watch::Receiver<Option<Arc<Snapshot>>>,
    /// Who is connected.
    pub nodes: Arc<Nodes>,
    /// Who is being taken in.
    pub arrivals: Arrivals,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Ends all sessions.
    pub stop: CancellationToken,
}

impl Service {
    /// A service; its sessions run on `sessions`.
    #[must_use]
    pub fn new(context: Context, sessions: TaskTracker) -> Self {
        Self { context, sessions }
    }

    /// The service as tonic serves it.
    #[must_use]
    pub fn into_server(self) -> DiscoveryServer<Self> {
        DiscoveryServer::new(self).max_decoding_message_size(MAX_MESSAGE)
    }
}

#[tonic::async_trait]
impl Discovery for Service {
    type StreamStream = ReceiverStream<Result<encoded::Delta, Status>>;

    async fn stream(
        &self,
        request: Request<Streaming<pb::NodeMessage>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        let (to_node, deltas) = mpsc::channel(IN_FLIGHT);
        let (peer, context) = (peer(&request), self.context.clone());
        self.sessions.spawn(async move {
            if let Err(status) = session::run(context, peer, request.into_inner(), &to_node).await {
                tracing::debug!(%status, "session ended");
                // A node that is gone already needs no farewell.
                let _ = to_node.send(Err(status)).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(deltas)))
    }

    async fn inform(&self, request: Request<Streaming<pb::NodeMessage>>) -> Result<Response<pb::Informed>, Status> {
        let peer = peer(&request);
        let listening = inform::run(self.context.clone(), peer, request.into_inner());
        // The task's, so that a stop waits for it as for a session.
        let ended = self.sessions.spawn(listening).await;
        ended.map_err(|_| Status::internal("the stream's task failed"))??;
        Ok(Response::new(pb::Informed {}))
    }
}

/// Who has opened a stream, and what it may read.
fn peer<T>(request: &Request<T>) -> Peer {
    let scope = request.extensions().get::<Scope>().cloned().unwrap_or_default();
    Peer { address: request.remote_addr(), scope: Arc::new(scope), admin: None }
}
