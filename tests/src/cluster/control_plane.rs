//! A control plane in this process.

use std::net::SocketAddr;
use std::path::Path;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use weir_control_plane::app::{self, Error};
use weir_control_plane::config::{Config, SourceConfig};

use crate::within;

/// A control plane that watches a folder; ends when dropped.
#[derive(Debug)]
pub struct ControlPlane {
    grpc: SocketAddr,
    admin: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<Result<(), Error>>,
}

impl ControlPlane {
    /// Starts one with this gRPC address, and a folder of certificates for it if it is to have TLS.
    ///
    /// # Panics
    /// If a folder cannot be read or the address is taken.
    pub async fn start(folder: &Path, grpc: &str, tls: Option<&Path>) -> Self {
        let source = SourceConfig::Folder(folder.to_owned());
        let mut config = Config::new(source, grpc.parse().expect("an address"), ([127, 0, 0, 1], 0).into());
        config.grpc_tls = tls.map(Path::to_owned);
        let bound = app::bind(config).await.expect("a control plane that binds");
        let stop = CancellationToken::new();
        let (grpc, admin) = (bound.grpc, bound.admin);
        Self { grpc, admin, task: tokio::spawn(bound.run(stop.clone())), stop }
    }

    /// Where proxies connect.
    pub fn grpc(&self) -> SocketAddr {
        self.grpc
    }

    /// Its admin address.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Stops it and waits for its end.
    ///
    /// # Panics
    /// If it failed.
    pub async fn stop(mut self) {
        self.stop.cancel();
        let ended = within("the end of a control plane", &mut self.task).await;
        ended.expect("no panic").expect("a control plane that ends well");
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
