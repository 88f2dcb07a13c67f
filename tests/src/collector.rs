//! A collector of OpenTelemetry: a real gRPC server that keeps the spans that it is sent.

use std::net::SocketAddr;
use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use crate::eventually;

/// What it was sent.
#[derive(Debug, Default)]
struct Taken {
    spans: Vec<Span>,
    resources: Vec<Vec<KeyValue>>,
}

/// A collector that listens until it is dropped.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    taken: Arc<Mutex<Taken>>,
    _serving: AbortOnDropHandle<()>,
}

/// Its answers.
struct Service {
    taken: Arc<Mutex<Taken>>,
    /// Spans of each batch that it says it refuses.
    refuses: i64,
}

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut taken = self.taken.lock();
        for sent in request.into_inner().resource_spans {
            taken.resources.push(sent.resource.unwrap_or_default().attributes);
            taken.spans.extend(sent.scope_spans.into_iter().flat_map(|scope| scope.spans));
        }
        let error_message = String::new();
        let partial = ExportTracePartialSuccess { rejected_spans: self.refuses, error_message };
        Ok(Response::new(ExportTraceServiceResponse { partial_success: Some(partial) }))
    }
}

impl Collector {
    /// Starts one.
    ///
    /// # Panics
    /// If it cannot listen.
    pub async fn start() -> Self {
        Self::start_on(([127, 0, 0, 1], 0).into(), 0).await
    }

    /// The same at this address, which says of so many spans of each batch that it refuses them.
    ///
    /// # Panics
    /// If it cannot listen.
    pub async fn start_on(address: SocketAddr, refuses: i64) -> Self {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let taken = Arc::<Mutex<Taken>>::default();
        let service = TraceServiceServer::new(Service { taken: taken.clone(), refuses });
        let serving = Server::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(listener));
        let serving = tokio::spawn(async move { serving.await.expect("a server that runs") });
        Self { address, taken, _serving: AbortOnDropHandle::new(serving) }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// All spans so far.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        self.taken.lock().spans.clone()
    }

    /// What was said of who sends them, by batch.
    #[must_use]
    pub fn resources(&self) -> Vec<Vec<KeyValue>> {
        self.taken.lock().resources.clone()
    }

    /// The spans of the requests for this path, once there are so many requests: first that of the request, then the
    /// others by the time at which they began.
    pub async fn requests(&self, path: &str, count: usize) -> Vec<Vec<Span>> {
        let of_path = |span: &Span| attribute(span, "url.path").as_deref() == Some(path);
        eventually(&format!("{count} requests for {path}"), async || {
            let all = self.spans();
            let servers: Vec<&Span> = all.iter().filter(|span| of_path(span)).collect();
            (servers.len() >= count).then(|| servers.into_iter().map(|server| with_others(server, &all)).collect())
        })
        .await
    }
}

/// A span, and those that have it as their parent, or one of these.
fn with_others(server: &Span, all: &[Span]) -> Vec<Span> {
    let mut found = vec![server.clone()];
    let mut next = 0;
    while next < found.len() {
        let id = found[next].span_id.clone();
        found.extend(all.iter().filter(|span| span.parent_span_id == id).cloned());
        next += 1;
    }
    found[1..].sort_by_key(|span| span.start_time_unix_nano);
    found
}

/// The value of an attribute, if the span has it.
#[must_use]
pub fn attribute(span: &Span, name: &str) -> Option<String> {
    value(&span.attributes, name)
}

/// The same of any attributes.
#[must_use]
pub fn value(attributes: &[KeyValue], name: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == name)?;
    Some(match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    })
}
