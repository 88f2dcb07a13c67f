//! Conversions keep every value, and name the field they refuse.
#![allow(missing_docs, clippy::unwrap_used)]

use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;
use weir_proto::convert::{Decoded, decode};
use weir_proto::model::plugin::param::Carrier;
use weir_proto::model::{
    Address, Backend, Balance, BuiltIn, Endpoints, FastCgi, Files, GrpcStatus, HashKey, Key, PathMatch, Pattern,
    PluginRef, PluginUse, Pool, PoolProtocol, Protocol, ProxyProtocol, Queue, ResourceName, RetryOn, Role, Rule,
    ServiceEndpoint, StatusMask, ValueMatch, ValueTest,
};
use weir_proto::pb;
use weir_proto::version::Version;

fn name(text: &str) -> ResourceName {
    text.parse().unwrap()
}

fn rules() -> impl Strategy<Value = Rule> {
    let path = prop_oneof![
        Just(None),
        "/[a-z]{0,8}".prop_map(|p| Some(PathMatch::exact(&p).unwrap())),
        "/([a-z]{1,8}/?)?".prop_map(|p| Some(PathMatch::prefix(&p).unwrap())),
        ("[a-z]{1,8}", any::<bool>(), any::<i32>())
            .prop_map(|(p, ci, order)| { Some(PathMatch::Regex { pattern: Pattern::new(&p, ci).unwrap(), order }) }),
    ];
    let test = prop_oneof![
        Just(ValueTest::Present),
        ".{0,8}".prop_map(ValueTest::Exact),
        "[a-z]{1,8}".prop_map(|p| ValueTest::Regex(Pattern::new(&p, false).unwrap())),
    ];
    let values = prop::collection::vec(("[a-z]{1,8}", test).prop_map(|(name, test)| ValueMatch { name, test }), 0..3);
    (prop::collection::btree_set("[a-z]{1,9}", 0..3), path, values.clone(), values).prop_map(
        |(hosts, path, headers, query)| Rule {
            hosts: hosts.iter().map(|h| weir_proto::model::HostPattern::parse(h).unwrap()).collect(),
            path,
            methods: vec!["GET".into()],
            headers,
            query,
        },
    )
}

prop_compose! {
    fn pools()(
        rules in prop::collection::vec(rules(), 0..3),
        enabled in any::<bool>(),
        priority in any::<i32>(),
        weight in 0..=65_535_u32,
        ms in any::<u32>(),
        limit in 0..=1_000_000_u32,
        percent in 0..=100_u8,
    ) -> Pool {
        let mut pool = Pool::new(name("shop/web"));
        pool.rules = rules;
        pool.enabled = enabled;
        pool.priority = priority;
        pool.weight = weight;
        pool.listeners = vec!["http".into()];
        pool.balance = Balance::Hash(HashKey::Cookie("id".into()));
        pool.timeouts.request = Duration::from_millis(ms.into());
        pool.retry.causes = vec![RetryOn::Timeout];
        pool.retry.statuses = vec![StatusMask::parse("50x").unwrap()];
        pool.retry.grpc_statuses = GrpcStatus::new(u32::from(percent % 17)).into_iter().collect();
        pool.health.passive.grpc_statuses = GrpcStatus::new(14).into_iter().collect();
        pool.retry.methods = vec!["POST".into()];
        pool.health.panic_threshold = percent;
        pool.health.slow_start = Duration::from_millis(ms.into());
        pool.queue = Queue {
            limit,
            timeout: Duration::from_millis(ms.into()),
            expired_status: 400 + u16::from(percent),
            when_unavailable: enabled,
        };
        pool.direct = Some(if enabled { Carrier::cookie("X-Backend") } else { Carrier::header("x-backend") }.unwrap());
        pool
    }
}

fn protocols() -> impl Strategy<Value = Protocol> {
    let fastcgi = |(root, index, script): (&str, &str, &str)| FastCgi::new(root, index, script).unwrap();
    let fastcgi = [("", "", ""), ("/srv", "", ""), ("/srv", "app.py", ""), ("/srv", "", "/a.php"), ("", "", "/a.php")]
        .map(|texts| Protocol::FastCgi(fastcgi(texts)));
    prop::sample::select([vec![Protocol::Http, Protocol::Http2], fastcgi.to_vec()].concat())
}

