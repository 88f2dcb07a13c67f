//! Mutual TLS towards proxies: who may connect, and what each of them may read.
//!
//! [`incoming`] shakes hands, [`identity`] reads a proxy's certificate, [`refusal`] says who was turned away, and
//! [`admit`] hands what is known of a proxy to its session.

pub mod identity;
pub mod incoming;
pub mod refusal;

use std::sync::Arc;

use tonic::transport::server::TcpConnectInfo;
use tonic::{Request, Status};

pub use incoming::{Connection, Peer};
pub use refusal::{Refusal, Refusals};

/// Puts a proxy's [`Scope`](crate::scope::Scope) and address into its request, or turns it away. Without TLS there is
/// nothing to know.
///
/// # Errors
/// Permission denied, with what the certificate lacks.
pub fn admit(mut request: Request<()>, refusals: &Refusals) -> Result<Request<()>, Status> {
    let Some(peer) = request.extensions().get::<Arc<Peer>>().cloned() else { return Ok(request) };
    let scope = peer.scope.as_ref().map_err(|refusal| {
        refusals.note(peer.address, refusal);
        Status::permission_denied(refusal.to_string())
    })?;
    let address = TcpConnectInfo { local_addr: None, remote_addr: Some(peer.address) };
    request.extensions_mut().insert(scope.clone());
    request.extensions_mut().insert(address);
    Ok(request)
}
