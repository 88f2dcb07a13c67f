//! The manifests of `deploy/examples/plugins`, in both planes and with requests.

use std::collections::BTreeMap;
use std::fs;

use http::Request;
use weir_tests::client::full;
use weir_tests::load::bodies;
use weir_tests::manifest::{example, example_with};
use weir_tests::{Backend, Behaviour, Response, Weir, eventually, send};

/// What the example of a built-in type does to one request.
#[derive(Debug, Default)]
struct Effect {
    path: &'static str,
    /// Fields of the request's header.
    with: &'static [(&'static str, &'static str)],
    status: u16,
    /// Fields of the answer's header, and what they begin with.
    answer: &'static [(&'static str, &'static str)],
    /// Fields that the server receives, and what they are.
    received: &'static [(&'static str, &'static str)],
}

const FINE: Effect = Effect { path: "/api/a", with: &[], status: 200, answer: &[], received: &[] };

/// The effects of the example of this name; those of others are not known here, but it is used and answers.
fn effects(name: &str) -> Vec<Effect> {
    match name {
        "allow-addresses" => vec![
            Effect { status: 403, ..FINE },
            Effect { with: &[("x-forwarded-for", "192.0.2.7")], ..FINE },
            Effect { with: &[("x-forwarded-for", "192.0.2.66")], status: 403, ..FINE },
        ],
        "api-key" => vec![Effect { status: 401, ..FINE }, Effect { with: &[("x-api-key", "5b2c1f0e8d7a")], ..FINE }],
        "basic-auth" => vec![Effect { status: 401, answer: &[("www-authenticate", "Basic realm=\"shop\"")], ..FINE }],
        "cors" => vec![Effect {
            with: &[("origin", "https://a.shop.example.com")],
            answer: &[("access-control-allow-origin", "https://a.shop.example.com")],
            ..FINE
        }],
        "external-auth" => vec![Effect { status: 500, ..FINE }],
        "jwt" => vec![Effect { status: 401, ..FINE }],
        "compress" | "metrics" | "mirror" | "rate-limit" => vec![FINE],
        "redirect" => vec![Effect { status: 308, answer: &[("location", "https://redirect.test/api/a")], ..FINE }],
        "request-headers" => vec![Effect {
            with: &[("x-internal", "1")],
            received: &[("x-client", "127.0.0.1"), ("x-backend", "request-headers-1"), ("x-tag", "weir")],
            ..FINE
        }],
        "require" => vec![Effect { status: 404, ..FINE }, Effect { with: &[("x-version", "7")], ..FINE }],
        "respond" => vec![Effect { status: 503, answer: &[("retry-after", "3600")], ..FINE }],
        "response-headers" => vec![Effect { answer: &[("strict-transport-security", "max-age=31536000")], ..FINE }],
        "rewrite" => vec![Effect { received: &[("host", "internal.example.com")], ..FINE }],
        "stickiness" => vec![Effect { answer: &[("set-cookie", "srv=")], ..FINE }],
        _ => Vec::new(),
    }
}

