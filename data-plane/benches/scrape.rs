//! What a scrape and a look at the state cost the control thread with 1,000 pools and 5,000 backends that
//! have all seen requests of each kind, and what telling the control plane of them costs.
#![allow(missing_docs, clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use divan::Bencher;
use weir_data_plane::discovery::report::Reports;
use weir_data_plane::pool::runtime::Environment;
use weir_data_plane::pool::{Pool, PoolRuntime, Target};
use weir_data_plane::stats::ProcessStats;
use weir_data_plane::stats::families::Families;
use weir_data_plane::table::Table;
use weir_proto::model::{self, Address, ResourceName};

const POOLS: usize = 1_000;
const BACKENDS_PER_POOL: u16 = 5;
const WORKERS: usize = 4;

fn main() {
    divan::main();
}

fn backend(pool: &ResourceName, number: u16) -> Arc<model::Backend> {
    Arc::new(model::Backend {
        name: pool.sibling(&format!("{}-{number}", pool.name())).unwrap(),
        pool: pool.clone(),
        address: Address::Fixed(std::net::SocketAddr::from(([10, 0, 0, 1], number + 1)).into()),
        weight: 1,
        enabled: true,
        labels: Default::default(),
        score: 0,
        role: model::Role::default(),
        capacity: 0,
        protocol: Default::default(),
        proxy_protocol: None,
        tls: None,
    })
}

fn pool(number: usize, environment: &Environment) -> Arc<Pool> {
    let name = ResourceName::new("bench", &format!("pool-{number:04}")).unwrap();
    let config = Arc::new(model::Pool::new(name.clone()));
    let runtime = PoolRuntime::new(config.clone(), environment.clone());
    let address = |number| std::net::SocketAddr::from(([10, 0, 0, 1], number + 1)).into();
    runtime.set_members((0..BACKENDS_PER_POOL).map(|n| Target::new(backend(&name, n), address(n))).collect());
    runtime.shards.of(0).request_duration.observe(Duration::from_millis(3));
    runtime.shards.of(0).upstream_duration.observe(Duration::from_millis(3));
    for member in runtime.members() {
        member.endpoint.shards.of(0).responses.iter().for_each(|class| class.add(1));
    }
    Arc::new(Pool::new(config, runtime))
}

fn table() -> Table {
    let environment = Environment::without_tasks(WORKERS);
    Table { pools: (0..POOLS).map(|number| pool(number, &environment)).collect(), ..Table::default() }
}

#[divan::bench]
fn metrics(bencher: Bencher<'_, '_>) {
    let families = Families::new(Arc::new(ArcSwap::from_pointee(table())), Arc::new(ProcessStats::new(&[], WORKERS)));
    bencher.bench(|| families.text().unwrap());
}

#[divan::bench]
fn report_without_a_change(bencher: Bencher<'_, '_>) {
    let (table, reports) = (table(), Reports::default());
    let names: Vec<ResourceName> = table.pools.iter().map(|pool| pool.config.name.clone()).collect();
    reports.refresh(&table, &names);
    bencher.bench(|| reports.refresh(&table, &names));
}
