//! A real API server takes what the chart renders, with each optional part on and off, with the kinds of cert-manager
//! and of the Prometheus operator there too.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use serde_yaml::Value;
use weir_tests::Kube;
use weir_tests::chart::{RELEASE, Rendered, folder, render};

/// Go modules that hold definitions of kinds which the chart can make objects of: folder, and files in it.
const FOREIGN: [(&str, &str, &[&str]); 2] = [
    (
        "github.com/cert-manager/cert-manager@v1.21.2",
        "deploy/crds",
        &["cert-manager.io_certificates.yaml", "cert-manager.io_issuers.yaml"],
    ),
    (
        "github.com/prometheus-operator/prometheus-operator@v0.85.0",
        "example/prometheus-operator-crd",
        &["monitoring.coreos.com_podmonitors.yaml", "monitoring.coreos.com_prometheusrules.yaml"],
    ),
];

/// The folder of a Go module, which Go checks against its checksum database.
fn module(name: &str) -> PathBuf {
    let work = tempfile::tempdir().unwrap();
    let output = Command::new("go").args(["mod", "download", "-json", name]).current_dir(work.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    Path::new(answer["Dir"].as_str().unwrap()).to_owned()
}

async fn install_foreign_kinds(kube: &Kube) {
    for (name, folder, files) in FOREIGN {
        let folder = module(name).join(folder);
        for file in files {
            kube.define(&folder.join(file)).await;
        }
    }
}

/// One choice of values: what must come of it, and what must not.
struct Variant {
    values: &'static str,
    made: &'static [&'static str],
    absent: &'static [&'static str],
}