/// The names of the examples of built-in types.
fn built_in_names() -> Vec<String> {
    let files = fs::read_dir(example("plugins/builtin")).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<String> = files.map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

/// A Pool for the host `NAME.test` that uses the Plugin of this name, and its Backend.
fn users(name: &str, server: &Backend) -> String {
    let head = |kind: &str, name: &str| {
        format!("---\napiVersion: weir.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}, namespace: demo}}\n")
    };
    let (pool, backend) = (head("Pool", name), head("Backend", &format!("{name}-1")));
    format!(
        "{pool}spec: {{match: [{{hosts: [{name}.test]}}], plugins: [{{name: {name}}}]}}\n\
         {backend}spec: {{pool: {name}, address: '{}'}}\n",
        server.address()
    )
}

async fn ask(weir: &Weir, name: &str, effect: &Effect) -> Response {
    let mut request = Request::get(effect.path).header("host", format!("{name}.test"));
    for (field, value) in effect.with {
        request = request.header(*field, *value);
    }
    send(weir.address(), request.body(full("")).unwrap()).await.unwrap()
}

fn check(name: &str, effect: &Effect, answer: &Response) {
    assert_eq!(answer.status, effect.status, "{name}: {}", answer.text());
    for (field, begins) in effect.answer {
        assert!(answer.header(field).starts_with(begins), "{name}: {field}: {}", answer.header(field));
    }
    for (field, value) in effect.received {
        let echo = answer.json();
        let received = |wanted: &&serde_json::Value| wanted[0] == *field && wanted[1] == *value;
        assert!(echo["headers"].as_array().unwrap().iter().any(|header| received(&header)), "{name} {field}: {echo}");
    }
}

#[tokio::test]
async fn p1_the_example_of_every_built_in_type_does_what_it_says() {
    let server = Backend::start("echo").await;
    server.set(Behaviour::Echo);
    let names = built_in_names();
    let files = example_with("plugins/builtin", |_| server.address()).unwrap();
    let pools: String = names.iter().map(|name| users(name, &server)).collect();
    let weir = files.iter().fold(Weir::builder().file("pools.yaml", &pools), |b, (file, text)| b.file(file, text));
    let weir = weir.start().await;
    for name in &names {
        assert!(weir.state(&format!("demo/{name}")).await.is_some(), "{name} is refused");
        for effect in effects(name) {
            check(name, &effect, &ask(&weir, name, &effect).await);
        }
        ask(&weir, name, &FINE).await;
        // Some are called after the response.
        let sum = async |metric| sum(&weir, metric, name).await;
        eventually("it is called", async || (sum("weir_plugin_duration_seconds_count").await > 0.0).then_some(()))
            .await;
        // The server that it would ask is none of this test's.
        let fails = name == "external-auth";
        assert_eq!(sum("weir_plugin_failures_total").await > 0.0, fails, "{name}");
    }
}

/// The sum over all samples of a metric of this Plugin.
async fn sum(weir: &Weir, metric: &str, name: &str) -> f64 {
    let labels = format!("plugin=\"demo/{name}\"");
    let samples = weir.samples(metric).await;
    samples.iter().filter(|(has, _)| has.contains(&labels)).map(|(_, value)| value).sum()
}

/// An example in Lua, its Backends being mock servers that answer with their names.
async fn in_lua(file: &str, backends: &[&str]) -> (Weir, BTreeMap<String, Backend>) {
    let mut servers = BTreeMap::new();
    for backend in backends {
        servers.insert((*backend).to_owned(), Backend::start(backend).await);
    }
    let nobody = ([127, 0, 0, 1], 9).into();
    let address = |name: &str| servers.get(name).map_or(nobody, Backend::address);
    let files = example_with("plugins/lua", address).unwrap();
    let (file, text) = files.iter().find(|(name, _)| name == file).unwrap();
    (Weir::builder().file(file, text).start().await, servers)
}

#[tokio::test]
async fn p2_the_example_quit_ends_requests_if_its_parameter_says_so() {
    let (weir, servers) = in_lua("quit.yaml", &["web-1"]).await;
    let answer = weir.get("/quits/a").await;
    assert_eq!((answer.status, answer.text().as_str()), (500, "I'm calling it quits"));
    assert_eq!((answer.header("content-type"), servers["web-1"].requests()), ("text/plain", 0));
    assert_eq!(weir.get("/a").await.text(), "web-1");
}

#[tokio::test]
async fn p3_the_example_chain_balances_by_connections_and_chance() {
    let (weir, servers) = in_lua("least-connections-random.yaml", &["web-1", "web-2"]).await;
    let shares = bodies(weir.address(), "/", 60, 1).await.unwrap();
    assert_eq!(shares.keys().collect::<Vec<_>>(), ["web-1", "web-2"]);
    for plugin in ["least-connections", "random"] {
        let labels = format!("plugin=\"chain/{plugin}\"");
        assert!(
            weir.samples("weir_plugin_duration_seconds_count")
                .await
                .iter()
                .any(|(l, n)| l.contains(&labels) && *n >= 60.0)
        );
    }
    assert_eq!(servers.values().map(Backend::requests).sum::<u64>(), 60);
}

#[tokio::test]
async fn p7_a_plugin_in_use_that_is_deleted_keeps_serving_with_its_last_good_version() {
    let server = Backend::start("web-1").await;
    let gate = |text: &str| {
        format!(
            "apiVersion: weir.dev/v1alpha1\nkind: Plugin\nmetadata: {{name: gate, namespace: demo}}\n\
         spec: {{type: Respond, param: {{status: 403, body: {text}}}}}\n"
        )
    };
    let weir = Weir::builder().file("gate.yaml", &gate("one")).file("pool.yaml", &users("gate", &server)).start().await;
    let asked = async || ask(&weir, "gate", &FINE).await;
    assert_eq!(asked().await.text(), "one");
    fs::remove_file(weir.folder().join("gate.yaml")).unwrap();
    // What is written now is read after the file has gone.
    weir.write("other.yaml", &weir_tests::manifest::pool("other", "match: [{hosts: [other.test]}]")).await;
    let answer = asked().await;
    assert_eq!((answer.status, answer.text().as_str(), server.requests()), (403, "one", 0));
    let page = weir_tests::get(weir.control_admin(), "/api/v1/resources").await.unwrap().text();
    assert!(page.contains("PluginNotFound") && page.contains("there is no Plugin demo/gate"), "{page}");
    weir.write("gate.yaml", &gate("two")).await;
    assert_eq!(asked().await.text(), "two");
    weir.write("pool.yaml", &users("gate", &server).replace("plugins: [{name: gate}]", "plugins: []")).await;
    assert_eq!((asked().await.text().as_str(), server.requests()), ("web-1", 1));
}
