//! What a change costs with 200 and with 20,000 resources: making the next snapshot, and finding what each of a
//! thousand proxies lacks of it. And what proxies cost that have everything still to get, or bring it along.
#![allow(missing_docs, clippy::unwrap_used)]

use std::sync::Arc;

use divan::Bencher;
use tokio::time::Instant;
use weir_control_plane::held::Held;
use weir_control_plane::snapshot::{Patch, Snapshot};
use weir_proto::model::{Key, ResourceName};
use weir_proto::pb;
use weir_proto::pb::resource::Body;
use weir_proto::version::Version;

const RESOURCES: [u32; 2] = [200, 20_000];
const PROXIES: usize = 1_000;

fn main() {
    divan::main();
}

/// One of each four is a Pool, the others are its Backends.
fn resource(number: u32, weight: u32) -> (Key, Body) {
    let name = ResourceName::new(&format!("team-{}", number % 50), &format!("service-{number}")).unwrap();
    if number.is_multiple_of(4) {
        let path = pb::PathMatch { r#type: pb::PathType::Prefix.into(), value: "/api".into(), ..Default::default() };
        let hosts = vec![format!("{}.example.com", name.name())];
        let rule = pb::Rule { hosts, path: Some(path), ..Default::default() };
        return (Key::pool(name), Body::Pool(pb::Pool { weight, r#match: vec![rule], ..Default::default() }));
    }
    let (pool, address) = (format!("service-{}", number / 4 * 4), format!("10.0.0.{}:8080", number % 250));
    (Key::backend(name), Body::Backend(pb::Backend { pool, address, weight, enabled: true, ..Default::default() }))
}

fn snapshot(count: u32) -> Arc<Snapshot> {
    let upserts = (0..count).map(|number| resource(number, 1)).collect();
    Arc::new(Snapshot::empty(Instant::now()).next(Patch { upserts, ..Patch::default() }, Instant::now()).unwrap())
}

fn change(number: u32) -> Patch {
    Patch { upserts: vec![resource(number, 2)], ..Patch::default() }
}

fn versions(snapshot: &Snapshot) -> Vec<(Key, Version)> {
    snapshot.entries().map(|(key, entry)| (key.clone(), entry.version)).collect()
}

/// A proxy that has taken a snapshot.
fn proxy(snapshot: &Arc<Snapshot>) -> Held {
    let mut held = Held::new(Arc::default(), []);
    let step = held.step(snapshot, |_, _| false);
    held.take(step, []);
    held
}

fn follow(held: &mut Held, snapshot: &Arc<Snapshot>) {
    let step = held.step(snapshot, |_, _| false);
    held.take(step, []);
}

#[divan::bench(args = RESOURCES)]
fn next_after_one_change(bencher: Bencher<'_, '_>, count: u32) {
    let snapshot = snapshot(count);
    bencher.with_inputs(|| change(count / 2)).bench_values(|patch| snapshot.next(patch, Instant::now()));
}

#[divan::bench(args = RESOURCES)]
fn one_change_to_one_proxy(bencher: Bencher<'_, '_>, count: u32) {
    let old = snapshot(count);
    let next = Arc::new(old.next(change(count / 2), Instant::now()).unwrap());
    bencher.with_inputs(|| proxy(&old)).bench_values(|mut held| follow(&mut held, &next));
}

#[divan::bench(args = RESOURCES, sample_count = 20, sample_size = 1)]
fn one_change_to_a_thousand_proxies(bencher: Bencher<'_, '_>, count: u32) {
    let old = snapshot(count);
    let next = Arc::new(old.next(change(count / 2), Instant::now()).unwrap());
    let proxies = vec![proxy(&old); PROXIES];
    bencher.with_inputs(|| proxies.clone()).bench_values(|mut proxies| {
        proxies.iter_mut().for_each(|held| follow(held, &next));
        proxies
    });
}

#[divan::bench(args = RESOURCES, sample_count = 20, sample_size = 1)]
fn everything_to_one_proxy(bencher: Bencher<'_, '_>, count: u32) {
    let snapshot = snapshot(count);
    bencher.bench(|| proxy(&snapshot));
}

#[divan::bench(args = RESOURCES, sample_count = 20, sample_size = 1)]
fn one_proxy_comes_back(bencher: Bencher<'_, '_>, count: u32) {
    let snapshot = snapshot(count);
    let claimed = versions(&snapshot);
    bencher.with_inputs(|| claimed.clone()).bench_values(|claimed| {
        let mut held = Held::new(Arc::default(), claimed);
        follow(&mut held, &snapshot);
        held
    });
}
