//! T1-T3: metrics, and the state as JSON.

use std::path::Path;

use http::Request;
use weir_tests::client::full;
use weir_tests::load::bodies;
use weir_tests::manifest::{backend, pool, web};
use weir_tests::port::free_address;
use weir_tests::program::Program;
use weir_tests::{Backend, Reply, Weir, eventually, get, send};

#[tokio::test]
async fn t1_requests_are_counted_by_pool_backend_and_class() {
    let [a, b] = Backend::start_many("web").await;
    let weir = Weir::start(&web("", &[a.address(), b.address()])).await;
    bodies(weir.address(), "/", 10, 2).await.unwrap();
    b.set(Reply::status(404));
    for _ in 0..4 {
        weir.get("/").await;
    }
    for (backend, code, count) in [("web-1", "2xx", 7.0), ("web-2", "2xx", 5.0), ("web-2", "4xx", 2.0)] {
        let labels = format!("backend=\"{backend}\",code=\"{code}\",pool=\"test/web\"");
        assert_eq!(weir.sample("weir_requests_total", &labels).await, Some(count), "{labels}");
    }
    assert_eq!(weir.metric("weir_requests_active").await, 0.0);
}

#[tokio::test]
async fn t1_series_do_not_grow_with_requests_and_go_away_with_their_pool() {
    let server = Backend::start("web-1").await;
    let weir = Weir::start(&web("", &[server.address()])).await;
    weir.get("/").await;
    let series = async || weir.metrics().await.lines().filter(|l| l.contains("pool=\"test/web\"")).count();
    let before = series().await;
    assert!(before > 10, "{before}");
    for i in 0..50 {
        weir.get(&format!("/{i}?{i}")).await;
    }
    assert_eq!(series().await, before);
    weir.write("web.yaml", "").await;
    eventually("the series of the pool are gone", async || (series().await == 0).then_some(())).await;
}

#[tokio::test]
async fn t1_both_planes_serve_metrics_and_probes() {
    let weir = Weir::start(&pool("web", "")).await;
    for (admin, metric) in
        [(weir.admin(), "weir_table_version_info"), (weir.control_admin(), "weir_proxies_connected 1")]
    {
        assert!(get(admin, "/metrics").await.unwrap().text().contains(metric), "{metric}");
        for path in ["/healthz", "/readyz"] {
            assert_eq!(get(admin, path).await.unwrap().status, 200, "{admin}{path}");
        }
    }
}

#[tokio::test]
async fn t2_the_state_of_pools_and_backends_is_json() {
    let server = Backend::start("web-1").await;
    let weir = Weir::start(&web("priority: 2, balance: {method: Random}", &[server.address()])).await;
    bodies(weir.address(), "/", 7, 1).await.unwrap();
    let state = weir.state("test/web").await.unwrap();
    assert_eq!(state["name"], "test/web");
    assert_eq!((&state["enabled"], &state["up"]), (&true.into(), &true.into()));
    assert_eq!((&state["method"], &state["priority"]), (&"Random".into(), &2.into()));
    assert_eq!(state["inFlight"], serde_json::json!({"current": 0, "max": 1, "total": 7}));
    assert_eq!(state["dropped"]["total"], 0);
    let backend = &state["backends"][0];
    assert_eq!((&backend["name"], &backend["address"]), (&"web-1".into(), &server.address().to_string().into()));
    assert_eq!((&backend["state"], &backend["fails"], &backend["weight"]), (&"Up".into(), &0.into(), &1.into()));
    assert_eq!(backend["inFlight"]["total"], 7);
    assert!(backend["since"].is_string() && backend["lastFailure"].is_null(), "{backend}");
}

#[tokio::test]
async fn t2_what_weir_refuses_is_counted_as_dropped_with_its_reason() {
    let weir = Weir::start(&pool("web", "")).await;
    for _ in 0..3 {
        assert_eq!(weir.get("/").await.status, 503);
    }
    let dropped = &weir.state("test/web").await.unwrap()["dropped"];
    assert_eq!((&dropped["total"], &dropped["byReason"]["no_backend"]), (&3.into(), &3.into()));
    let sample = weir.sample("weir_dropped_total", "pool=\"test/web\",reason=\"no_backend\"").await;
    assert_eq!(sample, Some(3.0));
}

#[tokio::test]
async fn t2_one_pool_or_all_of_them() {
    let weir = Weir::start(&(pool("a", "") + &pool("b", "priority: 1"))).await;
    let all = get(weir.admin(), "/api/v1/pools").await.unwrap().json();
    let names: Vec<_> = all["pools"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"test/a") && names.contains(&"test/b"), "{names:?}");
    assert_eq!(get(weir.admin(), "/api/v1/pools/test/none").await.unwrap().status, 404);
}