const fn variant(values: &'static str, made: &'static [&'static str], absent: &'static [&'static str]) -> Variant {
    Variant { values, made, absent }
}

/// `NS` stands for the namespace of the release. Without arguments that say otherwise there is no cert-manager.
const VARIANTS: &[Variant] = &[
    variant(
        "",
        &[
            "Deployment/weir-control-plane",
            "Deployment/weir-data-plane",
            "Service/weir-data-plane",
            "PodDisruptionBudget/weir-control-plane",
            "PodDisruptionBudget/weir-data-plane",
            "ClusterRole/weir-control-plane",
            "ClusterRoleBinding/weir-control-plane",
            "Role/weir-control-plane-lease",
            "Job/weir-certificates-hook",
            "CronJob/weir-certificates",
            "ValidatingAdmissionPolicy/weir-static",
            "ValidatingAdmissionPolicy/weir-termination-protection",
            "ClusterRole/weir-view",
            "CustomResourceDefinition/plugins.weir.dev",
            "CustomResourceDefinition/pools.weir.dev",
        ],
        &["DaemonSet/", "Certificate/", "NetworkPolicy/", "PodMonitor/", "PrometheusRule/", "ConfigMap/", "Horizontal"],
    ),
    variant("crds.enabled=false", &[], &["CustomResourceDefinition/"]),
    variant(
        "policies.enabled=false",
        &["ClusterRole/weir-view"],
        &["ValidatingAdmissionPolicy", "ClusterRole/weir-unlock"],
    ),
    variant(
        "rbac.aggregate=false",
        &["ClusterRole/weir-control-plane"],
        &["ClusterRole/weir-view", "ClusterRole/weir-edit"],
    ),
    variant(
        "tls.enabled=false",
        &["Deployment/weir-data-plane"],
        &["Job/", "CronJob/", "Certificate/", "Role/weir-certificates"],
    ),
    variant(
        "tls.mode=issuer",
        &["Job/weir-certificates-hook", "CronJob/weir-certificates"],
        &["Certificate/", "Issuer/"],
    ),
    variant(
        "tls.mode=cert-manager",
        &[
            "Issuer/weir-self-signed",
            "Certificate/weir-ca",
            "Issuer/weir-ca",
            "Certificate/weir-control-plane-tls",
            "Certificate/weir-data-plane-tls",
        ],
        &["Job/", "CronJob/", "Role/weir-certificates"],
    ),
    variant(
        "tls.mode=cert-manager,tls.certManager.issuerRef.name=corp,tls.certManager.issuerRef.kind=ClusterIssuer",
        &["Certificate/weir-control-plane-tls", "Certificate/weir-data-plane-tls"],
        &["Issuer/", "Certificate/weir-ca"],
    ),
    variant(
        "watchNamespaces={NS}",
        &[
            "Role/weir-NS-control-plane",
            "RoleBinding/weir-NS-control-plane",
            "ValidatingAdmissionPolicy/weir-NS-static",
        ],
        &["ClusterRole/weir-control-plane", "ClusterRoleBinding/"],
    ),
    variant(
        "dataPlane.kind=DaemonSet",
        &["DaemonSet/weir-data-plane"],
        &["Deployment/weir-data-plane", "PodDisruptionBudget/weir-data-plane"],
    ),
    variant(
        "dataPlane.autoscaling.enabled=true,dataPlane.autoscaling.behavior.scaleDown.stabilizationWindowSeconds=60",
        &["HorizontalPodAutoscaler/weir-data-plane"],
        &[],
    ),
    variant("dataPlane.service.enabled=false", &[], &["Service/weir-data-plane"]),
    variant(
        "dataPlane.service.type=ClusterIP,dataPlane.service.ipFamilyPolicy=SingleStack",
        &["Service/weir-data-plane"],
        &[],
    ),
    variant(
        "dataPlane.service.type=NodePort,dataPlane.service.externalTrafficPolicy=Local,dataPlane.listeners[0].name=http,dataPlane.listeners[0].port=8080,dataPlane.listeners[0].servicePort=80,dataPlane.listeners[0].nodePort=30080",
        &["Service/weir-data-plane"],
        &[],
    ),
    variant(
        "dataPlane.service.loadBalancerClass=a.io/b,dataPlane.service.loadBalancerSourceRanges={10.0.0.0/8},dataPlane.service.annotations.a=b",
        &["Service/weir-data-plane"],
        &[],
    ),
    variant(
        "dataPlane.cache.enabled=false,tls.enabled=false,dataPlane.drain.preStopSeconds=0",
        &["Deployment/weir-data-plane"],
        &[],
    ),
    variant("dataPlane.cache.enabled=false", &["Deployment/weir-data-plane"], &[]),
    variant(
        "controlPlane.podDisruptionBudget.enabled=false,dataPlane.podDisruptionBudget.enabled=false",
        &[],
        &["PodDisruptionBudget/"],
    ),
    variant("controlPlane.podDisruptionBudget.maxUnavailable=50%", &["PodDisruptionBudget/weir-control-plane"], &[]),
    variant(
        "networkPolicy.enabled=true",
        &[
            "NetworkPolicy/weir-control-plane",
            "NetworkPolicy/weir-data-plane",
            "NetworkPolicy/weir-certificates-hook",
            "NetworkPolicy/weir-certificates",
        ],
        &[],
    ),
    variant(
        "networkPolicy.enabled=true,tls.enabled=false",
        &["NetworkPolicy/weir-data-plane"],
        &["NetworkPolicy/weir-certificates"],
    ),
    variant(
        "networkPolicy.enabled=true,networkPolicy.apiServerCIDRs={10.0.0.1/32},networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.a=b,networkPolicy.clientsFrom[0].ipBlock.cidr=10.0.0.0/8,networkPolicy.backends[0].to[0].podSelector.matchLabels.a=b",
        &["NetworkPolicy/weir-data-plane"],
        &[],
    ),
    variant(
        "monitoring.podMonitor.enabled=true,monitoring.podMonitor.labels.release=prometheus",
        &["PodMonitor/weir-control-plane", "PodMonitor/weir-data-plane"],
        &[],
    ),
    variant(
        "monitoring.prometheusRule.enabled=true,monitoring.prometheusRule.labels.release=prometheus",
        &["PrometheusRule/weir"],
        &[],
    ),
    variant("monitoring.dashboards.enabled=true,monitoring.dashboards.labels.a=b", &["ConfigMap/weir-dashboards"], &[]),
    variant(
        "controlPlane.podLabels.a=b,controlPlane.podAnnotations.a=b,controlPlane.nodeSelector.a=b,controlPlane.priorityClassName=system-cluster-critical,controlPlane.tolerations[0].operator=Exists,controlPlane.extraEnv[0].name=A,controlPlane.extraArgs={--log-format=text},controlPlane.serviceAccount.annotations.a=b,image.pullSecrets[0].name=a,image.registry=r.example,commonLabels.team=a",
        &["Deployment/weir-control-plane"],
        &[],
    ),
    variant(
        "dataPlane.podLabels.a=b,dataPlane.podAnnotations.a=b,dataPlane.nodeSelector.a=b,dataPlane.priorityClassName=system-cluster-critical,dataPlane.tolerations[0].operator=Exists,dataPlane.extraEnv[0].name=A,dataPlane.extraArgs={--log-format=text},dataPlane.serviceAccount.annotations.a=b,dataPlane.workers=2,dataPlane.accessLog=true,dataPlane.namespaces={shop},dataPlane.topologySpreadConstraints[0].maxSkew=1,dataPlane.topologySpreadConstraints[0].topologyKey=a,dataPlane.topologySpreadConstraints[0].whenUnsatisfiable=DoNotSchedule",
        &["Deployment/weir-data-plane"],
        &[],
    ),
    variant(
        "controlPlane.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight=1,controlPlane.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.topologyKey=a",
        &["Deployment/weir-control-plane"],
        &[],
    ),
    variant(
        "bindAddress=[::],fullnameOverride=edge,clusterDomain=corp.example",
        &["Deployment/edge-data-plane", "Service/edge-control-plane"],
        &["Deployment/weir"],
    ),
];

#[tokio::test]
#[ignore = "starts a cluster of its own: tests/run builds it"]
async fn the_api_server_takes_every_variant() {
    // Of its own, since the kinds of others stay in it.
    let kube = Kube::start().await;
    install_foreign_kinds(&kube).await;
    let namespace = kube.namespace().await;
    for variant in VARIANTS {
        let values = variant.values.replace("NS", &namespace);
        let rendered = render(&kube, &namespace, &["--set", &values]).await.unwrap();
        check_names(variant, &namespace, &rendered);
        let said = kube.kubectl(&["apply", "--dry-run=server", "--validate=strict", "-f", &rendered.file()]).await;
        let said = said.unwrap_or_else(|error| panic!("{values}: {error}"));
        assert_eq!(said.lines().count(), rendered.objects.len(), "{values}: {said}");
    }
}

fn check_names(variant: &Variant, namespace: &str, rendered: &Rendered) {
    let names = rendered.names();
    for made in variant.made {
        let made = made.replace("NS", namespace);
        assert!(names.contains(&made), "{}: no {made} in {names:?}", variant.values);
    }
    for absent in variant.absent {
        assert!(!names.iter().any(|name| name.starts_with(absent)), "{}: {absent} in {names:?}", variant.values);
    }
}

/// `auto`: by what the cluster has.
#[tokio::test]
#[ignore = "starts a cluster of its own: tests/run builds it"]
async fn cert_manager_makes_the_certificates_where_there_is_one() {
    let kube = Kube::start().await;
    let namespace = kube.namespace().await;
    let ask = ["--dry-run=server"];
    let without = render(&kube, &namespace, &ask).await.unwrap().names();
    assert!(without.contains(&"Job/weir-certificates-hook".to_owned()), "{without:?}");
    install_foreign_kinds(&kube).await;
    let with = render(&kube, &namespace, &ask).await.unwrap().names();
    assert!(with.contains(&"Certificate/weir-data-plane-tls".to_owned()), "{with:?}");
    assert!(!with.contains(&"Job/weir-certificates-hook".to_owned()), "{with:?}");
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/run starts it"]
async fn every_pod_passes_the_restricted_level() {
    let kube = Kube::shared().await;
    let namespace = kube.labelled_namespace(&[("pod-security.kubernetes.io/enforce", "restricted")]).await;
    let careless = json!({"spec": {"containers": [{"name": "a", "image": "a"}]}});
    let refusal =
        create_pod(&kube, &namespace, &serde_yaml::to_value(careless).unwrap()).await.unwrap_err().to_string();
    assert!(refusal.contains("violates PodSecurity"), "{refusal}");
    for kind in ["Deployment", "DaemonSet"] {
        let kind = format!("--set=dataPlane.kind={kind}");
        let rendered = render(&kube, &namespace, &[&kind]).await.unwrap();
        assert_eq!(rendered.pods().len(), 4);
        for (owner, pod) in rendered.pods() {
            create_pod(&kube, &namespace, pod).await.unwrap_or_else(|error| panic!("{owner}: {error}"));
        }
    }
}

/// Asks the API server for a pod of this template, without making it.
async fn create_pod(kube: &Kube, namespace: &str, template: &Value) -> anyhow::Result<String> {
    let mut pod = template.clone();
    pod["apiVersion"] = "v1".into();
    pod["kind"] = "Pod".into();
    pod["metadata"] = serde_yaml::to_value(json!({"name": "asked-for"}))?;
    // Its account is another matter.
    pod["spec"]["serviceAccountName"] = "default".into();
    let work = tempfile::tempdir()?;
    let file = work.path().join("pod.yaml");
    std::fs::write(&file, serde_yaml::to_string(&pod)?)?;
    let file = file.display().to_string();
    kube.kubectl(&["create", "--dry-run=server", "--namespace", namespace, "-f", &file]).await
}

/// What Helm prints at the end: the first resources are taken, and the commands are about what there is.
#[tokio::test]
#[ignore = "needs the test cluster: tests/run starts it"]
async fn the_notes_are_right_for_the_values() {
    let kube = Kube::shared().await;
    kube.crds().await;
    let namespace = kube.namespace().await;
    for values in ["dataPlane.kind=Deployment", "dataPlane.kind=DaemonSet,fullnameOverride=edge,tls.enabled=false"] {
        let values = format!("--set={values},watchNamespaces={{{}}}", &*namespace);
        let names = render(&kube, &namespace, &[&values]).await.unwrap().names();
        let notes = notes(&kube, &namespace, &values).await;
        let (_, manifest) = notes.split_once("<<'END'\n").unwrap();
        let (manifest, _) = manifest.split_once("\nEND\n").unwrap();
        assert!(notes.contains(&format!("kubectl apply --namespace {} ", &*namespace)), "{notes}");
        kube.apply_in(&namespace, manifest).await.unwrap();
        let objects: Vec<_> =
            notes.split_whitespace().filter(|word| word.contains("/weir-") || word.contains("/edge-")).collect();
        assert_eq!(objects.len(), 2, "{notes}");
        for object in objects {
            assert!(names.iter().any(|name| name.to_lowercase() == object), "{object} is not in {names:?}");
        }
        assert_eq!(notes.contains("WARNING: tls.enabled is false"), values.contains("tls.enabled=false"), "{notes}");
    }
}

async fn notes(kube: &Kube, namespace: &str, values: &str) -> String {
    let chart = folder();
    let install = ["install", RELEASE, chart.to_str().unwrap(), "--namespace", namespace, "--dry-run=client", values];
    let said = kube.helm(&install).await.unwrap();
    said.split_once("NOTES:\n").unwrap().1.to_owned()
}
