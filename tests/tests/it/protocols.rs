//! Every protocol of clients with every protocol of backends: what is true of a request is true whatever it is spoken in.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderMap, HeaderValue, Request};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tokio_stream::iter;
use weir_tests::authority::{Authority, YEAR};
use weir_tests::client::full;
use weir_tests::fastcgi::{Application, Then, answer, end, record, stdout};
use weir_tests::manifest::{backend, pool, secret};
use weir_tests::{Backend, Behaviour, Client, Reply, Speech, TlsClient, Weir, eventually};

use super::tls::pair_secret;

const HOST: &str = "shop.example.com";
const LARGE: usize = 10 << 20;
/// STDOUT of FastCGI.
const STDOUT: u8 = 6;

/// What a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speaks {
    Http1,
    Http2,
    Http1InTls,
    Http2InTls,
}

/// Who answers.
enum Server {
    /// Over HTTP/1.1 or HTTP/2.
    Http(Backend),
    /// Over FastCGI.
    FastCgi(Application),
}

/// A client of one protocol before a proxy with a Pool for each protocol of backends.
struct Lane {
    speaks: Speaks,
    weir: Weir,
    client: TlsClient,
    servers: [(&'static str, Server); 4],
}

impl Lane {
    async fn start(speaks: Speaks) -> Self {
        let authority = Authority::new();
        let (edge, inner) =
            (authority.site(&[HOST, "edge.example.com"], YEAR), authority.site(&["inner.example.com"], YEAR));
        let http = async |speech| Server::Http(Backend::start_speaking("127.0.0.1:0", "plain", speech).await);
        let servers = [
            ("http1", http(Speech::default()).await),
            ("h2c", http(Speech::http2()).await),
            ("h2", http(Speech::http2_tls(&inner)).await),
            ("fastcgi", Server::FastCgi(Application::start("plain").await)),
        ];
        let text: String = servers.iter().map(|(name, server)| site(name, server)).collect();
        let text = text
            + &pool("edge", "match: [{hosts: [edge.example.com]}], tls: {secretName: edge-tls, default: true}")
            + &pair_secret("edge-tls", &edge)
            + &secret("inner-ca", &[("ca.crt", authority.pem())]);
        let weir = Weir::builder().https().file("web.yaml", &text).start().await;
        Self { speaks, weir, client: TlsClient::trusting(&authority), servers }
    }

    async fn connect(&self) -> Client {
        let (plain, https) = (self.weir.address(), self.weir.https_address());
        let secure = async |protocol| self.client.offering(&[protocol]).connect(https, HOST).await.unwrap();
        let client = match self.speaks {
            Speaks::Http1 => Client::connect(plain).await,
            Speaks::Http2 => Client::connect_http2(plain).await,
            Speaks::Http1InTls => secure("http/1.1").await.http(HOST).await,
            Speaks::Http2InTls => secure("h2").await.http2(HOST).await,
        };
        client.unwrap()
    }

    fn is_http1(&self) -> bool {
        matches!(self.speaks, Speaks::Http1 | Speaks::Http1InTls)
    }
}

/// One Pool for each path, with patience: servers fail here on purpose.
fn site(name: &str, server: &Server) -> String {
    let spec = format!(
        "match: [{{path: {{type: Prefix, value: /{name}}}}}], retry: {{attempts: 0}}, health: {{passive: {{maxFails: 0}}}}"
    );
    let (address, more) = match (name, server) {
        (_, Server::FastCgi(application)) => (application.address(), "protocol: FastCGI"),
        ("http1", Server::Http(server)) => (server.address(), ""),
        ("h2c", Server::Http(server)) => (server.address(), "protocol: H2"),
        (_, Server::Http(server)) => {
            (server.address(), "protocol: H2, tls: {serverName: inner.example.com, ca: {secretName: inner-ca}}")
        }
    };
    pool(name, &spec) + &backend(&format!("{name}-1"), name, address, more)
}

impl Server {
    fn set(&self, behaviour: Behaviour, says: Vec<u8>, then: Then) {
        match self {
            Self::Http(server) => server.set(behaviour),
            Self::FastCgi(application) => application.set(says, then),
        }
    }

    /// Answers what it got, as far as it can.
    fn echo(&self) {
        self.set(Behaviour::Echo, answer("got it"), Then::Keep);
    }

    /// The body of the last request, by what was answered or seen.
    fn body(&self, response: &weir_tests::Response) -> Vec<u8> {
        match self {
            Self::Http(_) => response.json()["body"].as_str().unwrap().as_bytes().to_vec(),
            Self::FastCgi(application) => application.requests().pop().unwrap().body,
        }
    }
}

type Case = for<'a> fn(&'a Lane, &'a str, &'a Server) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

const CASES: [(&str, Case); 7] = [
    ("plain", |lane, path, server| Box::pin(plain(lane, path, server))),
    ("chunked", |lane, path, server| Box::pin(chunked(lane, path, server))),
    ("trailers", |lane, path, server| Box::pin(trailers(lane, path, server))),
    ("100-continue", |lane, path, server| Box::pin(continued(lane, path, server))),
    ("10 MiB up and down", |lane, path, server| Box::pin(large(lane, path, server))),
    ("client abort", |lane, path, server| Box::pin(client_abort(lane, path, server))),
    ("upstream abort", |lane, path, server| Box::pin(upstream_abort(lane, path, server))),
];

async fn plain(lane: &Lane, path: &str, _server: &Server) {
    let mut client = lane.connect().await;
    for _ in 0..2 {
        let response = client.get(path).await.unwrap();
        assert_eq!((response.status, response.text().as_str()), (200, "plain"));
        assert!(response.header("via").ends_with("weir"));
    }
}

async fn chunked(lane: &Lane, path: &str, server: &Server) {
    server.echo();
    let frames = ["one ", "two ", "three"].map(|text| Ok(Frame::data(Bytes::from(text))));
    let request = Request::post(path).body(StreamBody::new(iter(frames)).boxed()).unwrap();
    let response = lane.connect().await.send(request).await.unwrap();
    assert_eq!((response.status, server.body(&response)), (200, b"one two three".to_vec()));
}

/// FastCGI has none: there they are left out, and all else passes.
async fn trailers(lane: &Lane, path: &str, server: &Server) {
    server.echo();
    let sum = HeaderMap::from_iter([("x-sum".parse().unwrap(), HeaderValue::from_static("42"))]);
    let frames = [Ok(Frame::data(Bytes::from("hello"))), Ok(Frame::trailers(sum))];
    let request = Request::post(path).header("trailer", "x-sum").body(StreamBody::new(iter(frames)).boxed()).unwrap();
    let mut client = lane.connect().await;
    let response = client.send(request).await.unwrap();
    assert_eq!((response.status, server.body(&response)), (200, b"hello".to_vec()));
    let Server::Http(server) = server else { return };
    assert_eq!(response.json()["trailers"], serde_json::json!([["x-sum", "42"]]));
    server.set(Reply::text("bye").trailer("x-sum", "7"));
    let mut request = Request::get(path).header("te", "trailers");
    if lane.is_http1() {
        request = request.header("connection", "te");
    }
    let response = client.send(request.body(full("")).unwrap()).await.unwrap();
    assert_eq!((response.text().as_str(), response.trailers["x-sum"].as_bytes()), ("bye", &b"7"[..]));
}

async fn continued(lane: &Lane, path: &str, server: &Server) {
    server.echo();
    let request = Request::post(path).header("expect", "100-continue").body(full("hello")).unwrap();
    let response = lane.connect().await.send(request).await.unwrap();
    assert_eq!((response.status, server.body(&response)), (200, b"hello".to_vec()));
}

async fn large(lane: &Lane, path: &str, server: &Server) {
    let body = Bytes::from("0123456789abcdef".repeat(LARGE / 16));
    let pieces = body.chunks(60_000).flat_map(|piece| record(STDOUT, piece));
    let says = stdout("Content-Type: text/plain\r\n\r\n").into_iter().chain(pieces).chain(end(0));
    server.set(Behaviour::Echo, says.collect(), Then::Keep);
    let mut client = lane.connect().await;
    let response = client.send(Request::post(path).body(full(body.clone())).unwrap()).await.unwrap();
    assert_eq!(response.status, 200);
    assert!(server.body(&response) == body, "what went up");
    assert!(response.body.len() >= LARGE, "{} bytes came down", response.body.len());
}

async fn client_abort(lane: &Lane, path: &str, server: &Server) {
    server.set(Behaviour::Silent, Vec::new(), Then::Hold);
    let is_there = || match server {
        Server::Http(server) => server.counts().in_flight() == 1,
        Server::FastCgi(application) => application.requests().last().is_some_and(|seen| seen.body == b"hello"),
    };
    let aborted = || match server {
        Server::Http(server) => server.counts().aborted(),
        Server::FastCgi(application) => application.aborts() as u64,
    };
    let before = aborted();
    let (mut client, path) = (lane.connect().await, path.to_owned());
    let asking = async move { client.send(Request::post(path).body(full("hello")).unwrap()).await };
    tokio::select! {
        answer = asking => panic!("{answer:?}"),
        () = eventually("the request is there", async || is_there().then_some(())) => {}
    }
    eventually("the server is told", async || (aborted() > before).then_some(())).await;
}

async fn upstream_abort(lane: &Lane, path: &str, server: &Server) {
    server.set(Behaviour::CloseEarly, Vec::new(), Then::Close);
    let mut client = lane.connect().await;
    assert_eq!(client.get(path).await.unwrap().status, 502, "before the head");
    let part = Reply::text(&"x".repeat(1 << 20)).trickling(Duration::from_millis(1));
    server.set(part.into(), stdout("Content-Type: text/plain\r\n\r\npart"), Then::Close);
    let begun = client.begin(Request::get(path).body(full("")).unwrap()).await;
    if let Server::Http(server) = server {
        server.stop().await;
        server.restart();
    }
    // A head that comes right before the end may be lost with it.
    let is_whole = match begun {
        Ok(response) => response.into_body().collect().await.is_ok(),
        Err(_) => false,
    };
    assert!(!is_whole, "in the body: what is here is not all");
}

#[tokio::test(flavor = "multi_thread")]
async fn u1_u3_every_protocol_of_clients_with_every_protocol_of_backends() {
    let lanes = [Speaks::Http1, Speaks::Http2, Speaks::Http1InTls, Speaks::Http2InTls].map(|speaks| async move {
        let lane = Lane::start(speaks).await;
        for (name, server) in &lane.servers {
            for (case, run) in CASES {
                // Seen when a case fails.
                println!("{speaks:?} to {name}: {case}");
                run(&lane, &format!("/{name}"), server).await;
            }
        }
    });
    join_all(lanes).await;
}