#[tokio::test]
async fn t2_the_state_tells_rules_chains_plugins_and_what_goes_on() {
    let server = Backend::start("web-1").await;
    let rule = "match: [{hosts: [a.example], path: {type: Prefix, value: /x}}]";
    let plugins = "plugins: [{type: ResponseHeaders, param: {set: {x-a: b}}}]";
    let manifests = web(&format!("{rule}, {plugins}"), &[server.address()]);
    let weir = Weir::start(&(manifests + &pool("spare", &format!("{rule}, priority: 1")))).await;
    for _ in 0..5 {
        let request = Request::get("/x").header("host", "a.example").body(full("")).unwrap();
        assert_eq!(send(weir.address(), request).await.unwrap().status, 200);
    }
    let state = weir.state("test/web").await.unwrap();
    let route = serde_json::json!({"rule": "a.example Prefix \"/x\"", "chain": ["test/web", "test/spare"]});
    assert_eq!(state["routes"], serde_json::json!([route]));
    let plugin = serde_json::json!({"name": "test/web:ResponseHeaders", "hooks": ["pre"], "calls": 5, "failures": 0});
    assert_eq!(state["plugins"], serde_json::json!([plugin]));
    assert_eq!((&state["responses"]["2xx"], &state["backends"][0]["responses"]["2xx"]), (&5.into(), &5.into()));
    let pace = async || Some(weir.state("test/web").await?["pace"].clone()).filter(|pace| !pace["latency"].is_null());
    let pace = eventually("a latency", pace).await;
    assert!(pace["requestsPerSecond"].as_f64().unwrap() > 0.0, "{pace}");
}

#[tokio::test]
async fn t2_orphans_are_listed_by_both_planes() {
    let server = Backend::start("web-1").await;
    let unused = "---\napiVersion: weir.dev/v1alpha1\nkind: Plugin\nmetadata: {name: unused, namespace: test}\n\
                  spec: {type: LeastConnections}\n";
    let manifests = web("", &[server.address()]) + &pool("empty", "priority: 1") + unused;
    let weir = Weir::start(&(manifests + &backend("lost", "none", "127.0.0.1:1", ""))).await;
    let orphans = async |admin| get(admin, "/api/v1/orphans").await.unwrap().json();
    let all = serde_json::json!({"pools": ["test/empty"], "backends": ["test/lost"], "plugins": ["test/unused"]});
    assert_eq!(orphans(weir.control_admin()).await, all);
    // A Backend whose Pool does not exist does not come to a proxy.
    let held = serde_json::json!({"pools": ["test/empty"], "backends": [], "plugins": ["test/unused"]});
    assert_eq!(orphans(weir.admin()).await, held);
}

#[tokio::test]
async fn t2_what_reads_haproxys_statistics_reads_weirs() {
    let server = Backend::start("web-1").await;
    let weir = Weir::start(&web("", &[server.address()])).await;
    bodies(weir.address(), "/", 7, 1).await.unwrap();
    let address = free_address();
    let statistics = format!("--haproxy.scrape-uri=http://{}/api/v1/pools?format=csv", weir.admin());
    let listen = format!("--web.listen-address={address}");
    let _exporter = Program::start_file(Path::new("prometheus-haproxy-exporter"), &[&statistics, &listen]);
    let scrape =
        async || Some(get(address, "/metrics").await.ok()?.text()).filter(|text| text.contains("haproxy_up 1"));
    let metrics = eventually("the exporter has read the statistics", scrape).await;
    for line in [
        "haproxy_server_http_responses_total{backend=\"test/web\",code=\"2xx\",server=\"web-1\"} 7",
        "haproxy_server_up{backend=\"test/web\",server=\"web-1\"} 1",
        "haproxy_backend_up{backend=\"test/web\"} 1",
        "haproxy_backend_sessions_total{backend=\"test/web\"} 7",
        "haproxy_exporter_csv_parse_failures_total 0",
    ] {
        assert!(metrics.contains(line), "no {line} in {metrics}");
    }
}

#[tokio::test]
async fn t3_times_are_seconds_in_metrics() {
    let server = Backend::start("web-1").await;
    server.set(Reply::text("").after(std::time::Duration::from_millis(300)));
    let weir = Weir::start(&web("", &[server.address()])).await;
    weir.get("/").await;
    for name in ["weir_request_duration_seconds", "weir_upstream_duration_seconds"] {
        let sum = weir.sample(&format!("{name}_sum"), "pool=\"test/web\"").await.unwrap();
        assert!((0.3..10.0).contains(&sum), "{name}: {sum}");
    }
}
