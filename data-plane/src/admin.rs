//! The admin server: metrics, probes, the state as JSON and CSV, and the web page. Runs on the control thread and only
//! reads; a request of a client never waits for it.

mod csv;
mod explain;
mod overview;
mod page;
mod query;
mod state;

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body_util::Either;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::Timestamp;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::discovery::handle::ControlHandle;
use crate::explain::Explainer;
use crate::health::TransitionLog;
use crate::readiness::Readiness;
use crate::stats::families::Families;
use crate::stats::{ProcessStats, Recent};
use crate::table::TableHandle;

use page::{Body, Page};

/// For a request head to arrive, and between two requests of a connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Wait after a failed accept: with no file descriptor left, trying at once would fail at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What the server shows.
#[derive(Debug)]
pub struct Sources {
    /// The live table.
    pub table: TableHandle,
    /// Counters of the process.
    pub stats: Arc<ProcessStats>,
    /// Whether it is ready.
    pub readiness: Readiness,
    /// What went on lately.
    pub recent: Recent,
    /// Endpoints that came up or went down.
    pub transitions: TransitionLog,
    /// What knows what is held.
    pub control: ControlHandle,
    /// Which process this is.
    pub about: About,
    /// Where requests would go.
    pub explainer: Explainer,
}

/// Which process this is.
#[derive(Debug, Clone)]
pub struct About {
    /// Its name at the control plane.
    pub node_id: String,
    /// When it began.
    pub since: Timestamp,
}

/// Binds `address`.
///
/// # Errors
/// If it is taken or not ours.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpListener::bind(address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// A bound server.
#[derive(Debug)]
pub struct Admin {
    socket: TcpListener,
    address: SocketAddr,
    shown: Arc<Shown>,
}

/// The sources, and what is made of them.
#[derive(Debug)]
struct Shown {
    sources: Sources,
    families: Families,
}

impl Admin {
    /// A server at a socket that is bound.
    ///
    /// # Errors
    /// If it is none any more.
    pub fn new(socket: TcpListener, sources: Sources) -> io::Result<Self> {
        let families = Families::new(sources.table.clone(), sources.stats.clone());
        Ok(Self { address: socket.local_addr()?, socket, shown: Arc::new(Shown { sources, families }) })
    }

    /// The real address, where the port asked for was 0.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled(async {
            match tokio::net::TcpListener::from_std(self.socket) {
                Ok(socket) => accept(socket, self.shown).await,
                Err(error) => warn!(%error, "the admin server cannot use its socket"),
            }
        })
        .await;
    }
}

