//! Probes of type GRPC: the health protocol of gRPC, <https://github.com/grpc/grpc/blob/master/doc/health-checking.md>.

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout_at};
use tonic::Code;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tower::service_fn;
use weir_proto::model::GrpcProbe;

use super::ProbeTarget;
use crate::http::failure::Failure;
use crate::upstream::stream::Stream;

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
        let address = target.address.clone();
        let connector = service_fn(move |_| {
            let address = address.clone();
            async move { Stream::connect(&address).await.map(TokioIo::new) }
        });
        let channel = endpoint.connect_with_connector_lazy(connector);
        Self { service: probe.service.clone(), client: HealthClient::new(channel) }
    }

    pub(super) async fn run(&mut self, deadline: Instant) -> Result<(), Failure> {
        let asking = self.client.check(HealthCheckRequest { service: self.service.clone() });
        match timeout_at(deadline, asking).await {
            Err(_) => Err(Failure::Timeout),
            Ok(Ok(answer)) if answer.get_ref().status() == ServingStatus::Serving => Ok(()),
            Ok(Err(status)) if status.code() == Code::Unavailable => Err(Failure::Connect),
            Ok(_) => Err(Failure::BadResponse),
        }
    }
}
