//! Everything below `deploy/examples/` loads, and the ancestors' examples do what their pages say.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use http::Request;
use weir_tests::client::full;
use weir_tests::load::bodies;
use weir_tests::manifest::{example_folders, example_with};
use weir_tests::program;
use weir_tests::{Backend, Weir, eventually, send};

/// An example in force, its backends being mock servers that answer with their names.
struct Example {
    weir: Weir,
    servers: BTreeMap<String, Backend>,
    files: Vec<(String, String)>,
}

impl Example {
    async fn start(name: &str, backends: &[&str]) -> Self {
        let mut servers = BTreeMap::new();
        for backend in backends {
            servers.insert((*backend).to_owned(), Backend::start(backend).await);
        }
        let files = example_with(name, |backend| servers[backend].address()).unwrap();
        let weir = files.iter().fold(Weir::builder(), |b, (file, text)| b.file(file, text)).start().await;
        Self { weir, servers, files }
    }

    fn address(&self) -> SocketAddr {
        self.weir.address()
    }

    /// Which servers answer 12 requests.
    async fn answering(&self, path: &'static str) -> Vec<String> {
        bodies(self.address(), path, 12, 1).await.unwrap().into_keys().collect()
    }

    async fn stop(&self, names: [&str; 2]) {
        for name in names {
            self.servers[name].stop().await;
        }
    }

    fn file(&self, name: &str) -> &str {
        &self.files.iter().find(|(file, _)| file == name).unwrap().1
    }
}

#[test]
fn every_example_passes_check() {
    for path in example_folders() {
        let output = program::run("weir", &["check", path.to_str().unwrap()]);
        assert!(output.status.success(), "{}: {}", path.display(), String::from_utf8_lossy(&output.stdout));
    }
}

const LUA: [&str; 6] = ["a", "b", "c", "d", "dr-1", "dr-2"];

#[tokio::test]
async fn lua_resty_upstream_fails_over_from_primary_to_test_to_dr_and_back() {
    let example = Example::start("lua-resty-upstream", &LUA).await;
    assert_eq!(example.answering("/").await, ["a", "b"]);
    example.stop(["a", "b"]).await;
    assert_eq!(example.answering("/").await, ["c", "d"]);
    example.stop(["c", "d"]).await;
    assert_eq!(example.answering("/").await, ["dr-1", "dr-2"]);
    // Editing a backend's `enabled` off and on is the page's down_host and up_host: its counters begin anew.
    for (file, names) in [("test.yaml", ["c", "d"]), ("primary.yaml", ["a", "b"])] {
        for name in names {
            example.servers[name].restart();
        }
        down_host(&example, file, names).await;
        up_host(&example, file).await;
        assert_eq!(example.answering("/").await, names);
    }
}

#[tokio::test]
async fn lua_resty_upstream_shares_by_weight() {
    let example = Example::start("lua-resty-upstream", &LUA).await;
    example.stop(["a", "b"]).await;
    example.stop(["c", "d"]).await;
    let shares = bodies(example.address(), "/", 60, 1).await.unwrap();
    assert_eq!((shares["dr-1"], shares["dr-2"]), (20, 40));
}

#[tokio::test]
async fn h6_lua_resty_upstream_host_taken_down_by_hand_never_returns_by_itself() {
    let example = Example::start("lua-resty-upstream", &LUA).await;
    down_host(&example, "primary.yaml", ["a"]).await;
    assert_eq!(example.answering("/").await, ["b"]);
    // Not even when it would be the only one left: the next pool takes over.
    example.servers["b"].stop().await;
    assert_eq!(example.answering("/").await, ["c", "d"]);
    assert_eq!(example.servers["a"].requests(), 0);
    up_host(&example, "primary.yaml").await;
    assert_eq!(example.answering("/").await, ["a"]);
}

async fn down_host<const N: usize>(example: &Example, file: &str, names: [&str; N]) {
    let text = names.iter().fold(example.file(file).to_owned(), |text, name| {
        text.split("---\n").map(|document| disabled_if(document, name)).collect::<Vec<_>>().join("---\n")
    });
    example.weir.write(file, &text).await;
}

fn disabled_if(document: &str, name: &str) -> String {
    let this = document.contains("kind: Backend") && document.contains(&format!("name: {name}\n"));
    if this { document.replace("spec:\n", "spec:\n  enabled: false\n") } else { document.to_owned() }
}

async fn up_host(example: &Example, file: &str) {
    example.weir.write(file, example.file(file)).await;
}

const MONKEY: [&str; 8] = ["host1", "host2", "host3", "host4", "host5", "port-80", "port-81", "port-82"];

#[tokio::test]
async fn monkey_sends_php_to_the_first_alive_and_static_files_round_robin() {
    let example = Example::start("monkey", &MONKEY).await;
    assert_eq!(example.answering("/index.php").await, ["host4"]);
    for path in ["/a.jpg", "/a.png", "/a.css", "/a.js", "/b/a.html"] {
        let shares = bodies(example.address(), path, 12, 1).await.unwrap();
        assert_eq!(shares, ["host1", "host2", "host3"].map(|h| (h.to_owned(), 4)).into(), "{path}");
    }
    example.servers["host4"].stop().await;
    assert_eq!(example.answering("/index.php").await, ["host5"]);
}

#[tokio::test]
async fn monkey_server_list_with_repeated_names_is_weights_three_two_one() {
    let example = Example::start("monkey", &MONKEY).await;
    let shares = bodies(example.address(), "/anything", 60, 1).await.unwrap();
    assert_eq!((shares["port-80"], shares["port-81"], shares["port-82"]), (30, 20, 10));
}

#[tokio::test]
async fn monkey_defaults_take_no_requests_themselves() {
    let example = Example::start("monkey", &MONKEY).await;
    let state = eventually("the state", async || example.weir.state("monkey/proxy-defaults").await).await;
    assert_eq!(state["backends"].as_array().unwrap().len(), 0);
    assert_eq!(example.weir.get("/").await.status, 200);
}

const X0: [&str; 5] = ["app-1", "app-2", "app-standby", "app-backup", "warrior"];

#[tokio::test]
async fn x0_director_fails_over_from_active_to_standby_to_backup() {
    let example = Example::start("x0-director", &X0).await;
    assert_eq!(example.answering("/").await, ["app-1", "app-2"]);
    assert_eq!(example.answering("/warrior").await, ["warrior"]);
    example.stop(["app-1", "app-2"]).await;
    assert_eq!(example.answering("/").await, ["app-standby"]);
    example.servers["app-standby"].stop().await;
    assert_eq!(example.answering("/").await, ["app-backup"]);
}

#[tokio::test]
async fn x0_director_lets_clients_name_a_backend_by_a_cookie() {
    let example = Example::start("x0-director", &X0).await;
    for name in ["app-2", "app-standby", "app-backup"] {
        let request = Request::get("/").header("cookie", format!("X-Backend={name}")).body(full("")).unwrap();
        assert_eq!(send(example.address(), request).await.unwrap().text(), name);
    }
}