async fn accept(socket: tokio::net::TcpListener, shown: Arc<Shown>) {
    loop {
        match socket.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(serve(stream, shown.clone()))),
            Err(error) => {
                warn!(%error, "an admin connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, shown: Arc<Shown>) {
    let service = service_fn(|request| {
        let shown = shown.clone();
        async move { Ok::<_, Infallible>(respond(&shown, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        debug!(%error, "an admin connection broke");
    }
}

async fn respond(shown: &Shown, mut request: Request<Incoming>) -> Response<explain::Reply> {
    match explain::answer(shown, &mut request).await {
        Some(response) => response,
        None => answer(shown, &request).await.map(Either::Left),
    }
}

async fn answer(shown: &Shown, request: &Request<Incoming>) -> Response<Body> {
    match Page::of(request.uri().path(), request.uri().query().unwrap_or_default()) {
        Ok(Some(page)) if page::is_read(request.method()) => page.show(shown).await,
        Ok(Some(_)) => page::method_not_allowed(),
        Ok(None) => page::not_found("no such page"),
        Err(wrong) => page::bad_request(&wrong),
    }
}

#[cfg(test)]
mod tests {
    use arc_swap::ArcSwap;
    use serde_json::{Value, json};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_util::sync::DropGuard;
    use weir_proto::model;

    use super::*;
    use crate::plugin::rehearsal::worker;
    use crate::pool::runtime::Environment;
    use crate::pool::runtime::tests::targets;
    use crate::pool::{InFlight, Pool, PoolRuntime};
    use crate::reason::Reason;
    use crate::table::Table;

    struct Fixture {
        pool: Arc<Pool>,
        readiness: Readiness,
        address: SocketAddr,
        _stop: DropGuard,
    }

    fn start() -> Fixture {
        let environment = Environment::without_tasks(1);
        let config = Arc::new(model::Pool::new("shop/web".parse().unwrap()));
        let runtime = PoolRuntime::new(config.clone(), environment.clone());
        runtime.set_members(targets(&[1, 3]));
        let pool = Arc::new(Pool::new(config, runtime));
        let table =
            Arc::new(ArcSwap::from_pointee(Table { pools: [pool.clone()].into_iter().collect(), ..Table::default() }));
        let readiness = Readiness::default();
        let sources = Sources {
            table: table.clone(),
            stats: Arc::new(ProcessStats::new(&["http".into()], 1)),
            readiness: readiness.clone(),
            recent: Recent::default(),
            transitions: environment.transitions.log(),
            control: ControlHandle::new().0,
            about: About { node_id: "node".into(), since: Timestamp::now() },
            explainer: Explainer::start(worker(table, 7).shared.clone()).unwrap(),
        };
        let admin = Admin::new(bind("127.0.0.1:0".parse().unwrap()).unwrap(), sources).unwrap();
        let (address, stop) = (admin.address(), CancellationToken::new());
        tokio::spawn(admin.run(stop.clone()));
        Fixture { pool, readiness, address, _stop: stop.drop_guard() }
    }

    impl Fixture {
        /// Status, headers and body.
        async fn send(&self, method: &str, path: &str) -> (u16, String, String) {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            let request = format!("{method} {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).await.unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            (head[9..12].parse().unwrap(), head.to_ascii_lowercase(), body.to_owned())
        }

        async fn json(&self, path: &str) -> Value {
            let (status, head, body) = self.send("GET", path).await;
            assert!(status == 200 && head.contains("content-type: application/json"), "{head}");
            serde_json::from_str(&body).unwrap()
        }
    }

    #[tokio::test]
    async fn s3_readyz_says_what_is_missing_and_healthz_only_that_it_lives() {
        let f = start();
        let blocker = f.readiness.block("first table");
        assert_eq!(f.send("GET", "/healthz").await.0, 200);
        let (status, _, body) = f.send("GET", "/readyz").await;
        assert_eq!((status, body.as_str()), (503, "first table\n"));
        drop(blocker);
        assert_eq!(f.send("GET", "/readyz").await.0, 200);
    }

    #[tokio::test]
    async fn t1_metrics_are_prometheus_text() {
        let f = start();
        let (status, head, body) = f.send("GET", "/metrics").await;
        assert!(status == 200 && head.contains("content-type: text/plain; version=0.0.4"), "{head}");
        assert!(body.contains(r#"weir_backend_up{backend="b000",pool="shop/web"} 1"#), "{body}");
    }

    #[tokio::test]
    async fn other_methods_and_paths_are_refused_and_head_has_no_body() {
        let f = start();
        let (status, head, _) = f.send("POST", "/metrics").await;
        assert!(status == 405 && head.contains("allow: get, head"), "{head}");
        let (status, head, body) = f.send("GET", "/nothing").await;
        assert!(status == 404 && head.contains("application/json") && body.contains("no such page"), "{body}");
        assert_eq!(f.send("GET", "/api/v1/pools/shop/none").await.0, 404);
        let (status, head, body) = f.send("HEAD", "/healthz").await;
        assert_eq!((status, body.as_str()), (200, ""));
        assert!(head.contains("content-length: 3"), "{head}");
    }

    #[tokio::test]
    async fn t2_the_state_of_a_pool_is_json() {
        let f = start();
        let members = f.pool.runtime.members();
        let _running = InFlight::start(members[1].endpoint.clone(), 0);
        f.pool.runtime.shards.of(0).dropped[Reason::NoBackend as usize].add(2);
        f.pool.runtime.shards.of(0).retries[Reason::Reset as usize].add(5);
        let mut state = f.json("/api/v1/pools/shop/web").await;
        let since = state["backends"][1]["since"].take();
        assert!(since.as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{since}");
        state["backends"].as_array_mut().unwrap().remove(0);
        let expected = json!({
            "name": "shop/web", "enabled": true, "protocol": "HTTP", "method": "RoundRobin", "healthMode": null,
            "priority": 0, "weight": 1, "up": true, "panic": false, "routes": [], "plugins": [], "missingPlugins": [],
            "inFlight": {"current": 0, "max": 0, "total": 0},
            "queued": {"current": 0, "max": 0, "total": 0, "limit": 128, "timeout": "1m"},
            "dropped": {"total": 2, "byReason": {"no_backend": 2}}, "retries": 5, "responses": {},
            "pace": {"requestsPerSecond": 0.0, "errorsPerSecond": 0.0, "latency": null},
            "history": {"step": 5, "requests": [], "errors": []},
            "backends": [{
                "name": "b001", "address": "127.0.0.1:1001", "state": "Up", "since": null, "reason": "",
                "enabled": true, "role": "Active", "weight": 3, "score": 0, "capacity": 0, "labels": {}, "fails": 0,
                "lastFailure": null, "connections": 0, "inFlight": {"current": 1, "max": 1, "total": 1},
                "responses": {}, "failed": {}, "downs": 0, "requestsPerSecond": 0.0,
            }],
        });
        assert_eq!(state, expected);
        assert_eq!(f.json("/api/v1/pools").await["pools"][0]["name"], "shop/web");
    }

    #[tokio::test]
    async fn t2_an_ejected_endpoint_says_why_and_when() {
        let f = start();
        let endpoint = f.pool.runtime.members()[0].endpoint.clone();
        (0..3).for_each(|_| f.pool.runtime.fail(&endpoint, Reason::ConnectTimeout));
        let backend = f.json("/api/v1/pools/shop/web").await["backends"][0].take();
        assert_eq!((&backend["state"], &backend["reason"]), (&json!("Ejected"), &json!("connect_timeout")));
        assert_eq!((&backend["fails"], &backend["lastFailure"]["reason"]), (&json!(3), &json!("connect_timeout")));
        let times = [&backend["since"], &backend["lastFailure"]["time"]];
        assert!(times.iter().all(|time| time.as_str().unwrap().ends_with('Z')), "{backend}");
    }

    #[tokio::test]
    async fn t2_pools_are_found_by_name_and_a_wrong_question_is_answered() {
        let f = start();
        assert_eq!(f.json("/api/v1/pools?search=eb").await["total"], 1);
        assert_eq!(f.json("/api/v1/pools?search=db").await["pools"], json!([]));
        assert_eq!(f.json("/api/v1/pools?problems").await["total"], 0);
        assert_eq!(f.json("/api/v1/pools?limit=0").await, json!({"total": 1, "pools": []}));
        let (status, _, body) = f.send("GET", "/api/v1/pools?limits=1").await;
        assert!(status == 400 && body.contains("limits: is none of"), "{status} {body}");
    }

    #[tokio::test]
    async fn t2_the_same_as_csv_has_haproxys_columns() {
        let f = start();
        let endpoint = f.pool.runtime.members()[0].endpoint.clone();
        (0..3).for_each(|_| f.pool.runtime.fail(&endpoint, Reason::ConnectTimeout));
        let (_, head, body) = f.send("GET", "/api/v1/pools?format=csv").await;
        assert!(head.contains("content-type: text/csv"), "{head}");
        let lines: Vec<Vec<&str>> = body.lines().map(|line| line.split(',').collect()).collect();
        assert!(lines.iter().all(|line| line.len() == lines[0].len()), "{body}");
        assert!(body.starts_with("# pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,"), "{body}");
        let column = |name: &str| lines[0].iter().position(|column| *column == name).unwrap();
        let cells = |line: usize| ["status", "econ", "type", "weight"].map(|name| lines[line][column(name)]);
        assert_eq!(lines[1][..2], ["http", "FRONTEND"]);
        assert_eq!((&lines[2][..2], cells(2)), (&["shop/web", "b000"][..], ["DOWN", "3", "2", "1"]));
        assert_eq!((&lines[3][..2], cells(3)), (&["shop/web", "b001"][..], ["UP", "0", "2", "3"]));
        assert_eq!((&lines[4][..2], cells(4)), (&["shop/web", "BACKEND"][..], ["UP", "", "1", ""]));
        assert_eq!(lines.len(), 5);
    }

    #[tokio::test]
    async fn t2_the_overview_counts_and_tells_what_happened() {
        let f = start();
        let endpoint = f.pool.runtime.members()[0].endpoint.clone();
        (0..3).for_each(|_| f.pool.runtime.fail(&endpoint, Reason::Reset));
        let overview = f.json("/api/v1/overview").await;
        assert_eq!(overview["endpoints"], json!({"total": 2, "up": 1}));
        assert_eq!((&overview["pools"]["up"], &overview["node"]), (&json!(1), &json!("node")));
        let event = &overview["events"][0];
        assert_eq!(
            (&event["backend"], &event["up"], &event["reason"]),
            (&json!("b000"), &json!(false), &json!("reset"))
        );
    }

    #[tokio::test]
    async fn the_page_runs_nothing_but_its_own_scripts() {
        let f = start();
        let (status, head, body) = f.send("GET", "/").await;
        assert!(status == 200 && head.contains("content-type: text/html") && body.contains("<title>"), "{head}");
        assert!(head.contains("content-security-policy: default-src 'none'; script-src 'self';"), "{head}");
        let (status, head, _) = f.send("GET", "/page/weir.js").await;
        assert!(status == 200 && head.contains("text/javascript"), "{head}");
    }

    #[tokio::test]
    async fn a_taken_port_is_an_error() {
        let f = start();
        assert_eq!(bind(f.address).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
