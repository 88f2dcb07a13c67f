//! Both planes under a real Prometheus: metrics, dashboard, alerts.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;
use weir_tests::authority::{Authority, YEAR};
use weir_tests::manifest::{NAMESPACE, backend, pool, repository, secret};
use weir_tests::port::free_address;
use weir_tests::prometheus::promtool;
use weir_tests::{Backend, DataPlane, Kube, Prometheus, Replica, Reply, TlsClient, Weir, eventually, get};

use super::readme::described;

const ALERTS: &str = "deploy/dashboards/alerts.yaml";
const POOL: &str = "{apiVersion: weir.dev/v1alpha1, kind: Pool, metadata: {name: web}, spec: {priority: 1}}";
const ALERT_TESTS: &str = "tests/testdata/alerts_test.yaml";

/// What only a control plane in a cluster has to tell: `in_a_cluster_the_queries_of_the_dashboard_about_it_have_data`.
const IN_A_CLUSTER: [&str; 3] = ["weir_status_patches_total", "weir_status_writer", "weir_watch_failures_total"];

/// A plugin that counts more than it may, and fails after each response. Its time is that of a loaded machine.
const PLUGIN: &str = "\
---
apiVersion: weir.dev/v1alpha1
kind: Plugin
metadata: {name: busy, namespace: NAMESPACE}
spec:
  type: Lua
  timeout: 5s
  lua:
    source: |
      return {
        pre = function() for i = 1, 300 do count('seen', 1, {number = tostring(i)}) end end,
        done = function() error('on purpose') end,
      }
";

/// That one, and mirrors to a pool that is there and to one that is not.
const PLUGINS: &str = "plugins: [{name: busy}, {type: Mirror, param: {pool: web}}, {type: Mirror, param: {pool: off}}]";

/// Both planes with everything that they can meet: backends that answer, fail, refuse connections and are disabled,
/// a pool without any, another that waits for one, one of TCP, a plugin, requests of no pool, a proxy without certificate, clients with TLS and without where it is spoken.
struct Busy {
    weir: Weir,
    client: TlsClient,
    _servers: [Backend; 2],
    _stranger: DataPlane,
}

impl Busy {
    async fn start() -> Self {
        let [good, failing] = Backend::start_many("web").await;
        failing.set(Reply::status(500));
        let authority = Authority::new();
        let shown = authority.site(&["secure.example.com"], YEAR);
        let flaky = "health: {passive: {maxFails: 1, failTimeout: 200ms}}";
        let manifest = [
            pool("web", &format!("match: [{{path: {{type: Prefix, value: /web}}}}], {flaky}")),
            backend("web-1", "web", good.address(), ""),
            backend("web-2", "web", free_address(), ""),
            backend("web-3", "web", good.address(), "enabled: false"),
            pool("failing", "match: [{path: {type: Prefix, value: /failing}}]"),
            backend("failing-1", "failing", failing.address(), ""),
            pool("none", "match: [{path: {type: Prefix, value: /none}}]"),
            pool(
                "late",
                "match: [{path: {type: Prefix, value: /late}}], queue: {whenUnavailable: true, timeout: 10ms}",
            ),
            PLUGIN.replace("NAMESPACE", NAMESPACE),
            pool("plugged", &format!("match: [{{path: {{type: Prefix, value: /plugged}}}}], {PLUGINS}")),
            pool("off", "match: [{hosts: [off.invalid]}], enabled: false"),
            backend("plugged-1", "plugged", good.address(), ""),
            pool("bytes", "protocol: TCP"),
            backend("bytes-1", "bytes", good.address(), ""),
            pool("secure", "match: [{hosts: [secure.example.com]}], tls: {secretName: secure}"),
            secret("secure", &[("tls.crt", &shown.certificate), ("tls.key", &shown.key)]),
        ];
        let weir = Weir::builder().file("web.yaml", &manifest.concat()).tls().tcp().https().start().await;
        let stranger = DataPlane::builder(weir.grpc()).start_unready();
        Self { weir, client: TlsClient::trusting(&authority), _servers: [good, failing], _stranger: stranger }
    }

