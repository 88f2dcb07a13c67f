//! P1 to P4: the built-in plugins on a proxy. The test plays the control plane.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use http::Request;
use serde_json::{Value, json};
use tokio::time::Instant;
use weir_proto::pb::{self, PluginUse, plugin_use, resource};
use weir_tests::client::full;
use weir_tests::scripted::{Session, backend, pool};
use weir_tests::{Backend, Behaviour, Client, DataPlane, RawClient, Response, Scripted, eventually};

/// A proxy with one pool.
pub(super) struct Rig {
    pub(super) proxy: DataPlane,
    session: Session,
    _control: Scripted,
}

impl Rig {
    /// With these plugins and a backend for each server, in order `b1`, `b2` and so on, after `change`.
    async fn start(plugins: &[PluginUse], servers: &[Backend], change: impl Fn(usize, &mut pb::Backend)) -> Self {
        Self::start_with(Vec::new(), plugins, servers, change).await
    }

    /// The same, with these resources besides.
    async fn start_with(
        others: Vec<pb::Resource>,
        plugins: &[PluginUse],
        servers: &[Backend],
        change: impl Fn(usize, &mut pb::Backend),
    ) -> Self {
        let mut control = Scripted::start().await;
        let proxy = DataPlane::builder(control.address()).start_unready();
        let (mut session, _) = control.accept().await;
        let mut resources = others;
        resources.push(web(plugins));
        for (place, server) in servers.iter().enumerate() {
            let mut resource = backend(&format!("b{}", place + 1), "web", server.address());
            if let Some(resource::Body::Backend(body)) = &mut resource.body {
                change(place, body);
            }
            resources.push(resource);
        }
        assert_eq!(session.deliver(resources).await, []);
        Self { proxy, session, _control: control }
    }

    /// With one backend that tells what it received.
    pub(super) async fn echo(plugins: &[PluginUse]) -> (Self, Backend) {
        Self::echo_with(Vec::new(), plugins).await
    }

    /// The same, with these resources besides.
    pub(super) async fn echo_with(others: Vec<pb::Resource>, plugins: &[PluginUse]) -> (Self, Backend) {
        let server = Backend::start("echo").await;
        server.set(Behaviour::Echo);
        let rig = Self::start_with(others, plugins, std::slice::from_ref(&server), |_, _| ()).await;
        (rig, server)
    }

    /// Has these plugins from now on.
    pub(super) async fn change(&mut self, plugins: &[PluginUse]) {
        assert_eq!(self.session.deliver(vec![web(plugins)]).await, []);
    }

    pub(super) async fn send(&self, request: http::request::Builder) -> Response {
        weir_tests::send(self.proxy.address(), request.body(full("")).unwrap()).await.unwrap()
    }

    pub(super) async fn get(&self, path: &str) -> Response {
        self.send(Request::get(path)).await
    }
}

/// The pool, with these plugins.
fn web(plugins: &[PluginUse]) -> pb::Resource {
    pool("web", |pool| {
        pool.plugins = plugins.to_vec();
        // Some requests wait for the end of the test.
        pool.timeouts = Some(pb::Timeouts { read_ms: 0, ..pool.timeouts.unwrap_or_default() });
    })
}

/// A built-in plugin in place.
pub(super) fn in_place(name: &str, param: Value) -> PluginUse {
    let plugin = Some(plugin_use::Plugin::Type(name.to_owned()));
    PluginUse { plugin, param: param.to_string(), ..PluginUse::default() }
}

/// The same with an entry of a Secret.
pub(super) fn with_secret(plugin: PluginUse, path: &str, content: &str) -> PluginUse {
    PluginUse { files: [(format!("secret/{path}"), content.as_bytes().to_vec())].into(), ..plugin }
}

/// Values of a header that the upstream received.
pub(super) fn received<'r>(echo: &'r Value, name: &str) -> Vec<&'r str> {
    let headers = echo["headers"].as_array().unwrap().iter();
    headers.filter(|header| header[0] == name).map(|header| header[1].as_str().unwrap()).collect()
}

