//! One probe of one endpoint (H2).

mod fastcgi;
mod grpc;
mod http;
mod sender;

use std::io;
use std::sync::Arc;

use ::http::HeaderValue;
use tokio::time::{Instant, timeout_at};
use weir_proto::model::{ActiveHealth, Address, EndpointAddress, Probe, Protocol, ResourceName};

use self::fastcgi::FastCgiProber;
use self::grpc::GrpcProber;
use self::http::HttpProber;
use crate::http::failure::Failure;
use crate::pool::Origin;
use crate::upstream::ConnectError;
use crate::upstream::tls::{Spoken, Terms};
use crate::upstream::transport::Transport;

/// Value of `user-agent`, if the settings have no other.
const AGENT: HeaderValue = HeaderValue::from_static("weir-health-check");

/// What is probed, and how: equal targets need one prober (H4).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ProbeTarget {
    /// Where it listens.
    pub address: EndpointAddress,
    /// What it is asked for, if the settings name no host.
    pub host: HeaderValue,
    /// What TLS with it goes by, if it speaks that.
    pub tls: Option<Arc<Terms>>,
    /// Whether it speaks HTTP/2.
    pub http2: bool,
    /// The settings.
    pub active: Arc<ActiveHealth>,
}

impl ProbeTarget {
    /// An endpoint of this origin.
    #[must_use]
    pub fn new(origin: &Origin, address: &EndpointAddress, active: &Arc<ActiveHealth>) -> Self {
        let host = match (&origin.backend.address, address) {
            (Address::Name(name, port), _) => format!("{name}:{port}"),
            (_, EndpointAddress::Ip(address)) => address.to_string(),
            (_, EndpointAddress::Unix(_)) => "localhost".to_owned(),
        };
        let host = HeaderValue::try_from(host).unwrap_or_else(|_| HeaderValue::from_static("localhost"));
        let http2 = origin.backend.protocol == Protocol::Http2;
        Self { address: address.clone(), host, tls: origin.tls.clone(), http2, active: active.clone() }
    }
}

/// Probes one target again and again.
#[derive(Debug)]
pub(super) enum Prober {
    Http(HttpProber),
    Tcp,
    Grpc(GrpcProber),
    FastCgi(FastCgiProber),
}

impl Prober {
    /// `backend` is whose log lines it causes.
    pub(super) fn new(target: &ProbeTarget, backend: &ResourceName) -> Self {
        match &target.active.probe {
            Probe::Http(probe) => Self::Http(HttpProber::new(target, probe)),
            Probe::Tcp => Self::Tcp,
            Probe::Grpc(probe) => Self::Grpc(GrpcProber::new(target, probe)),
            Probe::FastCgi(probe) => Self::FastCgi(FastCgiProber::new(target, probe, backend)),
        }
    }

    /// One probe, which ends at the deadline.
    ///
    /// # Errors
    /// If it does not pass.
    pub(super) async fn run(&mut self, target: &ProbeTarget, deadline: Instant) -> Result<(), Failure> {
        match self {
            Self::Http(prober) => prober.run(target, deadline).await,
            Self::Tcp => connect(target, Spoken::Bytes, deadline).await.map(drop),
            Self::Grpc(prober) => prober.run(deadline).await,
            Self::FastCgi(prober) => prober.run(target, deadline).await,
        }
    }
}

/// A new connection.
async fn connect(target: &ProbeTarget, spoken: Spoken, deadline: Instant) -> Result<Transport, Failure> {
    in_time(deadline, Transport::connect(&target.address, target.tls.as_deref(), spoken)).await
}

async fn in_time<T>(deadline: Instant, connecting: impl Future<Output = io::Result<T>>) -> Result<T, Failure> {
    match timeout_at(deadline, connecting).await {
        Ok(connected) => connected.map_err(|error| ConnectError::from(error).into()),
        Err(_) => Err(Failure::ConnectTimeout),
    }
}