    /// Requests of each sort, and a change of configuration.
    async fn round(&self) {
        for (path, status) in [
            ("/web", 200),
            ("/web", 200),
            ("/failing", 500),
            ("/none", 503),
            ("/late", 504),
            ("/plugged", 200),
            ("/nowhere", 404),
        ] {
            assert_eq!(self.weir.get(path).await.status, status, "{path}");
        }
        assert_eq!(get(self.weir.tcp_address(), "/").await.unwrap().status, 200);
        let secure = self.weir.https_address();
        self.client.connect(secure, "secure.example.com").await.unwrap();
        assert_eq!(get(secure, "/").await.unwrap().status, 400);
        self.weir.write("more.yaml", "").await;
    }

    async fn metrics(&self) -> [String; 2] {
        [self.weir.metrics().await, get(self.weir.control_admin(), "/metrics").await.unwrap().text()]
    }

    async fn prometheus(&self) -> Prometheus {
        let targets = [("control-plane", self.weir.control_admin()), ("data-plane", self.weir.admin())];
        Prometheus::start(&targets, &repository().join(ALERTS)).await
    }
}

#[tokio::test]
async fn t1_promtool_finds_nothing_to_improve_in_the_metrics_of_both_planes() {
    let busy = Busy::start().await;
    busy.round().await;
    for text in busy.metrics().await {
        let checked = promtool(&["check", "metrics"], &text);
        let findings = [checked.stdout, checked.stderr].concat();
        assert!(checked.status.success() && findings.is_empty(), "{}", String::from_utf8_lossy(&findings));
    }
}

