//! What one change costs the control thread of a proxy that holds 5,000 pools and 15,000 backends (P5): from
//! the delta to the live table and the report about it.
#![allow(missing_docs, clippy::unwrap_used)]

use std::sync::Arc;

use arc_swap::ArcSwap;
use divan::Bencher;
use weir_data_plane::discovery::apply::Applier;
use weir_data_plane::discovery::report::Reports;
use weir_data_plane::listener::Served;
use weir_data_plane::plugin::wasm::Modules;
use weir_data_plane::pool::runtime::Environment;
use weir_data_plane::table::{Table, TableHandle};
use weir_data_plane::tls::CertificateStore;
use weir_proto::model::{self, Address, Backend, Endpoints, Key, ResourceName, ServiceEndpoint};
use weir_proto::model::{HostPattern, PathMatch, PoolProtocol, Rule};
use weir_proto::pb;
use weir_proto::version::Version;

const POOLS: u32 = 5_000;
const BACKENDS_PER_POOL: u32 = 3;

fn main() {
    divan::main();
}

/// How the rules of the pools differ.
#[derive(Debug, Clone, Copy)]
enum Rules {
    /// Each pool has a host of its own.
    Hosts,
    /// All pools share one host, and each has a path of its own.
    Paths,
}

const RULES: [Rules; 2] = [Rules::Hosts, Rules::Paths];

struct Proxy {
    applier: Applier,
    table: TableHandle,
    reports: Reports,
}

impl Proxy {
    fn new(rules: Rules) -> Self {
        let table = TableHandle::new(ArcSwap::from_pointee(Table::default()));
        let environment = Environment::without_tasks(4);
        let served =
            |name: &str| Served { name: name.to_owned(), protocol: PoolProtocol::Http, tls: false, proxy: false };
        let listeners = Arc::new(["http", "https"].map(served));
        let applier =
            Applier::new(listeners, table.clone(), environment, Modules::default(), CertificateStore::default());
        let mut proxy = Self { applier, table, reports: Reports::default() };
        let pools = (0..POOLS).map(|n| pool(rules, n, 1));
        let backends = (0..POOLS * BACKENDS_PER_POOL).map(backend);
        let endpoints = (0..POOLS).map(|n| endpoints(n, &[n + 1, n + 2]));
        proxy.apply(endpoints.chain(backends).chain(pools).collect(), Vec::new());
        proxy
    }

    fn apply(&mut self, upserts: Vec<pb::Resource>, removed: Vec<pb::Key>) {
        let applied = self.applier.apply(upserts, removed);
        assert!(applied.rejected.is_empty());
        self.reports.refresh(&self.table.load(), &applied.pools);
    }
}

fn name(kind: &str, number: u32) -> ResourceName {
    ResourceName::new("bench", &format!("{kind}-{number:05}")).unwrap()
}

fn resource(key: Key, body: pb::resource::Body) -> pb::Resource {
    pb::Resource { key: Some((&key).into()), version: Version::of(&body).to_wire(), body: Some(body) }
}

fn pool(rules: Rules, number: u32, weight: u32) -> pb::Resource {
    let mut pool = model::Pool::new(name("pool", number));
    let rule = match rules {
        Rules::Hosts => {
            Rule { hosts: vec![HostPattern::parse(&format!("shop{number}.example.com")).unwrap()], ..Rule::default() }
        }
        Rules::Paths => {
            Rule { path: Some(PathMatch::prefix(&format!("/api/service{number}/v1")).unwrap()), ..Rule::default() }
        }
    };
    pool.rules = vec![rule];
    pool.weight = weight;
    resource(Key::pool(pool.name.clone()), (&pool).into())
}

/// The first of each pool names a Service.
fn backend(number: u32) -> pb::Resource {
    let backend = Backend {
        name: name("backend", number),
        pool: name("pool", number / BACKENDS_PER_POOL),
        address: match number % BACKENDS_PER_POOL {
            0 => Address::Service,
            _ => Address::Fixed(std::net::SocketAddr::from((std::net::Ipv4Addr::from(number), 80)).into()),
        },
        weight: 1,
        enabled: true,
        labels: Default::default(),
        score: 0,
        proxy_protocol: None,
        tls: None,
        role: model::Role::default(),
        capacity: 0,
        protocol: Default::default(),
    };
    resource(Key::backend(backend.name.clone()), (&backend).into())
}

fn endpoints(pool: u32, hosts: &[u32]) -> pb::Resource {
    let endpoint = |host: &u32| ServiceEndpoint {
        address: (std::net::Ipv4Addr::from(*host), 8080).into(),
        terminating: false,
        labels: [("zone".to_owned(), "a".to_owned())].into(),
    };
    let name = name("backend", pool * BACKENDS_PER_POOL);
    let endpoints = Endpoints { name: name.clone(), endpoints: hosts.iter().map(endpoint).collect() };
    resource(Key::endpoints(name), (&endpoints).into())
}

/// A pod comes and another goes.
#[divan::bench]
fn endpoints_change(bencher: Bencher<'_, '_>) {
    let mut proxy = Proxy::new(Rules::Hosts);
    let mut next = 0;
    bencher.bench_local(|| {
        next += 1;
        proxy.apply(vec![endpoints(77, &[next, next + 1])], Vec::new());
    });
}

/// One Service with a thousand endpoints, of which one comes and another goes.
#[divan::bench]
fn endpoints_change_of_a_large_service(bencher: Bencher<'_, '_>) {
    let mut proxy = Proxy::new(Rules::Hosts);
    let mut next = 0;
    bencher.bench_local(|| {
        next += 1;
        let hosts: Vec<u32> = (next..next + 1_000).collect();
        proxy.apply(vec![endpoints(77, &hosts)], Vec::new());
    });
}

/// A pool comes; the next time it goes again.
#[divan::bench(args = RULES)]
fn a_pool_more_and_less(bencher: Bencher<'_, '_>, rules: Rules) {
    let mut proxy = Proxy::new(rules);
    let mut there = false;
    bencher.bench_local(|| {
        there = !there;
        match there {
            true => proxy.apply(vec![pool(rules, POOLS, 1)], Vec::new()),
            false => proxy.apply(Vec::new(), vec![(&Key::pool(name("pool", POOLS))).into()]),
        }
    });
}

/// A pool changes, but not its rules.
#[divan::bench(args = RULES)]
fn a_pool_of_another_weight(bencher: Bencher<'_, '_>, rules: Rules) {
    let mut proxy = Proxy::new(rules);
    let mut weight = 0;
    bencher.bench_local(|| {
        weight = weight % 100 + 1;
        proxy.apply(vec![pool(rules, 4_321, weight)], Vec::new());
    });
}

/// The first table of a proxy.
#[divan::bench(args = RULES, sample_count = 5)]
fn everything(rules: Rules) -> Arc<Table> {
    Proxy::new(rules).table.load_full()
}
