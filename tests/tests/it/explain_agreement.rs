//! M1 to M8, P1 to P8, C1 to C7, A1 to A6: what `explain` says of a request is what becomes of it. Random requests over
//! a random configuration: each is explained, then sent, and both must agree.

mod world;

use std::collections::BTreeMap;

use http::Request;
use http_body_util::BodyExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use weir_data_plane::explain::Explanation;
use weir_data_plane::explain::live::LiveRecord;
use weir_tests::client::{Body, full};
use weir_tests::{Backend, Client, Weir, eventually, get, send, within};

use world::{Asked, Servers, World};

/// How many requests are compared.
const REQUESTS: usize = 10_000;
/// Of the configuration and the requests.
const SEED: u64 = 20_261_122;

/// Requests as they come.
struct Live {
    body: hyper::body::Incoming,
    text: String,
}

impl Live {
    async fn listen(weir: &Weir) -> Self {
        let mut admin = Client::connect(weir.admin()).await.unwrap();
        let request = Request::get("/api/v1/explain/live").body(full("")).unwrap();
        let response = admin.begin(request).await.unwrap();
        assert_eq!(response.status(), 200);
        Self { body: response.into_body(), text: String::new() }
    }

    async fn next(&mut self) -> LiveRecord {
        loop {
            if let Some((line, rest)) = self.text.split_once('\n') {
                let record = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
                self.text = rest.to_owned();
                return record;
            }
            let frame = within("a record", self.body.frame()).await.expect("a stream").unwrap();
            self.text += std::str::from_utf8(frame.data_ref().unwrap()).unwrap();
        }
    }
}

/// A proxy of this world, its dead backends known to be dead and its full ones full.
struct Rig {
    weir: Weir,
    world: World,
    live: Live,
    admin: Client,
    client: Client,
    _servers: Vec<Backend>,
    _held: Vec<Held>,
}

/// The connection of a request that its backend does not answer; a client with patience of its own would leave.
type Held = TcpStream;

impl Rig {
    async fn start() -> Self {
        let good: [Backend; 3] = Backend::start_many("good").await;
        let [dead, holding] = Backend::start_many("other").await;
        let addresses = Servers {
            good: good.iter().map(Backend::address).collect(),
            dead: dead.address(),
            holding: holding.address(),
        };
        let world = World::new(SEED, &addresses);
        let weir = Weir::start(&world.manifest).await;
        let resources = get(weir.control_admin(), "/api/v1/resources").await.unwrap().text();
        for number in 0..world::POOLS {
            assert!(weir.state(&format!("test/p{number}")).await.is_some(), "p{number} is refused: {resources}");
        }
        dead.stop().await;
        holding.hold();
        let held = prepare(&weir, &world, &holding).await;
        let (admin, client) = (Client::connect(weir.admin()).await.unwrap(), weir.client().await);
        let mut servers: Vec<Backend> = good.into();
        servers.extend([dead, holding]);
        let live = Live::listen(&weir).await;
        Self { weir, world, live, admin, client, _servers: servers, _held: held }
    }

    /// Asks until nothing is left of the request before: it ends a moment after its client has the answer.
    async fn explain(&mut self, asked: &Asked) -> Explanation {
        let body = asked.question().to_string();
        for _ in 0..1_000 {
            let request = Request::post("/api/v1/explain").body(full(body.clone())).unwrap();
            let response = self.admin.send(request).await.unwrap();
            assert_eq!(response.status, 200, "{}", response.text());
            let explanation: Explanation = serde_json::from_slice(&response.body).unwrap();
            let held = |name: &str| u32::from(self.world.full.iter().any(|(_, full)| full == name));
            if explanation.candidates.iter().all(|c| c.in_flight <= held(&c.backend)) {
                return explanation;
            }
        }
        panic!("a request never ends: {asked:?}");
    }

    async fn send(&mut self, asked: &Asked) -> LiveRecord {
        if self.client.is_closed() {
            self.client = self.weir.client().await;
        }
        let response = self.client.send(asked.request()).await.unwrap();
        if response.headers.get("connection").is_some_and(|value| value == "close") {
            self.client = self.weir.client().await;
        }
        let record = self.live.next().await;
        assert_eq!(record.status, response.status, "{asked:?}");
        record
    }
}

