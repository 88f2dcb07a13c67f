//! How every stream of a proxy begins.

use std::time::Duration;

use tokio_stream::{Stream, StreamExt};
use tonic::Status;
use weir_proto::pb;
use weir_proto::pb::node_message::Body;

/// A stream that says nothing is no proxy.
const SUBSCRIBE_WITHIN: Duration = Duration::from_secs(10);

/// What a proxy says: tonic's stream, or a channel in tests.
pub(super) trait FromNode: Stream<Item = Result<pb::NodeMessage, Status>> + Unpin {}

impl<S: Stream<Item = Result<pb::NodeMessage, Status>> + Unpin> FromNode for S {}

/// The first message.
///
/// # Errors
/// If it does not come in time, or is another one.
pub(super) async fn subscribe(from_node: &mut impl FromNode) -> Result<pb::Subscribe, Status> {
    let first = tokio::time::timeout(SUBSCRIBE_WITHIN, from_node.try_next()).await;
    match first.map_err(|_| Status::invalid_argument("no Subscribe came"))?? {
        Some(pb::NodeMessage { body: Some(Body::Subscribe(subscribe)) }) if !subscribe.node_id.is_empty() => {
            Ok(subscribe)
        }
        _ => Err(Status::invalid_argument("the first message must be a Subscribe with a node_id")),
    }
}
