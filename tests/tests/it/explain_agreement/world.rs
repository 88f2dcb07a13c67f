//! A random configuration, and requests that fit it more or less.

use std::net::SocketAddr;

use http::{HeaderName, HeaderValue, Request};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use weir_tests::client::{Body, full};
use weir_tests::manifest::{backend, pool};

/// How many pools there are.
pub(super) const POOLS: usize = 40;
/// How many rules they share.
const RULES: usize = 24;

/// Hosts of rules; `*` = any.
const HOSTS: [&str; 5] = ["*", "a.test", "*.test", "b.a.test", "*.a.test"];
const PATHS: [&str; 8] = [
    "",
    "path: {type: Prefix, value: /api}",
    "path: {type: Prefix, value: /api/v1}",
    "path: {type: Exact, value: /api}",
    "path: {type: Exact, value: /}",
    "path: {type: Regex, value: '^/api/[0-9]+'}",
    "path: {type: Regex, value: 'v[12]', order: 1}",
    "path: {type: Prefix, value: /shop}",
];
const CONDITIONS: [&str; 6] = [
    "",
    "methods: [GET, PUT]",
    "headers: [{name: x-env, type: Exact, value: canary}]",
    "headers: [{name: x-env, type: Present}]",
    "query: [{name: v, type: Regex, value: '^[12]$'}]",
    "methods: [POST], query: [{name: v, type: Exact, value: '2'}]",
];
const METHODS: [&str; 11] = [
    "RoundRobin}",
    "RoundRobin}",
    "Random}",
    "LeastConnections}",
    "LeastLoad}",
    "PowerOfTwo}",
    "PeakEwma}",
    "FirstAlive}",
    "Fill}",
    "Hash, hash: {source: Header, name: x-user}}",
    "Hash, hash: {source: Query, name: v}}",
];
const PLUGINS: [&str; 22] = [
    "{name: script}",
    "{name: script, param: {drop: 1}}",
    "{type: Random}",
    "{type: LeastConnections}",
    "{type: LeastLoad}",
    "{type: Fill}",
    "{type: Score, param: {order: most}}",
    "{type: WeightedScore, param: {order: most}}",
    "{type: Hash, param: {source: Header, name: x-user}}",
    "{type: Subset, param: {header: x-zone, label: zone}}",
    "{type: Stickiness, param: {cookie: srv, value: plain}}",
    "{type: Require, param: {headers: [{name: x-user, type: Present}]}}",
    "{type: RequestHeaders, param: {set: {x-env: canary}}}",
    "{type: RequestHeaders, param: {set: {x-user: eve}}}",
    "{type: Rewrite, param: {prefix: {from: /api, to: /v2}}}",
    "{type: Redirect, param: {location: 'https://elsewhere.test/', status: 307}}",
    "{type: Respond, param: {status: 418}}",
    "{type: RateLimit, param: {rate: 0.001, burst: 40, key: pool}}",
    "{type: RateLimit, param: {rate: 0.001, burst: 20, key: backend}}",
    "{type: AllowAddresses, param: {deny: [10.0.0.0/8]}}",
    "{type: Fault, param: {abort: {status: 503, percent: 0}}}",
    "{type: Fault, param: {abort: {status: 504}}}",
];

/// Halts, drops candidates and sets headers, as the request says.
const SCRIPT: &str = r#"
---
apiVersion: weir.dev/v1alpha1
kind: Plugin
metadata: {name: script, namespace: test}
spec:
  type: Lua
  timeout: 5s
  lua:
    source: |
      return {
        pre = function(request, session, param)
          count("calls", 1)
          store.set("calls", (store.get("calls") or 0) + 1)
          if request.headers["x-halt"] == "pre" then return {status = 409, message = "halted"} end
          if request.headers["x-fail"] then error("as it is told") end
          session.set_request_header("x-script", "ran")
        end,
        balance = function(request, session, param)
          local drop = param and param.drop or 0
          local left = {}
          for place, server in ipairs(session.servers) do
            if place ~= drop and request.query["drop"] ~= server.name:sub(-1) then table.insert(left, server) end
          end
          return left
        end,
        post = function(request, session, param)
          if request.headers["x-halt"] == "post" and session.server then return {status = 410} end
        end,
      }
"#;

/// What is known of it.
pub(super) struct World {
    pub(super) manifest: String,
    /// Pool and Backend, of those that are down from their first request on.
    pub(super) dead: Vec<(String, String)>,
    /// The same of those with room for one, which hold it.
    pub(super) full: Vec<(String, String)>,
    rng: SmallRng,
}

/// Where servers are.
pub(super) struct Servers {
    pub(super) good: Vec<SocketAddr>,
    pub(super) dead: SocketAddr,
    pub(super) holding: SocketAddr,
}

impl World {
    pub(super) fn new(seed: u64, servers: &Servers) -> Self {
        let rng = SmallRng::seed_from_u64(seed);
        let mut world = Self { manifest: SCRIPT.to_owned(), dead: Vec::new(), full: Vec::new(), rng };
        let rules: Vec<String> = (0..RULES).map(|_| world.rule()).collect();
        for number in 0..POOLS {
            world.add_pool(number, &rules);
            for place in 0..world.rng.random_range(0..5) {
                world.add_backend(number, place, servers);
            }
        }
        world
    }