/// Asks the dead ones, which are taken down by that, and fills the others.
async fn prepare(weir: &Weir, world: &World, holding: &Backend) -> Vec<Held> {
    for (pool, name) in &world.dead {
        send(weir.address(), directed(pool, name)).await.unwrap();
    }
    let mut held = Vec::new();
    for (pool, name) in &world.full {
        let before = holding.requests();
        let mut client = TcpStream::connect(weir.address()).await.unwrap();
        let head = format!(
            "GET / HTTP/1.1\r\nhost: {pool}.own.test\r\nx-backend: {name}\r\ncookie: backend={name}\r\nx-user: u\r\n\r\n"
        );
        client.write_all(head.as_bytes()).await.unwrap();
        eventually(&format!("{name} is full, or not to be had"), async || {
            let state = weir.backend(&format!("test/{pool}"), name).await;
            let is_held = holding.requests() > before && state["inFlight"]["current"] == 1;
            (is_held || client.try_read(&mut [0]).is_ok()).then_some(())
        })
        .await;
        held.push(client);
    }
    held
}

/// Both ways to name a backend.
fn directed(pool: &str, name: &str) -> Request<Body> {
    let request = Request::get("/").header("host", format!("{pool}.own.test")).header("x-backend", name);
    request.header("cookie", format!("backend={name}")).header("x-user", "u").body(full("")).unwrap()
}

/// What is wrong with the explanation of a request of which this became.
fn disagreement(explanation: &Explanation, record: &LiveRecord) -> Option<&'static str> {
    let rule = explanation.rules.iter().find(|rule| rule.matched).map(|rule| &rule.rule);
    if rule != record.rule.as_ref() {
        return Some("rule");
    }
    match (&explanation.choice, &explanation.answer, &explanation.queued) {
        (Some(choice), None, None) => {
            let possible = explanation.candidates.iter().any(|candidate| {
                let found = (Some(&candidate.backend), Some(&candidate.address));
                candidate.share > 0.0 && found == (record.backend.as_ref(), record.address.as_ref())
            });
            let same = Some(&choice.backend) == record.backend.as_ref();
            match () {
                () if record.status != 200 || !record.tries.is_empty() => Some("an answer of the backend"),
                () if Some(&choice.pool) != record.pool.as_ref() => Some("pool"),
                () if explanation.certain && !same => Some("backend"),
                () if !possible => Some("candidates"),
                () => None,
            }
        }
        (None, Some(answer), None) => match () {
            () if answer.status != record.status => Some("status"),
            () if answer.reason != record.reason => Some("reason"),
            () if answer.pool.is_some() && answer.pool != record.pool => Some("pool of the answer"),
            () if answer.plugin != record.halted_by => Some("plugin"),
            () => None,
        },
        (None, None, Some(queued)) => match () {
            () if record.reason.as_deref() != Some("queue_timeout") => Some("queued"),
            () if Some(&queued.pool) != record.pool.as_ref() => Some("pool of the queue"),
            () => None,
        },
        _ => Some("one of choice, answer and queued"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c1_m8_p8_explain_agrees_with_what_becomes_of_10000_random_requests() {
    let mut rig = Rig::start().await;
    let mut seen = BTreeMap::<String, usize>::new();
    for number in 0..REQUESTS {
        let asked = rig.world.request();
        let explanation = rig.explain(&asked).await;
        let record = rig.send(&asked).await;
        if let Some(what) = disagreement(&explanation, &record) {
            let explained = serde_json::to_string_pretty(&explanation).unwrap();
            let record = serde_json::to_string_pretty(&record).unwrap();
            panic!("{what}, request {number}: {asked:?}\nexplained {explained}\nbut {record}");
        }
        *seen.entry(kind(&explanation)).or_default() += 1;
    }
    println!("{seen:#?}");
    // The random world has something of everything: none of these is compared by accident only.
    for kind in ["certain", "chance", "queued", "no_route", "no_backend", "plugin", "bad_request"] {
        assert!(seen.get(kind).is_some_and(|count| *count >= 20), "{kind}: {seen:?}");
    }
}

fn kind(explanation: &Explanation) -> String {
    match (&explanation.choice, &explanation.answer) {
        (Some(_), _) if explanation.certain => "certain".to_owned(),
        (Some(_), _) => "chance".to_owned(),
        (_, Some(answer)) => answer.reason.clone().unwrap_or_default(),
        _ => "queued".to_owned(),
    }
}

/// Everything that is counted, but for what moves with time and with each reading.
async fn figures(weir: &Weir) -> Vec<String> {
    let moves = ["weir_table_age", "weir_scrape", "process_"];
    let metrics = weir.metrics().await;
    metrics.lines().filter(|line| !moves.iter().any(|name| line.contains(name))).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t1_c3_a_thousand_dry_runs_move_nothing() {
    let mut rig = Rig::start().await;
    for _ in 0..200 {
        let asked = rig.world.request();
        rig.send(&asked).await;
    }
    let before = figures(&rig.weir).await;
    assert!(before.iter().any(|line| line.starts_with("weir_plugin_count_total") && !line.ends_with(" 0")));
    for _ in 0..1_000 {
        let asked = rig.world.request();
        rig.explain(&asked).await;
    }
    assert_eq!(figures(&rig.weir).await, before);
}