proptest! {
    #[test]
    fn every_pool_survives_the_wire(pool in pools()) {
        let key = Key::pool(pool.name.clone());
        let body = pb::resource::Body::from(&pool);
        prop_assert_eq!(Version::of(&body), Version::of(&body.clone()));
        prop_assert_eq!(decode(&key, body).unwrap(), Decoded::Pool(Box::new(pool)));
    }

    #[test]
    fn every_backend_survives_the_wire(port in 1..=u16::MAX, weight in 0..=65_535_u32, enabled: bool, label in ".{0,9}", protocol in protocols()) {
        let backend = Backend {
            name: name("shop/web-1"),
            pool: name("shop/web"),
            address: Address::parse(&format!("web.internal:{port}")).unwrap(),
            weight,
            enabled,
            labels: [("zone".to_owned(), label)].into(),
            score: i64::from(weight) - 300,
            role: Role::ALL[usize::from(port) % 3],
            capacity: weight,
            protocol,
            proxy_protocol: [None, Some(ProxyProtocol::V1), Some(ProxyProtocol::V2)][usize::from(port % 3)],
            tls: None,
        };
        let key = Key::backend(backend.name.clone());
        prop_assert_eq!(decode(&key, (&backend).into()).unwrap(), Decoded::Backend(Box::new(backend)));
    }
}

#[test]
fn a_pool_of_tcp_survives_the_wire_and_has_nothing_that_looks_at_requests() {
    let decoded = |change: &dyn Fn(&mut Pool)| {
        let mut pool = Pool { protocol: PoolProtocol::Tcp, ..Pool::new(name("shop/redis")) };
        change(&mut pool);
        let decoded = decode(&Key::pool(pool.name.clone()), (&pool).into());
        decoded.map(|decoded| assert_eq!(decoded, Decoded::Pool(Box::new(pool)))).map_err(|e| e.to_string())
    };
    assert_eq!(decoded(&|pool| pool.balance = Balance::Hash(HashKey::Address)), Ok(()));
    let wrong = |field: &str| Err(format!("spec.{field}: does not go with protocol TCP"));
    assert_eq!(decoded(&|pool| pool.rules = vec![Rule::default()]), wrong("match"));
    let plugin = PluginUse { plugin: PluginRef::InPlace(BuiltIn::Random), param: Value::Null, files: Files::default() };
    assert_eq!(decoded(&|pool| pool.plugins = vec![plugin.clone()]), wrong("plugins"));
    let cookie = Balance::Hash(HashKey::Cookie("id".into()));
    assert_eq!(decoded(&|pool| pool.balance = cookie.clone()), wrong("balance.hash.source"));
}

#[test]
fn u1_a_backend_of_a_service_has_no_address_of_its_own() {
    let key = Key::backend(name("shop/web-1"));
    let body = |address: &str| {
        let (pool, address) = ("web".to_owned(), address.to_owned());
        let role = pb::Role::Active.into();
        pb::resource::Body::Backend(pb::Backend { pool, address, from_service: true, role, ..Default::default() })
    };
    let Decoded::Backend(backend) = decode(&key, body("")).unwrap() else { unreachable!() };
    assert_eq!(backend.address, Address::Service);
    assert_eq!(pb::resource::Body::from(&*backend), body(""));
    assert!(decode(&key, body("10.0.0.1:80")).unwrap_err().to_string().starts_with("spec.address: "));
}

fn service_endpoints(list: &[(&str, bool)]) -> pb::Endpoints {
    let endpoint = |(address, terminating): &(&str, bool)| pb::ServiceEndpoint {
        address: (*address).to_owned(),
        terminating: *terminating,
        labels: [("zone".to_owned(), "a".to_owned())].into(),
    };
    pb::Endpoints { endpoints: list.iter().map(endpoint).collect() }
}

