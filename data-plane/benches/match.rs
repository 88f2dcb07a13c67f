//! What finding the best rule costs with 10 and with 10,000 rules (M9), and what a request pays for the
//! normal form of its path and for its headers.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use divan::Bencher;
use http::{HeaderMap, HeaderValue, Method, Version};
use weir_data_plane::http::framing::HeadWatch;
use weir_data_plane::http::headers::{Downstream, Upgrade, prepare_request, prepare_response};
use weir_data_plane::http::path;
use weir_data_plane::matcher::{Head, Matcher, host};
use weir_proto::model::{HostPattern, PathMatch, Pattern, Pool, ResourceName, Rule};

const RULES: [usize; 2] = [10, 10_000];

fn main() {
    divan::main();
}

/// A matcher of this many pools of one rule each.
fn matcher(count: usize, rule: impl Fn(usize) -> Rule) -> Matcher {
    let name = |i| ResourceName::new("bench", &format!("p{i}")).unwrap();
    let pools: Vec<Pool> = (0..count).map(|i| Pool { rules: vec![rule(i)], ..Pool::new(name(i)) }).collect();
    Matcher::compile(&pools)
}

fn find(bencher: Bencher<'_, '_>, matcher: &Matcher, host: &str, path: &str) {
    let (method, headers) = (Method::GET, HeaderMap::new());
    let head = Head { host, path, query: None, method: &method, headers: &headers };
    assert!(matcher.find(&head).is_some());
    bencher.bench(|| matcher.find(black_box(&head)));
}

fn at_path(path: PathMatch) -> Rule {
    Rule { path: Some(path), ..Rule::default() }
}

fn at_pattern(text: &str) -> Rule {
    at_path(PathMatch::Regex { pattern: Pattern::new(text, false).unwrap(), order: 0 })
}

#[divan::bench(args = RULES)]
fn exact_hosts(bencher: Bencher<'_, '_>, count: usize) {
    let host = |i| HostPattern::parse(&format!("shop{i}.example.com")).unwrap();
    let matcher = matcher(count, |i| Rule { hosts: vec![host(i)], ..Rule::default() });
    find(bencher, &matcher, "shop7.example.com", "/api/v1/items");
}

#[divan::bench(args = RULES)]
fn wildcard_hosts(bencher: Bencher<'_, '_>, count: usize) {
    let host = |i| HostPattern::parse(&format!("*.shop{i}.example.com")).unwrap();
    let matcher = matcher(count, |i| Rule { hosts: vec![host(i)], ..Rule::default() });
    find(bencher, &matcher, "a.b.shop7.example.com", "/api/v1/items");
}

#[divan::bench(args = RULES)]
fn prefixes(bencher: Bencher<'_, '_>, count: usize) {
    let matcher = matcher(count, |i| at_path(PathMatch::prefix(&format!("/api/service{i}/v1")).unwrap()));
    find(bencher, &matcher, "shop.example.com", "/api/service7/v1/items/3");
}

#[divan::bench(args = RULES)]
fn exact_paths(bencher: Bencher<'_, '_>, count: usize) {
    let matcher = matcher(count, |i| at_path(PathMatch::exact(&format!("/api/page{i}")).unwrap()));
    find(bencher, &matcher, "shop.example.com", "/api/page7");
}

#[divan::bench(args = RULES)]
fn anchored_regexes(bencher: Bencher<'_, '_>, count: usize) {
    let matcher = matcher(count, |i| at_pattern(&format!(r"^/service{i}/items/\d+$")));
    find(bencher, &matcher, "shop.example.com", "/service7/items/123456");
}

#[divan::bench(args = RULES)]
fn unanchored_regexes(bencher: Bencher<'_, '_>, count: usize) {
    let matcher = matcher(count, |i| at_pattern(&format!(r"\.ext{i}$")));
    find(bencher, &matcher, "shop.example.com", "/static/image.ext7");
}

#[divan::bench(args = RULES, sample_count = 10)]
fn compile_hosts_and_prefixes(bencher: Bencher<'_, '_>, count: usize) {
    let host = |i| HostPattern::parse(&format!("shop{i}.example.com")).unwrap();
    bencher.bench(|| {
        matcher(count, |i| Rule { hosts: vec![host(i)], ..at_path(PathMatch::prefix(&format!("/v{i}")).unwrap()) })
    });
}

#[divan::bench(args = ["/api/v1/items/12345/index.html", "/api/v1/../items/%7e12345/html"])]
fn normal_path(path: &str) {
    let _ = black_box(path::normalise(black_box(path)));
}

#[divan::bench(args = ["shop.example.com", "Shop.example.com:8080"])]
fn normal_host(host: &str) {
    let _ = black_box(host::normalise(black_box(host)));
}

fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    fields.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
}

#[divan::bench]
fn headers_of_a_request(bencher: Bencher<'_, '_>) {
    let fields =
        [("host", "shop.example.com"), ("user-agent", "bench"), ("accept", "*/*"), ("accept-encoding", "gzip")];
    let downstream = Downstream::new([192, 0, 2, 1].into(), false, false);
    bencher.with_inputs(|| headers(&fields)).bench_local_refs(|headers| {
        let upgrade = Upgrade::asked_by(headers);
        prepare_request(headers, &downstream, Version::HTTP_11, upgrade);
    });
}

#[divan::bench]
fn headers_of_a_response(bencher: Bencher<'_, '_>) {
    let fields = [("content-type", "text/plain"), ("content-length", "12"), ("date", "today"), ("server", "bench")];
    bencher
        .with_inputs(|| headers(&fields))
        .bench_local_refs(|headers| prepare_response(headers, Version::HTTP_11, Upgrade::Strip));
}

#[divan::bench]
fn watching_a_head(bencher: Bencher<'_, '_>) {
    let head = b"GET /api/v1/items HTTP/1.1\r\nHost: shop.example.com\r\nUser-Agent: bench/1.0 (a comment of some length)\r\n\
        Accept: */*\r\nAccept-Encoding: gzip, br\r\nAccept-Language: en-GB,en;q=0.9\r\nX-Request-Id: 0123456789\r\n\r\n";
    bencher.bench_local(|| {
        let mut watch = HeadWatch::default();
        watch.observe(black_box(head));
        watch
    });
}
