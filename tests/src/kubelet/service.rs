//! An address of a Service, outside of the cluster, as kube-proxy or a cloud's load balancer would give it.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::endpoints::Endpoints;
use crate::eventually;

/// Takes connections, and passes each to one pod in turn for as long as it lasts; ends when dropped.
#[derive(Debug)]
pub struct Service {
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Service {
    /// Waits until it has an endpoint, and starts.
    pub(super) async fn start(endpoints: Arc<Endpoints>, name: &str, port: &str) -> Self {
        eventually(&format!("the Service {name} has an endpoint"), async || {
            (!endpoints.addresses(name, port).is_empty()).then_some(())
        })
        .await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener");
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, endpoints, name.to_owned(), port.to_owned()));
        Self { address, _tasks: tasks }
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn accept(listener: TcpListener, endpoints: Arc<Endpoints>, name: String, port: String) {
    let mut connections = JoinSet::new();
    let mut turn = 0_usize;
    while let Ok((client, _)) = listener.accept().await {
        let addresses = endpoints.addresses(&name, &port);
        turn += 1;
        // Without endpoints the client is closed, as a refused connection would be.
        if let Some(address) = addresses.get(turn % addresses.len().max(1)) {
            connections.spawn(pass(client, *address));
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn pass(mut client: TcpStream, address: SocketAddr) {
    let Ok(mut server) = TcpStream::connect(address).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    // How a connection ends is for its two sides to judge.
    let _ = copy_bidirectional(&mut client, &mut server).await;
}