#[test]
fn u1_endpoints_of_a_service_survive_the_wire_and_are_sorted() {
    let decoded = |list| {
        let body = pb::resource::Body::Endpoints(service_endpoints(list));
        decode(&Key::endpoints(name("shop/web")), body).unwrap()
    };
    let sorted = [("10.0.0.2:80", true), ("10.0.0.10:80", false), ("[fd00::1]:80", false)];
    let mut shuffled = sorted;
    shuffled.rotate_left(1);
    assert_eq!(decoded(&sorted), decoded(&shuffled));
    let Decoded::Endpoints(endpoints) = decoded(&shuffled) else { unreachable!() };
    assert_eq!(pb::resource::Body::from(&*endpoints), pb::resource::Body::Endpoints(service_endpoints(&sorted)));
    let first = ServiceEndpoint {
        address: "10.0.0.2:80".parse().unwrap(),
        terminating: true,
        labels: [("zone".to_owned(), "a".to_owned())].into(),
    };
    assert_eq!(endpoints.endpoints[0], first);
    assert_eq!(*endpoints, Endpoints { name: name("shop/web"), endpoints: endpoints.endpoints.clone() });
}

#[test]
fn s1_endpoints_that_are_none_are_refused_with_their_place() {
    let refused = |msg: pb::Endpoints| {
        let body = pb::resource::Body::Endpoints(msg);
        decode(&Key::endpoints(name("shop/web")), body).unwrap_err().to_string()
    };
    for bad in ["web:80", "10.0.0.1", "10.0.0.1:0", "0.0.0.0:80", "[ff02::1]:80", ""] {
        let error = refused(service_endpoints(&[("10.0.0.1:80", false), (bad, false)]));
        assert!(error.starts_with("endpoints[1].address: "), "{error}");
    }
    let twins = [("10.0.0.1:80", false), ("10.0.0.2:80", false), ("10.0.0.1:80", true)];
    assert_eq!(refused(service_endpoints(&twins)), "endpoints: 10.0.0.1:80 is there twice");
    let many = pb::Endpoints { endpoints: vec![pb::ServiceEndpoint::default(); 10_001] };
    assert_eq!(refused(many), "endpoints: 10001 endpoints are more than 10000");
}

#[test]
fn s4_each_error_names_the_field_as_users_write_it() {
    let good = || match pb::resource::Body::from(&Pool::new(name("shop/web"))) {
        pb::resource::Body::Pool(pool) => pool,
        other => unreachable!("{other:?}"),
    };
    let refused = |change: &dyn Fn(&mut pb::Pool)| {
        let mut pool = good();
        change(&mut pool);
        decode(&Key::pool(name("shop/web")), pb::resource::Body::Pool(pool)).unwrap_err().to_string()
    };
    let rule = |path: &str| pb::Rule {
        path: Some(pb::PathMatch { r#type: pb::PathType::Regex.into(), value: path.into(), ..Default::default() }),
        ..Default::default()
    };
    assert!(refused(&|p| p.r#match = vec![rule("a"), rule("(")]).starts_with("spec.match[1].path.value: "));
    assert!(refused(&|p| p.weight = 70_000).starts_with("spec.weight: 70000 is more than 65535"));
    assert!(refused(&|p| p.queue.as_mut().unwrap().limit = 1_000_001).starts_with("spec.queue.limit: "));
    assert!(refused(&|p| p.queue.as_mut().unwrap().expired_status = 200).starts_with("spec.queue.expiredStatus: "));
    let cookie = pb::Direct { carrier: Some(pb::direct::Carrier::Cookie("a b".into())) };
    assert!(refused(&|p| p.direct = Some(cookie.clone())).starts_with("spec.direct.cookie: "));
    assert!(refused(&|p| p.balance = None).starts_with("spec.balance: is missing"));
    assert!(refused(&|p| p.retry.as_mut().unwrap().causes = vec![9]).starts_with("spec.retry.causes[0]: "));
    assert!(
        refused(&|p| p.health.as_mut().unwrap().passive.as_mut().unwrap().statuses = vec!["9".into()])
            .starts_with("spec.health.passive.statuses[0]: ")
    );
}
