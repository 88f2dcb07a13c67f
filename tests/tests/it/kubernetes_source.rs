//! What is applied to a real cluster is what proxies serve by.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::json;
use weir_tests::kube::Namespace;
use weir_tests::{Backend, DataPlane, Kube, Kubelet, Load, Replica, eventually, get};

/// A namespace of a cluster, with a control plane that watches it and a proxy.
struct World {
    kube: Kube,
    namespace: Namespace,
    /// Gives this machine an address that a slice may name; no pod runs.
    kubelet: Kubelet,
    control: Replica,
    proxy: DataPlane,
}

impl World {
    /// With an administrator's rights.
    async fn start(kube: Kube) -> Self {
        kube.crds().await;
        let namespace = kube.namespace().await;
        let kubeconfig = kube.kubeconfig().to_owned();
        Self::with(kube, namespace, &kubeconfig).await
    }

    async fn with(kube: Kube, namespace: Namespace, kubeconfig: &Path) -> Self {
        let kubelet = Kubelet::start(&kube, &namespace).await;
        let control = Replica::with_rights(kubeconfig, &namespace, "weir-0").await;
        let proxy = DataPlane::builder(control.grpc()).start().await;
        Self { kube, namespace, kubelet, control, proxy }
    }

    async fn apply(&self, text: &str) {
        self.kube.apply_in(&self.namespace, text).await.unwrap();
    }

    /// A server whose address a slice may name.
    async fn server(&self, name: &str) -> Backend {
        Backend::start_on(&format!("{}:0", self.kubelet.gateway()), name).await
    }

    /// Makes these the endpoints of the Service, one slice for each.
    async fn serve_by(&self, servers: &[&Backend]) {
        let slices = servers.iter().enumerate().map(|(i, server)| slice(i, server.address()));
        self.apply(&json!({"apiVersion": "v1", "kind": "List", "items": slices.collect::<Vec<_>>()}).to_string()).await;
    }

    async fn answers(&self, expected: &str) {
        eventually(&format!("{expected} answers"), async || {
            let response = get(self.proxy.address(), "/").await.ok()?;
            (response.text() == expected).then_some(())
        })
        .await;
    }

    /// Waits until what is said of the resources has this text.
    async fn said(&self, text: &str) {
        eventually(&format!("{text:?} is said"), async || {
            let said = get(self.control.admin(), "/api/v1/resources").await.ok()?.text();
            said.contains(text).then_some(())
        })
        .await;
    }
}

const SERVICE: &str = "
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{name: http, port: 80}]}
";

const POOL: &str = "
apiVersion: weir.dev/v1alpha1
kind: Pool
metadata: {name: web}
spec: {}
---
apiVersion: weir.dev/v1alpha1
kind: Backend
metadata: {name: web}
spec: {pool: web, service: {name: web, port: http}}
";

fn slice(number: usize, address: SocketAddr) -> serde_json::Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": format!("web-{number}"), "labels": {"kubernetes.io/service-name": "web"}},
        "ports": [{"name": "http", "port": address.port()}],
        "endpoints": [{"addresses": [address.ip().to_string()]}],
    })
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the test cluster: tests/run starts it"]
async fn u1_traffic_follows_the_slices_of_a_service() {
    let world = World::start(Kube::shared().await).await;
    let (one, two) = (world.server("one").await, world.server("two").await);
    world.apply(POOL).await;
    world.said("there is no Service").await;
    world.serve_by(&[&one]).await;
    world.apply(SERVICE).await;
    world.answers("one").await;
    let load = Load::start(world.proxy.address(), 2);
    world.serve_by(&[&two]).await;
    world.answers("two").await;
    let tally = load.stop().await;
    assert!(tally.failures.is_empty() && tally.answered > 0, "{:?}", tally.failures);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the test cluster: tests/run starts it"]
async fn r1_a_restart_of_the_api_server_fails_no_request_and_changes_go_on() {
    let world = World::start(Kube::start().await).await;
    let (one, two) = (world.server("one").await, world.server("two").await);
    world.apply(&format!("{POOL}---{SERVICE}")).await;
    world.serve_by(&[&one]).await;
    world.answers("one").await;
    let load = Load::start(world.proxy.address(), 2);
    world.kube.kill_apiserver().await;
    world.control.line("what is known stays").await;
    world.kube.ready().await;
    world.serve_by(&[&two]).await;
    world.answers("two").await;
    let tally = load.stop().await;
    assert!(tally.failures.is_empty() && tally.answered > 0, "{:?}", tally.failures);
    assert!(world.control.metric("weir_watch_failures_total").await >= 1.0);
}

/// What a control plane of one namespace needs, and no ClusterRole.
const ROLE: &str = "
apiVersion: v1
kind: ServiceAccount
metadata: {name: weir}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: weir}
rules:
- {apiGroups: [weir.dev], resources: [pools, backends, plugins], verbs: [get, list, watch]}
- {apiGroups: [''], resources: [services], verbs: [get, list, watch]}
- {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [get, list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: weir}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: weir}
subjects: [{kind: ServiceAccount, name: weir}]
";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the test cluster: tests/run starts it"]
async fn a_role_is_enough_for_a_namespace() {
    let kube = Kube::shared().await;
    kube.crds().await;
    let namespace = kube.namespace().await;
    kube.apply_in(&namespace, ROLE).await.unwrap();
    let kubeconfig = kube.kubeconfig_of(&namespace, "weir").await;
    let world = World::with(kube, namespace, &kubeconfig).await;
    let server = world.server("one").await;
    world.apply(&format!("{POOL}---{SERVICE}")).await;
    world.serve_by(&[&server]).await;
    world.answers("one").await;
    assert_eq!(world.control.metric("weir_watch_failures_total").await, 0.0, "{}", world.control.log());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the test cluster: tests/run starts it"]
async fn s1_an_object_that_only_an_older_definition_takes_is_skipped_and_reported_alone() {
    let world = World::start(Kube::start().await).await;
    let server = world.server("one").await;
    world.apply(&format!("{POOL}---{SERVICE}")).await;
    world.serve_by(&[&server]).await;
    world.answers("one").await;
    // A definition that takes everything, as one of another version might take some of it.
    let any = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let schema = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";
    let patch = json!([{"op": "replace", "path": schema, "value": any}]).to_string();
    world.kube.kubectl(&["patch", "crd", "pools.weir.dev", "--type=json", "-p", &patch]).await.unwrap();
    let pool = |name: &str, spec: &str| POOL.split("---").next().unwrap().replace("web", name).replace("{}", spec);
    eventually("the definition is in force", async || {
        world.kube.apply_in(&world.namespace, &pool("odd", "{weight: heavy}")).await.ok()
    })
    .await;
    world.said("must be a whole number").await;
    // The last good version stays, also of a Pool that was in force.
    world.apply(&pool("web", "{weight: heavy, debugHeaders: true}")).await;
    world.said(&format!("Pool {}/web", &*world.namespace)).await;
    world.answers("one").await;
    world.apply(&pool("odd", "{weight: 2}")).await;
    eventually("it has mended", async || {
        let said = get(world.control.admin(), "/api/v1/resources").await.ok()?.text();
        (!said.contains(&format!("Pool {}/odd", &*world.namespace))).then_some(())
    })
    .await;
}
