//! Probes of type GRPC: the health protocol of gRPC, <https://github.com/grpc/grpc/blob/master/doc/health-checking.md>.

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout_at};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tower::service_fn;
use weir_proto::model::GrpcProbe;

use super::ProbeTarget;
use crate::http::failure::Failure;
use crate::upstream::tls::{Fault, Spoken};
use crate::upstream::transport::Transport;

/// One connection, made again when it breaks.
#[derive(Debug)]
pub(in crate::health) struct GrpcProber {
    service: String,
    client: HealthClient<Channel>,
}

impl GrpcProber {
    pub(super) fn new(target: &ProbeTarget, probe: &GrpcProbe) -> Self {
        let host = probe.host.as_ref().unwrap_or(&target.host);
        let uri = Uri::builder().scheme("http").authority(host.as_bytes()).path_and_query("/").build();
        let endpoint = Endpoint::from(uri.unwrap_or_default());
        let (address, tls) = (target.address.clone(), target.tls.clone());
        let connector = service_fn(move |_| {
            let (address, tls) = (address.clone(), tls.clone());
            async move { Transport::connect(&address, tls.as_deref(), Spoken::Http2).await.map(TokioIo::new) }
        });
        let channel = endpoint.connect_with_connector_lazy(connector);
        Self { service: probe.service.clone(), client: HealthClient::new(channel) }
    }

    pub(super) async fn run(&mut self, deadline: Instant) -> Result<(), Failure> {
        let asking = self.client.check(HealthCheckRequest { service: self.service.clone() });
        match timeout_at(deadline, asking).await {
            Err(_) => Err(Failure::Timeout),
            Ok(Ok(answer)) if answer.get_ref().status() == ServingStatus::Serving => Ok(()),
            Ok(Err(status)) => Err(failure(&status)),
            Ok(Ok(_)) => Err(Failure::BadResponse),
        }
    }
}

fn failure(status: &Status) -> Failure {
    match Fault::behind(status) {
        Some(fault) => Failure::Tls { fault, nothing_sent: true },
        None if status.code() == Code::Unavailable => Failure::Connect,
        None => Failure::BadResponse,
    }
}
