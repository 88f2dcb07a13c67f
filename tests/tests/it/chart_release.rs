//! The chart as people use it: installed, upgraded and uninstalled by real helm, its pods running as rendered, Weir's
//! resources applied by real kubectl.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use weir_tests::load::bodies;
use weir_tests::manifest::{example_folders, example_with, repository};
use weir_tests::metrics::samples;
use weir_tests::release::{CONTROL_PLANE, DATA_PLANE, NAMESPACE, Release};
use weir_tests::{Backend, Load, eventually, get};

struct Example {
    name: &'static str,
    namespace: &'static str,
    servers: &'static [&'static str],
    /// A path, and which servers answer it.
    path: &'static str,
    answering: &'static [&'static str],
}

const EXAMPLES: [Example; 4] = [
    Example {
        name: "demo",
        namespace: "demo",
        servers: &["web-1", "web-2", "web-3"],
        path: "/",
        answering: &["web-1", "web-2", "web-3"],
    },
    Example {
        name: "lua-resty-upstream",
        namespace: "upstream",
        servers: &["a", "b", "c", "d", "dr-1", "dr-2"],
        path: "/",
        answering: &["a", "b"],
    },
    Example {
        name: "monkey",
        namespace: "monkey",
        servers: &["host1", "host2", "host3", "host4", "host5", "port-80", "port-81", "port-82"],
        path: "/index.php",
        answering: &["host4"],
    },
    Example {
        name: "x0-director",
        namespace: "x0",
        servers: &["app-1", "app-2", "app-standby", "app-backup", "warrior"],
        path: "/warrior",
        answering: &["warrior"],
    },
];

/// Examples whose clients or servers speak no plain HTTP have tests of their own, and so have those of plugins.
const ELSEWHERE: [&str; 4] = ["php", "plugins", "tcp", "tls"];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the test cluster: tests/run starts it"]
async fn a_release_serves_every_example_is_upgraded_and_leaves_its_kinds_behind() {
    let elsewhere = ELSEWHERE.map(|name| repository().join("deploy/examples").join(name));
    let is_here = |folder: &PathBuf| !elsewhere.iter().any(|other| folder.starts_with(other));
    assert_eq!(example_folders().into_iter().filter(is_here).count(), EXAMPLES.len());
    let release = Release::install(&[]).await;
    let proxies = release.kubelet().service("weir-data-plane", "http").await;
    for example in EXAMPLES {
        let servers = example.apply(&release).await;
        eventually(&format!("{} is served", example.name), async || {
            let bodies = bodies(proxies.address(), example.path, 12, 1).await.ok()?;
            (bodies.into_keys().collect::<Vec<_>>() == example.answering).then_some(())
        })
        .await;
        programmed(&release, example.namespace).await;
        drop(servers);
        release.kube().kubectl(&["delete", "namespace", example.namespace]).await.unwrap();
    }
    upgraded(&release).await;
    release.uninstall().await;
    for kind in ["pools.weir.dev", "backends.weir.dev"] {
        release.kube().kubectl(&["get", "crd", kind]).await.unwrap();
    }
}

impl Example {
    /// Applies it with servers of its own in the place of those that it names.
    async fn apply(&self, release: &Release) -> BTreeMap<String, Backend> {
        let mut started = BTreeMap::new();
        for server in self.servers {
            started.insert((*server).to_owned(), release.backend(server).await);
        }
        release.kube().kubectl(&["create", "namespace", self.namespace]).await.unwrap();
        for (_, text) in example_with(self.name, |backend| started[backend].address()).unwrap() {
            release.kube().kubectl_apply(&text).await.unwrap();
        }
        started
    }
}

/// `kubectl get weir` says of every resource that both proxies serve by it.
async fn programmed(release: &Release, namespace: &str) {
    let path = "jsonpath={range .items[*]}{.status.conditions[?(@.type=='Programmed')].status} on {.status.proxies.summary}\n{end}";
    eventually("every resource is programmed", async || {
        let text = release.kube().kubectl(&["get", "weir", "--namespace", namespace, "-o", path]).await.unwrap();
        (!text.is_empty() && text.lines().all(|line| line == "True on 2/2")).then_some(())
    })
    .await;
}

/// Other values take effect in the pods: their number and their arguments.
async fn upgraded(release: &Release) {
    release.upgrade(&["dataPlane.replicas=3", "dataPlane.workers=1", "controlPlane.replicas=3"]).await;
    release.kubelet().ready(CONTROL_PLANE, 3).await;
    for pod in release.kubelet().ready(DATA_PLANE, 3).await {
        let arguments = pod.spec.unwrap().containers.remove(0).args.unwrap();
        assert!(arguments.contains(&"--workers=1".to_owned()), "{arguments:?}");
    }
}