#[tokio::test]
async fn t1_the_metrics_under_traffic_are_those_of_the_readme() {
    let busy = Busy::start().await;
    let described = described("weir_");
    eventually("every metric of the README is there, and no other", async || {
        busy.round().await;
        let text = busy.metrics().await.concat();
        let exposed: BTreeSet<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE weir_")).collect();
        let exposed = exposed.iter().map(|rest| format!("weir_{}", rest.split(' ').next().unwrap())).collect();
        let mut unknown: BTreeSet<_> = described.symmetric_difference(&exposed).map(String::as_str).collect();
        unknown.retain(|name| !IN_A_CLUSTER.contains(name));
        assert!(unknown.is_empty(), "either in the README or exposed: {unknown:?}");
        Some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_prometheus_scrapes_both_planes_and_every_query_of_the_dashboard_has_data() {
    let busy = Busy::start().await;
    let prometheus = busy.prometheus().await;
    for (panel, query) in queries().into_iter().filter(|(_, query)| !is_about_a_cluster(query)) {
        eventually(&format!("{panel} has data: {query}"), async || {
            busy.round().await;
            has_data(&prometheus.query(&query).await.unwrap()).then_some(())
        })
        .await;
    }
    eventually("both planes are scraped without an error", async || {
        let targets = prometheus.page("targets").await["activeTargets"].take();
        let healthy = |target: &Value| target["health"] == "up" && target["lastError"] == "";
        let targets = targets.as_array()?;
        (targets.len() == 2 && targets.iter().all(healthy)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the test cluster: tests/run starts it"]
async fn in_a_cluster_the_queries_of_the_dashboard_about_it_have_data() {
    let kube = Kube::shared().await;
    kube.crds().await;
    let namespace = kube.namespace().await;
    let replica = Replica::in_cluster(&kube, &namespace, "a").await;
    let prometheus = Prometheus::start(&[("control-plane", replica.admin())], &repository().join(ALERTS)).await;
    kube.apply_in(&namespace, POOL).await.unwrap();
    let of_dashboard = queries().into_iter().map(|(_, query)| query).filter(|query| is_about_a_cluster(query));
    let queries: Vec<String> = of_dashboard.collect();
    assert!(IN_A_CLUSTER.iter().all(|name| queries.iter().any(|query| query.contains(name))), "{queries:?}");
    let figures = ["weir_status_writer == 1", "sum(weir_status_patches_total{kind=\"Pool\", result=\"ok\"}) > 0"];
    for query in queries.iter().map(String::as_str).chain(figures) {
        eventually(&format!("there is data: {query}"), async || {
            has_data(&prometheus.query(query).await.unwrap()).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_prometheus_evaluates_every_alert() {
    let busy = Busy::start().await;
    let prometheus = busy.prometheus().await;
    busy.round().await;
    let rules = eventually("every alert was evaluated", async || {
        let groups = prometheus.page("rules").await["groups"].take();
        let rules: Vec<_> = groups.as_array()?.iter().flat_map(|group| group["rules"].as_array().unwrap()).collect();
        let done = !rules.is_empty() && rules.iter().all(|rule| rule["health"] != "unknown");
        done.then(|| rules.into_iter().cloned().collect::<Vec<_>>())
    })
    .await;
    assert_eq!(rules.len(), alerts().len());
    for rule in rules {
        assert_eq!((&rule["health"], &rule["lastError"]), (&"ok".into(), &Value::Null), "{rule}");
    }
    let pending = "ALERTS{alertname=\"WeirPoolWithoutBackends\", pool=\"test/none\"}";
    eventually("the pool without backends is noticed", async || {
        (prometheus.query(pending).await.unwrap().len() == 1).then_some(())
    })
    .await;
}

#[test]
fn alerts_fire_when_they_should_and_only_then() {
    for arguments in [["check", "rules", ALERTS], ["test", "rules", ALERT_TESTS]] {
        let output = promtool(&arguments, "");
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {text}");
    }
    let tests = fs::read_to_string(repository().join(ALERT_TESTS)).unwrap();
    for alert in alerts() {
        let name = alert["alert"].as_str().unwrap();
        let fires = format!("labels: ALERTS{{alertname=\"{name}\", alertstate=\"firing\"");
        assert!(tests.contains(&fires), "{ALERT_TESTS} lets {name} never fire");
        for annotation in ["summary", "description", "action"] {
            assert!(alert["annotations"][annotation].is_string(), "{name} lacks {annotation}");
        }
        assert!(["warning", "critical"].contains(&alert["labels"]["severity"].as_str().unwrap()), "{name}");
    }
}

#[test]
fn dashboard_and_alerts_name_only_metrics_that_there_are() {
    let described = described("weir_");
    for file in [ALERTS, "deploy/dashboards/weir.json"] {
        let text = fs::read_to_string(repository().join(file)).unwrap();
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for name in words.filter(|word| word.starts_with("weir_")) {
            let known = ["", "_bucket"].iter().any(|end| name.strip_suffix(end).is_some_and(|n| described.contains(n)));
            assert!(known, "{file}: there is no {name}");
        }
    }
}

#[test]
fn every_panel_of_the_dashboard_says_what_it_shows() {
    for panel in panels() {
        let text = |of: &Value| of.as_str().is_some_and(|text| !text.is_empty());
        assert!(text(&panel["title"]) && text(&panel["description"]), "{panel}");
        assert!(text(&panel["fieldConfig"]["defaults"]["unit"]), "{panel}");
    }
}

fn alerts() -> Vec<serde_yaml::Value> {
    let text = fs::read_to_string(repository().join(ALERTS)).unwrap();
    let file: serde_yaml::Value = serde_yaml::from_str(&text).unwrap();
    let groups = file["groups"].as_sequence().unwrap();
    groups.iter().flat_map(|group| group["rules"].as_sequence().unwrap().clone()).collect()
}

fn dashboard() -> Value {
    let text = fs::read_to_string(repository().join("deploy/dashboards/weir.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// All panels but rows.
fn panels() -> Vec<Value> {
    let panels = dashboard()["panels"].as_array().unwrap().clone();
    panels.into_iter().filter(|panel| panel["type"] != "row").collect()
}

/// The queries of all panels and variables with their titles, as Grafana sends them when everything is chosen.
fn queries() -> Vec<(String, String)> {
    let titled = |title: &Value, query: &str| (title.as_str().unwrap().to_owned(), with_variables(query));
    let mut queries = Vec::new();
    for variable in dashboard()["templating"]["list"].as_array().unwrap() {
        let values = variable["query"]["query"].as_str().and_then(|query| query.strip_prefix("label_values("));
        queries.extend(values.map(|values| titled(&variable["name"], values.rsplit_once(',').unwrap().0)));
    }
    for panel in panels() {
        let targets = panel["targets"].as_array().unwrap();
        queries.extend(targets.iter().map(|target| titled(&panel["title"], target["expr"].as_str().unwrap())));
    }
    queries
}

fn is_about_a_cluster(query: &str) -> bool {
    IN_A_CLUSTER.iter().any(|name| query.contains(name))
}

fn with_variables(query: &str) -> String {
    let query = query.replace("$__rate_interval", "5s").replace("$namespace", "(.*)").replace("$pool", "(.*)");
    assert!(!query.contains('$'), "{query}");
    query
}

/// There is a series, and each has a number (a quantile of nothing is none).
fn has_data(series: &[Value]) -> bool {
    let number = |series: &Value| series["value"][1].as_str().is_some_and(|n| n.parse().is_ok_and(f64::is_finite));
    !series.is_empty() && series.iter().all(number)
}
