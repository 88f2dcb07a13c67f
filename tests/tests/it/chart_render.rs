//! What the chart renders without a cluster's help: the defaults, what it refuses, times that fit.

use std::fs;

use serde_yaml::Value;
use weir_tests::Kube;
use weir_tests::chart::{RELEASE, folder, render};
use weir_tests::manifest::repository;
use weir_tests::program::run;

#[tokio::test]
#[ignore = "needs the test cluster: tests/run starts it"]
async fn lint_has_nothing_to_say() {
    let chart = folder();
    let said = Kube::shared().await.helm(&["lint", "--strict", chart.to_str().unwrap()]).await.unwrap();
    assert!(!said.contains("[WARNING]") && !said.contains("[ERROR]"), "{said}");
}

/// `UPDATE=1` rewrites it. The CustomResourceDefinitions are files of their own.
#[tokio::test]
#[ignore = "needs the test cluster: tests/run starts it"]
async fn the_defaults_render_as_they_were_reviewed() {
    let file = repository().join("tests/testdata/chart/defaults.yaml");
    let rendered = render(&Kube::shared().await, "weir-system", &["--set=crds.enabled=false"]).await.unwrap();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, &rendered.text).unwrap();
    }
    let reviewed = fs::read_to_string(&file).unwrap_or_default();
    assert!(reviewed == rendered.text, "{} is out of date: run the tests with UPDATE=1", file.display());
}

/// Values, and what the refusal says: above all the value's name.
const REFUSED: [(&str, &str); 16] = [
    ("tls.mode=none", "'/tls/mode': value must be one of"),
    ("tls.enabled=maybe", "'/tls/enabled': got string, want boolean"),
    ("dataPlane.listners=x", "'/dataPlane': additional properties 'listners'"),
    ("controlPlane.replicas=0", "'/controlPlane/replicas': minimum"),
    ("dataPlane.kind=StatefulSet", "'/dataPlane/kind'"),
    ("dataPlane.listeners=null", "dataPlane.listeners: a proxy needs at least one"),
    ("dataPlane.listeners[0].name=http,dataPlane.listeners[0].port=80", "'/dataPlane/listeners/0/port': minimum"),
    ("dataPlane.service.externalTrafficPolicy=local", "'/dataPlane/service/externalTrafficPolicy'"),
    ("watchNamespaces=shop", "'/watchNamespaces': got string, want array"),
    ("image.pullPolicy=always", "'/image/pullPolicy'"),
    ("controlPlane.image.digest=latest", "'/controlPlane/image/digest'"),
    (
        "dataPlane.drain.terminationGracePeriodSeconds=44",
        "dataPlane.drain.terminationGracePeriodSeconds: 44 is too short",
    ),
    ("dataPlane.kind=DaemonSet,dataPlane.autoscaling.enabled=true", "dataPlane.autoscaling.enabled: goes with"),
    (
        "dataPlane.autoscaling.enabled=true,dataPlane.autoscaling.minReplicas=11",
        "dataPlane.autoscaling.minReplicas: is more than maxReplicas",
    ),
    ("tls.enabled=false,dataPlane.namespaces={shop}", "dataPlane.namespaces: needs tls.enabled"),
    (
        "dataPlane.listeners[0].name=a,dataPlane.listeners[0].port=9900,dataPlane.listeners[0].servicePort=80",
        "dataPlane.listeners: port 9900 of a is taken by its admin port",
    ),
];

