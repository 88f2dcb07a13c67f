//! The kubelet of the harness does what the tests of the chart rely on.

use std::path::Path;

use serde_json::json;
use weir_tests::kube::Namespace;
use weir_tests::manifest::{repository, web};
use weir_tests::{Backend, Kube, Kubelet, Load, eventually, get};

/// The pods of `testdata/pods.yaml`, in a namespace where only restricted ones may run.
struct Pods {
    kube: Kube,
    kubelet: Kubelet,
    namespace: Namespace,
}

impl Pods {
    /// Applies them with a backend; not yet ready.
    async fn start(backend: &str) -> (Self, Backend) {
        let kube = Kube::shared().await;
        let namespace = kube.labelled_namespace(&[("pod-security.kubernetes.io/enforce", "restricted")]).await;
        let kubelet = Kubelet::start(&kube, &namespace).await;
        let pods = Self { kube, kubelet, namespace };
        let backend = pods.backend(backend).await;
        let text = std::fs::read_to_string(repository().join("tests/testdata/pods.yaml")).unwrap();
        pods.apply(&text).await;
        pods.configure(&backend).await;
        (pods, backend)
    }

    async fn apply(&self, text: &str) {
        self.kube.apply_in(&self.namespace, text).await.unwrap();
    }

    /// One that pods reach.
    async fn backend(&self, name: &str) -> Backend {
        Backend::start_on(&format!("{}:0", self.kubelet.gateway()), name).await
    }

    /// Makes this the only backend.
    async fn configure(&self, backend: &Backend) {
        let data = json!({"web.yaml": web("", &[backend.address()])});
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "resources"}, "data": data});
        self.apply(&map.to_string()).await;
    }

    async fn kubectl(&self, arguments: &[&str]) -> String {
        let all = [&["--namespace", &self.namespace], arguments].concat();
        self.kube.kubectl(&all).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the test cluster: tests/run starts it"]
async fn pods_run_find_each_other_and_see_changed_volumes() {
    let (pods, _backend) = Pods::start("one").await;
    let proxies = pods.kubelet.ready("app=proxy", 2).await;
    let service = pods.kubelet.service("proxy", "http").await;
    assert_eq!(get(service.address(), "/").await.unwrap().text(), "one");
    let other = pods.backend("two").await;
    pods.configure(&other).await;
    eventually("the changed ConfigMap is live", async || {
        (get(service.address(), "/").await.ok()?.text() == "two").then_some(())
    })
    .await;
    for pod in proxies {
        assert!(pods.kubelet.probes(pod.metadata.name.as_deref().unwrap()).passed > 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the test cluster: tests/run starts it"]
async fn containers_have_no_rights_and_a_root_of_their_own() {
    let (pods, _backend) = Pods::start("one").await;
    let proxies = pods.kubelet.ready("app=proxy", 2).await;
    let process = pods.kubelet.process(proxies[0].metadata.name.as_deref().unwrap());
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    for line in ["Uid:\t65532\t65532\t65532\t65532", "Groups:\t65532", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1"] {
        assert!(status.contains(line), "{line} is not in {status}");
    }
    let root = format!("/proc/{process}/root");
    assert!(Path::new(&root).join("weir-data-plane").exists() && !Path::new(&root).join("home").exists());
    let mounts = std::fs::read_to_string(format!("/proc/{process}/mountinfo")).unwrap();
    let of = |place: &str| mounts.lines().rfind(|line| line.split(' ').nth(4) == Some(place)).unwrap().to_owned();
    assert!(of("/").split(' ').nth(5).unwrap().starts_with("ro"), "{mounts}");
    assert!(of("/var/cache/weir").split(' ').nth(5).unwrap().starts_with("rw"), "{mounts}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the test cluster: tests/run starts it"]
async fn a_killed_container_is_started_again_in_its_pod() {
    let (pods, _backend) = Pods::start("one").await;
    let before = pods.kubelet.ready("app=proxy", 2).await;
    let name = before[0].metadata.name.clone().unwrap();
    pods.kubelet.kill(&name);
    eventually("the API server knows of the restart", async || {
        let path = "jsonpath={.status.containerStatuses[0].restartCount}";
        (pods.kubectl(&["get", "pod", &name, "-o", path]).await == "1").then_some(())
    })
    .await;
    let names = |pods: &[k8s_openapi::api::core::v1::Pod]| -> Vec<_> {
        pods.iter().map(|pod| pod.metadata.name.clone()).collect()
    };
    assert_eq!(names(&pods.kubelet.ready("app=proxy", 2).await), names(&before));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the test cluster: tests/run starts it"]
async fn pods_are_replaced_without_a_failed_request() {
    let (pods, _backend) = Pods::start("one").await;
    let before = pods.kubelet.ready("app=proxy", 2).await;
    let service = pods.kubelet.service("proxy", "http").await;
    let load = Load::start(service.address(), 4);
    pods.kubectl(&["rollout", "restart", "deployment/proxy"]).await;
    pods.kubectl(&["rollout", "status", "deployment/proxy", "--timeout=60s"]).await;
    for pod in before {
        let name = pod.metadata.name.unwrap();
        eventually("the old pods are gone", async || {
            let left = pods.kubectl(&["get", "pods", "-o", "name"]).await;
            (!left.contains(&name)).then_some(())
        })
        .await;
    }
    let tally = load.stop().await;
    assert_eq!(tally.failures, Vec::<String>::new());
    assert!(tally.answered > 100, "{}", tally.answered);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the test cluster: tests/run starts it"]
async fn a_pod_that_is_not_restricted_is_refused() {
    let kube = Kube::shared().await;
    let namespace = kube.labelled_namespace(&[("pod-security.kubernetes.io/enforce", "restricted")]).await;
    let pod = "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: a, image: a}]}}";
    let refusal = kube.apply_in(&namespace, pod).await.unwrap_err().to_string();
    assert!(refusal.contains("violates PodSecurity \"restricted"), "{refusal}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the test cluster: tests/run starts it"]
async fn networks_that_a_killed_test_left_behind_are_removed() {
    let ip = |arguments: &str| {
        let output = std::process::Command::new("ip").args(arguments.split(' ')).output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    // No process has this id: it is above the highest one that Linux gives.
    for left in [
        "link add weir-255 type bridge",
        "link set weir-255 alias 4194305",
        "netns add weir-255-2",
        "link add weir255-2 type veth peer name eth0 netns weir-255-2",
    ] {
        assert!(ip(left).0, "{left}");
    }
    let kube = Kube::shared().await;
    let _kubelet = Kubelet::start(&kube, "default").await;
    assert!(!ip("link show weir-255").0 && !ip("link show weir255-2").0);
    assert!(!ip("netns list").1.contains("weir-255-2"));
}