/// How often each server answers.
async fn answers(rig: &Rig, requests: u32) -> BTreeMap<String, u32> {
    let mut client = Client::connect(rig.proxy.address()).await.unwrap();
    let mut counts = BTreeMap::new();
    for _ in 0..requests {
        *counts.entry(client.get("/").await.unwrap().text()).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn p3_fill_keeps_the_first_with_room_and_least_load_those_with_the_most() {
    for (plugin, expected) in [("Fill", [1, 1, 0]), ("LeastLoad", [0, 2, 0])] {
        let servers = Backend::start_many::<3>("s").await;
        servers.iter().for_each(Backend::hold);
        let rig = Rig::start(&[in_place(plugin, Value::Null)], &servers, |place, backend| {
            backend.capacity = [1, 5, 3][place];
        })
        .await;
        let mut held = Vec::new();
        for sent in 1..=2 {
            let mut client = RawClient::connect(rig.proxy.address()).await.unwrap();
            client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
            held.push(client);
            let arrived = || servers.iter().map(Backend::requests).sum::<u64>() == sent;
            eventually("the request arrives", || std::future::ready(arrived().then_some(()))).await;
        }
        assert_eq!(servers.each_ref().map(Backend::requests), expected, "{plugin}");
    }
}

#[tokio::test]
async fn p3_scores_and_subsets_leave_those_that_fit() {
    let servers = Backend::start_many::<3>("s").await;
    let plugins = [
        in_place("Subset", json!({"header": "x-zone", "label": "zone", "whenEmpty": "None"})),
        in_place("Score", json!({"order": "most"})),
    ];
    let rig = Rig::start(&plugins, &servers, |place, backend| {
        backend.score = [5, 5, 9][place];
        backend.labels = [("zone".to_owned(), ["a", "a", "b"][place].to_owned())].into();
    })
    .await;
    assert_eq!(answers(&rig, 6).await, [("s-3".to_owned(), 6)].into());
    let mut in_a = BTreeSet::new();
    for _ in 0..6 {
        in_a.insert(rig.send(Request::get("/").header("x-zone", "a")).await.text());
    }
    assert_eq!(in_a, ["s-1".to_owned(), "s-2".to_owned()].into(), "the pool's method picks among the tied");
    assert_eq!(rig.send(Request::get("/").header("x-zone", "c")).await.status, 503);
}

#[tokio::test]
async fn p4_a_sticky_cookie_keeps_a_client_at_its_backend_and_is_set_only_when_it_changes() {
    for value in ["opaque", "plain"] {
        let servers = Backend::start_many::<3>("s").await;
        let sticky = in_place("Stickiness", json!({"cookie": "srv", "value": value, "sameSite": "Lax"}));
        let rig = Rig::start(&[sticky], &servers, |_, _| ()).await;
        let first = rig.get("/").await;
        let cookie = first.header("set-cookie").to_owned();
        assert!(cookie.starts_with("srv=") && cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax"), "{cookie}");
        let pair = cookie.split(';').next().unwrap();
        for _ in 0..6 {
            let again = rig.send(Request::get("/").header("cookie", pair)).await;
            assert_eq!((again.text(), again.header("set-cookie")), (first.text(), ""));
        }
        for forged in ["srv=", "srv=b9@10.0.0.1:80", "srv=0123456789abcdef"] {
            let replaced = rig.send(Request::get("/").header("cookie", forged)).await;
            assert_eq!(replaced.status, 200);
            assert!(replaced.header("set-cookie").starts_with("srv="), "{forged} is replaced");
        }
        let number: usize = first.text().strip_prefix("s-").unwrap().parse().unwrap();
        servers[number - 1].stop().await;
        let moved = rig.send(Request::get("/").header("cookie", pair)).await;
        assert!(moved.status == 200 && moved.text() != first.text());
        assert_ne!(moved.header("set-cookie").split(';').next().unwrap(), pair);
    }
}

#[tokio::test]
async fn p4_headers_of_request_and_response_say_what_templates_say() {
    let request = json!({
        "set": {"x-from": "{client.address} for {request.host}{request.path}", "x-to": "{backend.name}@{backend.address}"},
        "add": {"x-tag": "weir"},
        "remove": ["x-secret"],
    });
    let response = json!({"set": {"x-pool": "{pool.name}", "x-by": "{backend.name}"}, "remove": ["content-type"]});
    let plugins = [in_place("RequestHeaders", request), in_place("ResponseHeaders", response)];
    let (rig, server) = Rig::echo(&plugins).await;
    let sent = Request::get("/a?b=c").header("host", "shop").header("x-secret", "1").header("x-tag", "client");
    let answer = rig.send(sent).await;
    let echo = answer.json();
    assert_eq!(received(&echo, "x-from"), ["127.0.0.1 for shop/a"]);
    assert_eq!(received(&echo, "x-to"), [format!("b1@{}", server.address())]);
    assert_eq!(received(&echo, "x-tag"), ["client", "weir"]);
    assert!(received(&echo, "x-secret").is_empty());
    assert_eq!((answer.header("x-by"), answer.header("content-type")), ("b1", ""));
    assert!(answer.header("x-pool").ends_with("/web"));
}

#[tokio::test]
async fn p4_a_rewritten_request_has_another_path_and_host() {
    let param = json!({"prefix": {"from": "/api", "to": "/v2"}, "host": "internal"});
    let (rig, _server) = Rig::echo(&[in_place("Rewrite", param)]).await;
    let echo = rig.send(Request::get("/api/x?q=1").header("host", "shop")).await.json();
    assert_eq!(echo["target"], "/v2/x?q=1");
    assert_eq!((received(&echo, "host"), received(&echo, "x-forwarded-host")), (vec!["internal"], vec!["shop"]));
    assert_eq!(rig.get("/apix").await.json()["target"], "/apix");
}

#[tokio::test]
async fn p2_redirects_and_responses_end_the_request() {
    let location = in_place("Redirect", json!({"scheme": "https", "host": "shop.example.com", "status": 308}));
    let (rig, server) = Rig::echo(&[location]).await;
    let redirect = rig.get("/a?b=c").await;
    assert_eq!((redirect.status, redirect.header("location")), (308, "https://shop.example.com/a?b=c"));
    assert_eq!(server.requests(), 0);

    let to_path = in_place("Redirect", json!({"location": "{request.path}/"}));
    let (rig, _server) = Rig::echo(&[to_path]).await;
    assert_eq!(rig.get("//evil.example").await.header("location"), "/evil.example/", "no other host");

    let teapot = in_place("Respond", json!({"status": 418, "body": "short", "headers": {"x-kind": "pot"}}));
    let (rig, server) = Rig::echo(&[teapot]).await;
    let answer = rig.get("/").await;
    assert_eq!((answer.status, answer.text().as_str(), answer.header("x-kind")), (418, "short", "pot"));
    assert_eq!(server.requests(), 0);
}

#[tokio::test]
async fn p4_scripts_of_listed_origins_come_in_and_can_read_refusals() {
    let cors = in_place("Cors", json!({"origins": ["https://*.example.com"], "credentials": true, "maxAge": "10m"}));
    let refuse = in_place("Require", json!({"headers": [{"name": "x-key", "type": "Present"}]}));
    let (rig, server) = Rig::echo(&[cors, refuse]).await;
    let preflight = || Request::options("/").header("access-control-request-method", "PUT");
    let answer = rig.send(preflight().header("origin", "https://a.example.com")).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (204, "https://a.example.com"));
    assert_eq!(answer.header("access-control-max-age"), "600");
    let other = rig.send(preflight().header("origin", "https://evil.com")).await;
    assert_eq!((other.status, other.header("access-control-allow-origin")), (204, ""));
    assert_eq!(server.requests(), 0);
    let refused = rig.send(Request::get("/").header("origin", "https://a.example.com")).await;
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (403, "https://a.example.com"));
    let let_in = rig.send(Request::get("/").header("origin", "https://a.example.com").header("x-key", "1")).await;
    assert_eq!((let_in.status, let_in.header("access-control-allow-credentials")), (200, "true"));
    assert_eq!(rig.send(Request::get("/").header("x-key", "1")).await.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn p1_a_rate_limit_is_one_for_all_workers() {
    // One in three hours: none is added while the test runs.
    let limit = in_place("RateLimit", json!({"rate": 0.0001, "burst": 5, "key": {"header": "x-user"}}));
    let (rig, server) = Rig::echo(&[limit]).await;
    let mut statuses = Vec::new();
    for _ in 0..20 {
        // A connection each, so that every worker gets some.
        statuses.push(rig.send(Request::get("/").header("x-user", "ada")).await.status);
    }
    let let_in = statuses.iter().take_while(|status| **status == 200).count();
    assert_eq!((let_in, server.requests()), (5, 5), "{statuses:?}");
    assert!(statuses[5..].iter().all(|status| *status == 429), "{statuses:?}");
    let refused = rig.send(Request::get("/").header("x-user", "ada")).await;
    assert_eq!((refused.header("ratelimit-limit"), refused.header("ratelimit-remaining")), ("5", "0"));
    assert!(refused.header("retry-after").parse::<u64>().unwrap() > 1_000);
    assert_eq!(rig.send(Request::get("/").header("x-user", "bob")).await.status, 200);
    assert_eq!(rig.get("/").await.status, 200, "without the header by address");
}

#[tokio::test]
async fn p1_a_rate_limit_by_address_believes_trusted_proxies_only() {
    let limit = in_place("RateLimit", json!({"rate": 0.0001, "burst": 1, "trustedHops": 1}));
    let (rig, _server) = Rig::echo(&[limit]).await;
    let from = async |list: &str| rig.send(Request::get("/").header("x-forwarded-for", list)).await.status;
    assert_eq!((from("10.0.0.1").await, from("10.0.0.2").await, from("10.0.0.1").await), (200, 200, 429));
    assert_eq!(from("10.0.0.9, 10.0.0.1").await, 429, "what a client says of itself is not believed");
}

#[tokio::test]
async fn p1_a_rate_limit_by_backend_counts_each_choice() {
    let servers = Backend::start_many::<2>("s").await;
    let limit = in_place("RateLimit", json!({"rate": 0.0001, "burst": 2, "key": "backend"}));
    let rig = Rig::start(&[limit], &servers, |_, _| ()).await;
    let mut let_in = 0;
    for _ in 0..10 {
        let_in += u32::from(rig.get("/").await.status == 200);
    }
    assert_eq!((let_in, servers[0].requests(), servers[1].requests()), (4, 2, 2));
}

#[tokio::test]
async fn p1_only_known_keys_and_passwords_come_in() {
    let keys = with_secret(in_place("ApiKey", json!({"secretName": "keys"})), "keys/ada", "k1\n");
    let (rig, _server) = Rig::echo(&[keys]).await;
    assert_eq!(rig.get("/").await.status, 401);
    assert_eq!(rig.send(Request::get("/").header("x-api-key", "k2")).await.status, 401);
    assert_eq!(rig.send(Request::get("/").header("x-api-key", "k1")).await.status, 200);

    let users =
        "ada:$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1";
    let auth = with_secret(in_place("BasicAuth", json!({"secretName": "u", "realm": "shop"})), "u/auth", users);
    let (rig, _server) = Rig::echo(&[auth]).await;
    let challenged = rig.get("/").await;
    assert_eq!(challenged.status, 401);
    assert_eq!(challenged.header("www-authenticate"), "Basic realm=\"shop\", charset=\"UTF-8\"");
    // ada:Hello world!, twice: the second time it is remembered.
    for _ in 0..2 {
        let right = Request::get("/").header("authorization", "Basic YWRhOkhlbGxvIHdvcmxkIQ==");
        assert_eq!(rig.send(right).await.status, 200);
    }
    let wrong = Request::get("/").header("authorization", "Basic YWRhOkhlbGxvIHdvcmxk");
    assert_eq!(rig.send(wrong).await.status, 401);
}

#[tokio::test]
async fn p1_addresses_are_let_in_by_list_and_trusted_proxies_are_believed() {
    let (rig, _server) = Rig::echo(&[in_place("AllowAddresses", json!({"deny": ["127.0.0.0/8"]}))]).await;
    assert_eq!(rig.get("/").await.status, 403);
    let param = json!({"allow": ["10.0.0.0/8"], "trustedHops": 1});
    let (rig, _server) = Rig::echo(&[in_place("AllowAddresses", param)]).await;
    assert_eq!(rig.get("/").await.status, 403);
    let from = |list: &str| Request::get("/").header("x-forwarded-for", list);
    assert_eq!(rig.send(from("10.1.2.3")).await.status, 200);
    assert_eq!(rig.send(from("10.1.2.3, 9.9.9.9")).await.status, 403, "only the last hop is believed");
}

#[tokio::test]
async fn p1_faults_on_purpose_are_no_failures_of_the_plugin() {
    let (rig, server) = Rig::echo(&[in_place("Fault", json!({"abort": {"status": 502}}))]).await;
    assert_eq!((rig.get("/").await.status, server.requests()), (502, 0));
    let never = json!({"abort": {"status": 502, "percent": 0}, "delay": {"time": "150ms"}});
    let (rig, _server) = Rig::echo(&[in_place("Fault", never)]).await;
    let began = Instant::now();
    assert_eq!(rig.get("/").await.status, 200);
    assert!(began.elapsed() >= Duration::from_millis(150), "longer than a plugin may take otherwise");
}
