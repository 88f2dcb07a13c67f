//! The chain example: those with the fewest connections, then one of them by chance.

use std::collections::BTreeMap;
use std::fs;

use serde::Deserialize;
use serde_json::Value;
use weir_proto::pb::{Plugin, Resource};
use weir_tests::load::bodies;
use weir_tests::manifest::example;
use weir_tests::scripted::{Session, backend, plugin, plugin_use, pool};
use weir_tests::stand::{built_in, lua};
use weir_tests::{Backend, DataPlane, RawClient, Scripted, eventually};

const REQUESTS: usize = 10_000;

/// The script of a Plugin of redx's example.
fn of_redx(name: &str) -> Plugin {
    let text = fs::read_to_string(example("plugins/lua/least-connections-random.yaml")).unwrap();
    let documents = serde_yaml::Deserializer::from_str(&text).map(|document| Value::deserialize(document).unwrap());
    let mut plugins = documents.filter(|resource| resource["kind"] == "Plugin" && resource["metadata"]["name"] == name);
    lua(plugins.next().unwrap()["spec"]["lua"]["source"].as_str().unwrap())
}

struct Rig {
    servers: [Backend; 5],
    proxy: DataPlane,
    _session: Session,
    _control: Scripted,
}

impl Rig {
    /// Five servers; a Pool of these two plugins.
    async fn start(least: Plugin, random: Plugin) -> Self {
        let servers: [Backend; 5] = Backend::start_many("s").await;
        let mut control = Scripted::start().await;
        let proxy = DataPlane::builder(control.address()).start_unready();
        let (mut session, _) = control.accept().await;
        let mut resources: Vec<Resource> = vec![plugin("least", least), plugin("random", random)];
        resources.push(pool("web", |pool| {
            pool.plugins = vec![plugin_use("least", ""), plugin_use("random", "")];
            // Some requests wait for the end of the test.
            if let Some(timeouts) = &mut pool.timeouts {
                timeouts.read_ms = 0;
            }
        }));
        resources.extend((1..).zip(&servers).map(|(i, server)| backend(&format!("b{i}"), "web", server.address())));
        assert_eq!(session.deliver(resources).await, []);
        Self { servers, proxy, _session: session, _control: control }
    }

    fn requests(&self) -> u64 {
        self.servers.iter().map(Backend::requests).sum()
    }

    /// Makes the last three servers busy with a request each; the connections of these.
    async fn busy(&self) -> Vec<RawClient> {
        let busy = &self.servers[2..];
        busy.iter().for_each(Backend::hold);
        let mut waiting = Vec::new();
        while busy.iter().any(|server| server.counts().in_flight() == 0) {
            let before = self.requests();
            // Waits without a deadline of its own.
            let mut client = RawClient::connect(self.proxy.address()).await.unwrap();
            client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
            waiting.push(client);
            eventually("the request arrives", async || (self.requests() > before).then_some(())).await;
        }
        waiting
    }

    /// Which servers answer.
    async fn answers(&self) -> BTreeMap<String, usize> {
        bodies(self.proxy.address(), "/", REQUESTS, 1).await.unwrap()
    }
}

/// Whether two shares are within three standard deviations of even.
fn is_even(counts: &BTreeMap<String, usize>) -> bool {
    let sigma = (REQUESTS as f64).sqrt() / 2.0;
    counts.values().all(|count| (*count as f64 - REQUESTS as f64 / 2.0).abs() < 3.0 * sigma)
}

async fn the_tied_share_evenly(least: Plugin, random: Plugin) {
    let rig = Rig::start(least, random).await;
    let _waiting = rig.busy().await;
    let held: Vec<u64> = rig.servers[2..].iter().map(Backend::requests).collect();
    let counts = rig.answers().await;
    assert_eq!(counts.keys().collect::<Vec<_>>(), ["s-1", "s-2"]);
    // Of 370 fair choices one is further away: it is asked again.
    assert!(is_even(&counts) || is_even(&rig.answers().await), "{counts:?}");
    let busy = &rig.servers[2..];
    assert_eq!(busy.iter().map(Backend::requests).collect::<Vec<_>>(), held, "none on the others");
    assert_eq!(busy.iter().map(|server| server.counts().in_flight()).sum::<u64>(), 3, "still busy");
}

#[tokio::test]
async fn p3_built_in_least_connections_leaves_two_that_are_tied_and_random_picks_evenly() {
    the_tied_share_evenly(built_in("LeastConnections"), built_in("Random")).await;
}

#[tokio::test]
async fn p3_redx_in_lua_least_connections_leaves_two_that_are_tied_and_random_picks_evenly() {
    the_tied_share_evenly(of_redx("least-connections"), of_redx("random")).await;
}
