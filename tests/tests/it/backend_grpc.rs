//! Calls of gRPC to backends of HTTP/2, with real peers: streams, deadlines, retries, probes.

use std::net::SocketAddr;
use std::sync::Arc;

use http::{Request, Version};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;
use tonic::Code;
use tonic::transport::Endpoint;
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::server::HealthReporter;
use weir_tests::authority::{Authority, YEAR};
use weir_tests::client::full;
use weir_tests::manifest::{backend, pool, secret};
use weir_tests::{Backend, Behaviour, Client, Reply, Response, Speech, Weir, eventually, within};

const SERVICE: &str = "shop.Cart";

/// A server of `grpc.health.v1`.
struct Health {
    address: SocketAddr,
    reporter: HealthReporter,
    _task: AbortOnDropHandle<Result<(), tonic::transport::Error>>,
}

impl Health {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (reporter, service) = tonic_health::server::health_reporter();
        reporter.set_service_status(SERVICE, ServingStatus::Serving).await;
        let incoming = tonic::transport::server::TcpIncoming::from(listener);
        let serving = tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming);
        Self { address, reporter, _task: AbortOnDropHandle::new(tokio::spawn(serving)) }
    }
}

/// Takes TLS off for a server that speaks none.
async fn within_tls(to: SocketAddr, speech: &Speech) -> (SocketAddr, AbortOnDropHandle<()>) {
    let acceptor = TlsAcceptor::from(Arc::clone(speech.config().unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut near = acceptor.accept(stream).await?;
                copy_bidirectional(&mut near, &mut TcpStream::connect(to).await?).await
            });
        }
    });
    (address, AbortOnDropHandle::new(task))
}

fn web(spec: &str, addresses: &[SocketAddr]) -> String {
    let one = |(i, address)| backend(&format!("web-{}", i + 1), "web", address, "protocol: H2");
    pool("web", spec) + &addresses.iter().enumerate().map(one).collect::<String>()
}

/// What a server says whose call ends so without a message.
fn ends_with(status: u16) -> Reply {
    Reply::status(200).header("content-type", "application/grpc").header("grpc-status", &status.to_string())
}

/// A call whose client waits so long.
async fn call(weir: &Weir, timeout: &str) -> Response {
    let mut client = Client::connect_http2(weir.address()).await.unwrap();
    let request = Request::post(format!("http://{}/shop.Cart/Get", weir.address()))
        .version(Version::HTTP_2)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", timeout)
        .body(full("\0\0\0\0\0"))
        .unwrap();
    client.send(request).await.unwrap()
}

#[tokio::test]
async fn u1_calls_and_streams_of_tonic_pass() {
    let server = Health::start().await;
    let weir = Weir::start(&web("", &[server.address])).await;
    let channel = Endpoint::from_shared(format!("http://{}", weir.address())).unwrap().connect().await.unwrap();
    let mut client = HealthClient::new(channel);
    let asked = |service: &str| HealthCheckRequest { service: service.to_owned() };
    let answer = client.check(asked(SERVICE)).await.unwrap().into_inner();
    assert_eq!(answer.status, ServingStatus::Serving as i32);
    assert_eq!(client.check(asked("nobody")).await.unwrap_err().code(), Code::NotFound);
    let mut watching = client.watch(asked(SERVICE)).await.unwrap().into_inner();
    for status in [ServingStatus::Serving, ServingStatus::NotServing, ServingStatus::Serving] {
        server.reporter.set_service_status(SERVICE, status).await;
        let told = within("a message of the stream", watching.message()).await.unwrap().unwrap();
        assert_eq!(told.status, status as i32);
    }
}

#[tokio::test]
async fn f1_calls_are_tried_again_by_the_status_in_their_head() {
    let bad = Backend::start_speaking("127.0.0.1:0", "bad", Speech::http2()).await;
    let good = Backend::start_speaking("127.0.0.1:0", "good", Speech::http2()).await;
    bad.set(ends_with(14));
    good.set(ends_with(0));
    let addresses = [bad.address(), good.address()];
    let spec = "retry: {methods: [POST], grpcStatuses: [UNAVAILABLE]}, balance: {method: FirstAlive}";
    let weir = Weir::start(&web(spec, &addresses)).await;
    assert_eq!(call(&weir, "10S").await.header("grpc-status"), "0");
    assert_eq!((bad.requests(), good.requests()), (1, 1));
    bad.set(ends_with(13));
    assert_eq!(call(&weir, "10S").await.header("grpc-status"), "13", "not one of those");
    bad.set(ends_with(14));
    weir.write("web.yaml", &web(&spec.replace("methods: [POST], ", ""), &addresses)).await;
    assert_eq!(call(&weir, "10S").await.header("grpc-status"), "14", "a POST may act twice");
}

#[tokio::test]
async fn h1_calls_count_as_failures_by_the_status_in_their_head() {
    let bad = Backend::start_speaking("127.0.0.1:0", "bad", Speech::http2()).await;
    let spec = "health: {passive: {maxFails: 2, grpcStatuses: [INTERNAL]}}";
    let weir = Weir::start(&web(spec, &[bad.address()])).await;
    for (status, state) in [(5, "Up"), (13, "Up"), (13, "Ejected")] {
        bad.set(ends_with(status));
        assert_eq!(call(&weir, "10S").await.header("grpc-status"), status.to_string());
        assert_eq!(weir.backend("test/web", "web-1").await["state"], state, "{status}");
    }
}

#[tokio::test]
async fn f4_the_deadline_of_a_call_ends_it() {
    let server = Backend::start_speaking("127.0.0.1:0", "s", Speech::http2()).await;
    server.set(Behaviour::Silent);
    let weir = Weir::start(&web("retry: {attempts: 6, methods: [POST]}", &[server.address()])).await;
    let answer = within("the deadline", call(&weir, "200m")).await;
    assert_eq!((answer.status, answer.header("grpc-status")), (200, "4"));
    assert_eq!(server.requests(), 1, "there is no time for another try");
    eventually("its stream is reset", async || (server.counts().aborted() == 1).then_some(())).await;
}

#[tokio::test]
async fn h2_probes_of_type_grpc_go_over_tls() {
    let (authority, server) = (Authority::new(), Health::start().await);
    let speech = Speech::http2_tls(&authority.site(&["web.internal"], YEAR));
    let (address, _relay) = within_tls(server.address, &speech).await;
    let active = format!("active: {{type: GRPC, path: {SERVICE}, interval: 50ms, healthyThreshold: 1}}");
    let text = |ca: &Authority| {
        pool("web", &format!("health: {{{active}, passive: {{maxFails: 0}}}}"))
            + &backend("web-1", "web", address, "protocol: H2, tls: {serverName: web.internal, ca: {secretName: ca}}")
            + &secret("ca", &[("ca.crt", ca.pem())])
    };
    let weir = Weir::start(&text(&authority)).await;
    let until = async |field: &str, value: &str| {
        eventually(&format!("{field} is {value}"), async || {
            (weir.backend("test/web", "web-1").await[field] == value).then_some(())
        })
        .await;
    };
    until("state", "Up").await;
    server.reporter.set_service_status(SERVICE, ServingStatus::NotServing).await;
    until("reason", "bad_response").await;
    server.reporter.set_service_status(SERVICE, ServingStatus::Serving).await;
    until("state", "Up").await;
    weir.write("web.yaml", &text(&Authority::new())).await;
    until("reason", "tls_unknown_issuer").await;
    until("state", "Down").await;
}