#[tokio::test]
#[ignore = "needs the test cluster: tests/run starts it"]
async fn wrong_values_are_refused_by_name() {
    let kube = Kube::shared().await;
    for (values, part) in REFUSED {
        let refusal = render(&kube, "weir-system", &["--set", values]).await.expect_err(values).to_string();
        assert!(refusal.contains(part), "{values}: {part:?} is not in {refusal:?}");
    }
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/run starts it"]
async fn the_grace_period_holds_all_of_the_drain() {
    let kube = Kube::shared().await;
    for (pre_stop, delay, timeout) in [(5, 5, 30), (0, 0, 0), (20, 10, 600)] {
        let drain = format!(
            "--set=dataPlane.drain.preStopSeconds={pre_stop},dataPlane.drain.delaySeconds={delay},\
             dataPlane.drain.timeoutSeconds={timeout}"
        );
        let rendered = render(&kube, "weir-system", &[&drain]).await.unwrap();
        let pod = &rendered.object("Deployment/weir-data-plane")["spec"]["template"]["spec"];
        assert_eq!(pod["terminationGracePeriodSeconds"], Value::from(pre_stop + delay + timeout + 5));
        let container = &pod["containers"][0];
        let slept = container["lifecycle"]["preStop"]["sleep"]["seconds"].as_i64().unwrap_or(0);
        assert_eq!(slept, pre_stop);
        let arguments = arguments(container);
        assert!(arguments.contains(&format!("--drain-delay={delay}s")), "{arguments:?}");
        assert!(arguments.contains(&format!("--drain-timeout={timeout}s")), "{arguments:?}");
    }
}

fn arguments(container: &Value) -> Vec<String> {
    let arguments = container["args"].as_sequence().unwrap();
    arguments.iter().map(|argument| argument.as_str().unwrap().to_owned()).collect()
}

/// With `--help` behind them, the program reads all arguments, names what it does not know, and ends.
#[tokio::test]
#[ignore = "needs the test cluster: tests/run starts it"]
async fn the_programs_know_every_argument_of_their_containers() {
    let every = "--set=dataPlane.workers=2,dataPlane.accessLog=true,dataPlane.namespaces={shop},watchNamespaces={shop}";
    let rendered = render(&Kube::shared().await, "weir-system", &[every]).await.unwrap();
    assert_eq!(rendered.pods().len(), 4);
    for (owner, pod) in rendered.pods() {
        let container = &pod["spec"]["containers"][0];
        let image = container["image"].as_str().unwrap();
        let (program, _) = image.split_once(':').unwrap();
        let arguments = [arguments(container), vec!["--help".to_owned()]].concat();
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let output = run(program, &arguments);
        assert!(output.status.success(), "{owner}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// The files of deploy/crds, which other tests hold to the types, and nothing else; also out of a package.
#[tokio::test]
#[ignore = "needs the test cluster: tests/run starts it"]
async fn the_definitions_are_those_of_deploy() {
    let kube = Kube::shared().await;
    let work = tempfile::tempdir().unwrap();
    let (chart, folder) = (folder(), work.path().to_str().unwrap());
    kube.helm(&["package", chart.to_str().unwrap(), "--destination", folder]).await.unwrap();
    let package = fs::read_dir(work.path()).unwrap().next().unwrap().unwrap().path();
    let packaged = kube.helm(&["template", RELEASE, package.to_str().unwrap(), "--namespace", "weir-system"]).await;
    let rendered = render(&kube, "weir-system", &[]).await.unwrap();
    assert_eq!(packaged.unwrap(), rendered.text);

    let mut definitions = 0;
    for entry in fs::read_dir(repository().join("deploy/crds")).unwrap() {
        let source: Value = serde_yaml::from_str(&fs::read_to_string(entry.unwrap().path()).unwrap()).unwrap();
        let name = format!("CustomResourceDefinition/{}", source["metadata"]["name"].as_str().unwrap());
        let definition = rendered.object(&name);
        assert_eq!(definition["spec"], source["spec"], "{name}");
        assert_eq!(definition["metadata"]["annotations"]["helm.sh/resource-policy"], Value::from("keep"));
        definitions += 1;
    }
    let all = rendered.names().iter().filter(|name| name.starts_with("CustomResourceDefinition/")).count();
    assert_eq!(all, definitions);
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/run starts it"]
async fn the_definitions_go_with_the_release_if_they_are_not_to_be_kept() {
    let rendered = render(&Kube::shared().await, "weir-system", &["--set=crds.keep=false"]).await.unwrap();
    assert!(!rendered.text.contains("helm.sh/resource-policy"));
    assert!(rendered.names().contains(&"CustomResourceDefinition/pools.weir.dev".to_owned()));
}

/// The files of deploy/dashboards, which other tests hold to the metrics.
#[tokio::test]
#[ignore = "needs the test cluster: tests/run starts it"]
async fn dashboards_and_alerts_are_those_of_deploy() {
    let all = "--set=monitoring.dashboards.enabled=true,monitoring.prometheusRule.enabled=true";
    let rendered = render(&Kube::shared().await, "weir-system", &[all]).await.unwrap();
    let source = |name: &str| fs::read_to_string(repository().join("deploy/dashboards").join(name)).unwrap();
    let alerts: Value = serde_yaml::from_str(&source("alerts.yaml")).unwrap();
    assert_eq!(rendered.object("PrometheusRule/weir")["spec"], alerts);
    let dashboard = rendered.object("ConfigMap/weir-dashboards")["data"]["weir.json"].as_str().unwrap();
    assert_eq!(dashboard.trim(), source("weir.json").trim());
}
