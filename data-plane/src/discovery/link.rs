//! What all streams of this proxy share, whatever they are for.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use weir_proto::age::is_come_of_age;
use weir_proto::pb;
use weir_proto::pb::node_message::Body;

use super::chunks::MixedNonces;
use super::connect::ConnectError;
use super::handle::{ControlHandle, Ended};
use super::holdings::Holdings;
use super::report::{Reader, Reports};
use crate::plugin::wasm::Modules;
use crate::stats::ProcessStats;

/// From the first packet to the head of the answer: after it, another address may do better.
pub(super) const OPEN_WITHIN: Duration = Duration::from_secs(3);

/// The ends of a stream on this side.
#[derive(Debug)]
pub(super) struct Link {
    /// The name of this proxy there.
    pub(super) node_id: String,
    /// Port of its admin server.
    pub(super) admin_port: u16,
    /// Makes ready what comes,
    pub(super) modules: Modules,
    /// and applies it.
    pub(super) control: ControlHandle,
    /// What goes: endpoints,
    pub(super) reports: Reports,
    /// and what is held.
    pub(super) holdings: Holdings,
    /// Figures.
    pub(super) stats: Arc<ProcessStats>,
}

impl Link {
    /// The first message of a stream.
    ///
    /// # Errors
    /// If the control loop has ended.
    pub(super) async fn subscribe(&self) -> Result<pb::Subscribe, Ended> {
        let held = self.control.held().await?;
        let build = env!("CARGO_PKG_VERSION").to_owned();
        Ok(pb::Subscribe { node_id: self.node_id.clone(), build, held, admin_port: self.admin_port.into() })
    }
}

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum StreamError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("no answer within {OPEN_WITHIN:?}")]
    Silent,
    #[error("the control plane answered {:?}: {}", .0.code(), .0.message())]
    Status(#[from] tonic::Status),
    #[error("the control plane closed the stream")]
    Closed,
    #[error("the control plane is too slow to be told of each change")]
    Behind,
    #[error(transparent)]
    Order(#[from] MixedNonces),
    #[error(transparent)]
    Ended(#[from] Ended),
}

impl StreamError {
    /// Whether another stream of the same node id took the place of this one. If that is another proxy's, coming
    /// back at once would only end it in turn.
    pub(super) fn is_takeover(&self) -> bool {
        matches!(self, Self::Status(status) if status.code() == tonic::Code::Aborted)
    }

    pub(super) fn is_age(&self) -> bool {
        matches!(self, Self::Status(status) if is_come_of_age(status))
    }
}

/// Where messages to a control plane go.
pub(super) type ToControlPlane = mpsc::Sender<pb::NodeMessage>;

/// Sends what is to be reported. A report is taken only when there is room for it, so that nothing is lost if this
/// future is dropped.
///
/// # Errors
/// If the stream has ended.
pub(super) async fn report(reader: &Reader, sender: &ToControlPlane) -> Result<(), StreamError> {
    reader.changed().await;
    let room = sender.reserve().await.map_err(|_| StreamError::Closed)?;
    room.send(message(Body::Report(reader.take())));
    Ok(())
}

fn message(body: Body) -> pb::NodeMessage {
    pb::NodeMessage { body: Some(body) }
}

pub(super) async fn send(sender: &ToControlPlane, body: Body) -> Result<(), StreamError> {
    sender.send(message(body)).await.map_err(|_| StreamError::Closed)
}