    fn one_of(&mut self, all: &[&'static str]) -> &'static str {
        all.choose(&mut self.rng).unwrap()
    }

    fn hits(&mut self, chance: f64) -> bool {
        self.rng.random_bool(chance)
    }

    fn rule(&mut self) -> String {
        let host = match self.one_of(&HOSTS) {
            "*" => String::new(),
            host => format!("hosts: ['{host}']"),
        };
        let parts = [host.as_str(), self.one_of(&PATHS), self.one_of(&CONDITIONS)];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        format!("{{{}}}", parts.join(", "))
    }

    fn add_pool(&mut self, number: usize, rules: &[String]) {
        let mut matching: Vec<String> = (0..2).map(|_| rules.choose(&mut self.rng).unwrap().clone()).collect();
        matching.push(format!("{{hosts: [p{number}.own.test]}}"));
        let (priority, weight) = (self.rng.random_range(-1..2), self.rng.random_range(0..4));
        let plugins: Vec<&str> = match self.rng.random_range(0..3) {
            0 => (0..self.rng.random_range(1..4)).map(|_| *PLUGINS.choose(&mut self.rng).unwrap()).collect(),
            _ => Vec::new(),
        };
        let queue = if self.hits(0.5) { "{limit: 0}" } else { "{limit: 8, timeout: 20ms}" };
        let direct = if self.hits(0.5) { "{header: x-backend}" } else { "{cookie: backend}" };
        let spec = format!(
            "enabled: {}, priority: {priority}, weight: {weight}, match: [{}], balance: {{method: {}, plugins: [{}], \
             queue: {queue}, direct: {direct}, timeouts: {{read: 300s}}, \
             health: {{passive: {{maxFails: 1, failTimeout: 3600s}}}}",
            !self.hits(0.1),
            matching.join(", "),
            self.one_of(&METHODS),
            plugins.join(", "),
        );
        self.manifest += &pool(&format!("p{number}"), &spec);
    }

    fn add_backend(&mut self, number: usize, place: usize, servers: &Servers) {
        let (pool, name) = (format!("p{number}"), format!("p{number}-{place}"));
        let (address, capacity) = match self.rng.random_range(0..10) {
            0 => (servers.dead, 0),
            1 => (servers.holding, 1),
            _ => (*servers.good.choose(&mut self.rng).unwrap(), self.rng.random_range(0..3)),
        };
        let role = self.one_of(&["Active", "Active", "Active", "Standby", "Backup"]);
        let zone = self.one_of(&["a", "b"]);
        let weight = if capacity == 1 { 1 } else { self.rng.random_range(0..4) };
        let enabled = !self.hits(0.1) || address == servers.holding || address == servers.dead;
        let score = self.rng.random_range(0..3);
        let more = format!(
            "role: {role}, weight: {weight}, enabled: {enabled}, capacity: {capacity}, score: {score}, \
             labels: {{zone: {zone}}}"
        );
        self.manifest += &backend(&name, &pool, address, &more);
        let known = (pool, name);
        if address == servers.dead {
            self.dead.push(known);
        } else if address == servers.holding {
            self.full.push(known);
        }
    }

    /// A request: method, host, target, headers.
    pub(super) fn request(&mut self) -> Asked {
        let pool = self.rng.random_range(0..POOLS);
        let host = match self.rng.random_range(0..8) {
            0 => format!("p{pool}.own.test"),
            1 => "A.Test:8080".to_owned(),
            _ => self.one_of(&["a.test", "b.a.test", "c.a.test", "c.test", "other.example"]).to_owned(),
        };
        let path = self.one_of(&[
            "/",
            "/api",
            "/api/",
            "/api/7",
            "/api/v1/x",
            "/api/../shop",
            "/apix",
            "/shop/v2",
            "/%61pi",
            "/x",
            "/a%zz",
        ]);
        let query = self.one_of(&["", "", "?v=1", "?v=2", "?v=3&drop=1", "?drop=0"]);
        let method = self.one_of(&["GET", "GET", "POST", "PUT", "DELETE"]);
        Asked { method, host, target: format!("{path}{query}"), headers: self.headers(pool) }
    }

    fn headers(&mut self, pool: usize) -> Vec<(&'static str, String)> {
        let backend = format!("p{pool}-{}", self.rng.random_range(0..5));
        // Those that hold a request would hold another one.
        let named = if self.full.iter().any(|(_, name)| *name == backend) { "nobody".to_owned() } else { backend };
        let user = format!("u{}", self.rng.random_range(0..20));
        let all = [
            (0.2, "x-env", "canary".to_owned()),
            (0.1, "x-env", "other".to_owned()),
            (0.5, "x-user", user),
            (0.3, "x-zone", self.one_of(&["a", "b", "c"]).to_owned()),
            (0.1, "x-halt", self.one_of(&["pre", "post"]).to_owned()),
            (0.05, "x-fail", "1".to_owned()),
            (0.1, "x-backend", named.clone()),
            (0.1, "cookie", format!("backend={named}; srv={named}")),
        ];
        all.into_iter().filter(|(chance, ..)| self.hits(*chance)).map(|(_, name, value)| (name, value)).collect()
    }
}

/// A request that may be sent, or asked about.
#[derive(Debug)]
pub(super) struct Asked {
    method: &'static str,
    host: String,
    target: String,
    headers: Vec<(&'static str, String)>,
}

impl Asked {
    /// As a client sends it.
    pub(super) fn request(&self) -> Request<Body> {
        let mut request = Request::builder().method(self.method).uri(&self.target).body(full("")).unwrap();
        request.headers_mut().insert("host", HeaderValue::from_str(&self.host).unwrap());
        for (name, value) in &self.headers {
            request.headers_mut().append(HeaderName::from_static(name), value.parse().unwrap());
        }
        request
    }

    /// As a question.
    pub(super) fn question(&self) -> serde_json::Value {
        let header = |(name, value): &(&str, String)| serde_json::json!({"name": name, "value": value});
        serde_json::json!({
            "method": self.method,
            "url": format!("http://{}{}", self.host, self.target),
            "headers": self.headers.iter().map(header).collect::<Vec<_>>(),
            "client": "127.0.0.1",
        })
    }
}