const SHOP: &str = "apiVersion: weir.dev/v1alpha1\nkind: Pool\nmetadata: {name: web, namespace: shop}\nspec: {}\n";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the test cluster: tests/run starts it"]
async fn r1_no_request_fails_while_pods_and_certificates_are_replaced() {
    let release = Release::install(&[]).await;
    let proxies = release.kubelet().service("weir-data-plane", "http").await;
    release.kube().kubectl(&["create", "namespace", "shop"]).await.unwrap();
    release.kube().kubectl_apply(SHOP).await.unwrap();
    let first = replace_backend(&release, proxies.address(), "first").await;
    let load = Load::start(proxies.address(), 4);

    kill_a_control_plane(&release).await;
    let second = replace_backend(&release, proxies.address(), "second").await;
    renew_certificates(&release).await;
    // Every stream is made anew, by the new certificates.
    kill_a_control_plane(&release).await;
    let third = replace_backend(&release, proxies.address(), "third").await;
    replace_a_proxy(&release).await;

    let tally = load.stop().await;
    assert_eq!(tally.failures, Vec::<String>::new());
    let requests = [first, second, third].map(|backend| backend.requests());
    assert!(requests.iter().all(|&requests| requests > 0) && tally.answered > 1000, "{requests:?}, {tally:?}");
}

/// Makes another server the only one, and waits until all proxies serve by that.
async fn replace_backend(release: &Release, proxies: SocketAddr, name: &str) -> Backend {
    let backend = release.backend(name).await;
    let spec = format!("{{pool: web, address: \"{}\"}}", backend.address());
    let text = format!(
        "apiVersion: weir.dev/v1alpha1\nkind: Backend\nmetadata: {{name: web, namespace: shop}}\nspec: {spec}\n"
    );
    release.kube().kubectl_apply(&text).await.unwrap();
    eventually("the change is live on every proxy", async || {
        for _ in release.kubelet().pods(DATA_PLANE).await {
            // Connections go to the pods in turn.
            if get(proxies, "/").await.ok()?.text() != name {
                return None;
            }
        }
        Some(())
    })
    .await;
    backend
}

async fn kill_a_control_plane(release: &Release) {
    let pods = release.kubelet().ready(CONTROL_PLANE, 2).await;
    let pod = pods[0].name_any();
    let restarts = restarts(&pods[0]);
    release.kubelet().kill(&pod);
    eventually("it is started again", async || {
        let pods = release.kubelet().pods(CONTROL_PLANE).await;
        pods.iter().any(|other| other.name_any() == pod && self::restarts(other) > restarts).then_some(())
    })
    .await;
    release.kubelet().ready(CONTROL_PLANE, 2).await;
}

fn restarts(pod: &Pod) -> i32 {
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    statuses.map(|status| status.restart_count).sum()
}

/// Makes the issuer run as its CronJob would, with certificates that are to be made anew, and waits until every pod uses
/// its new one.
async fn renew_certificates(release: &Release) {
    let before = expiries(release).await;
    let kube = release.kube();
    let secrets = ["weir-control-plane-tls", "weir-data-plane-tls"];
    kube.kubectl(&[&["delete", "secret", "--namespace", NAMESPACE], &secrets[..]].concat()).await.unwrap();
    let from = "--from=cronjob/weir-certificates";
    kube.kubectl(&["create", "job", "--namespace", NAMESPACE, "renewal", from]).await.unwrap();
    eventually("every pod has its new certificate", async || {
        let now = expiries(release).await;
        (now.len() == before.len() && now.iter().all(|(pod, expiry)| before[pod] < *expiry)).then_some(())
    })
    .await;
}

/// When the certificate that each pod uses expires.
async fn expiries(release: &Release) -> BTreeMap<String, f64> {
    let mut all = BTreeMap::new();
    for (labels, port) in [(CONTROL_PLANE, 9801), (DATA_PLANE, 9900)] {
        for pod in release.kubelet().ready(labels, 2).await {
            let ip = pod.status.as_ref().unwrap().pod_ip.as_ref().unwrap();
            let metrics = get(SocketAddr::new(ip.parse().unwrap(), port), "/metrics").await.unwrap().text();
            let expiry = samples(&metrics, "weir_certificate_expiry_timestamp_seconds")[0].1;
            all.insert(pod.name_any(), expiry);
        }
    }
    all
}

async fn replace_a_proxy(release: &Release) {
    let pod = release.kubelet().ready(DATA_PLANE, 2).await[0].name_any();
    // Waits until it is gone: after its preStop hook and its drain.
    release.kube().kubectl(&["delete", "pod", "--namespace", NAMESPACE, &pod]).await.unwrap();
    let pods = release.kubelet().ready(DATA_PLANE, 2).await;
    assert!(pods.iter().all(|other| other.name_any() != pod));
}
