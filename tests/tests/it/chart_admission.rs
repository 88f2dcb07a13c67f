//! The chart's admission policies, in force at a real API server.

use weir_tests::Kube;
use weir_tests::chart::render;
use weir_tests::eventually;
use weir_tests::kube::Namespace;

const RESOURCES: &str = r#"
apiVersion: weir.dev/v1alpha1
kind: Pool
metadata: {name: guarded, annotations: {weir.dev/termination-protection: "true"}}
spec: {priority: 1}
---
apiVersion: weir.dev/v1alpha1
kind: Backend
metadata: {name: fixed, labels: {weir.dev/static: "true"}}
spec: {pool: guarded, address: "10.0.0.1:80", weight: 2, labels: {zone: a}}
---
apiVersion: weir.dev/v1alpha1
kind: Backend
metadata: {name: free, labels: {weir.dev/static: "false"}, annotations: {weir.dev/termination-protection: "false"}}
spec: {pool: guarded, address: "10.0.0.2:80"}
"#;

/// Somebody who may change everything of Weir, as members of the role `edit` may, and nothing else.
const EDITOR: &str = "--as=editor";

/// A namespace with [`RESOURCES`] and the policies, which are for it alone.
struct Protected {
    kube: Kube,
    namespace: Namespace,
}

impl Protected {
    async fn start() -> Self {
        let kube = Kube::shared().await;
        kube.crds().await;
        let namespace = kube.namespace().await;
        let only = format!("--set=watchNamespaces={{{}}}", &*namespace);
        let policies =
            ["termination-protection", "static", "roles"].map(|it| format!("--show-only=templates/policies/{it}.yaml"));
        let [one, two, three] = &policies;
        let rendered = render(&kube, &namespace, &[&only, one, two, three]).await.unwrap();
        kube.kubectl(&["apply", "-f", &rendered.file()]).await.unwrap();
        kube.apply_in(&namespace, RESOURCES).await.unwrap();
        let this = Self { kube, namespace };
        this.bind("view").await;
        this.bind("edit").await;
        eventually("both policies are in force", async || {
            let one = this.run(&["delete", "pool", "guarded", "--dry-run=server"]).await;
            let two = this.run(&["delete", "backend", "fixed", "--dry-run=server"]).await;
            (one.is_err() && two.is_err()).then_some(())
        })
        .await;
        this
    }

    /// Gives the editor one of the chart's roles, in this namespace.
    async fn bind(&self, role: &str) {
        let role = format!("weir-{}-{role}", &*self.namespace);
        self.run(&["create", "rolebinding", &role, "--clusterrole", &role, "--user=editor"]).await.unwrap();
    }

    async fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.kube.kubectl(&[arguments, &["--namespace", &self.namespace]].concat()).await
    }

    async fn patch(&self, name: &str, patch: &str) -> anyhow::Result<String> {
        self.run(&["patch", "backend", name, "--type=merge", "--patch", patch]).await
    }

    /// Runs it, and must be refused with these words.
    async fn refused(&self, arguments: &[&str], words: &str) {
        let refusal = self.run(arguments).await.expect_err(words).to_string();
        assert!(refusal.contains("is forbidden") && refusal.contains(words), "{words:?} is not in {refusal:?}");
    }
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/run starts it"]
async fn termination_protection_refuses_deletion_and_says_how_to_lift_it() {
    let it = Protected::start().await;
    let lift = format!(
        "kubectl annotate pools.weir.dev guarded --namespace {} weir.dev/termination-protection-",
        &*it.namespace
    );
    it.refused(&["delete", "pool", "guarded"], &lift).await;
    it.refused(&["delete", "pools", "--all"], &lift).await;
    it.run(&["patch", "pool", "guarded", "--type=merge", "--patch", r#"{"spec": {"priority": 2}}"#]).await.unwrap();
    it.run(&["delete", "backend", "free"]).await.unwrap();

    let command: Vec<_> = lift.split(' ').skip(1).chain([EDITOR]).collect();
    it.run(&command).await.unwrap();
    it.run(&["delete", "pool", "guarded", EDITOR]).await.unwrap();
}

/// Merge patches of a static Backend, and the field that the refusal names.
const CHANGES: [(&str, &str); 5] = [
    (r#"{"spec": {"weight": 3}}"#, "spec.weight: "),
    (r#"{"spec": {"weight": null}}"#, "spec.weight: "),
    (r#"{"spec": {"labels": {"zone": "b"}}}"#, "spec.labels: "),
    (r#"{"spec": {"enabled": false, "address": "10.0.0.9:80"}}"#, "spec.address: "),
    (r#"{"metadata": {"labels": {"weir.dev/static": null}}, "spec": {"weight": 3}}"#, "spec.weight: "),
];

#[tokio::test]
#[ignore = "needs the test cluster: tests/run starts it"]
async fn a_static_resource_takes_nothing_but_enabled() {
    let it = Protected::start().await;
    for (patch, field) in CHANGES {
        it.refused(&["patch", "backend", "fixed", "--type=merge", "--patch", patch], field).await;
    }
    it.refused(&["delete", "backend", "fixed"], "it cannot be deleted").await;
    for enabled in ["false", "true"] {
        it.patch("fixed", &format!(r#"{{"spec": {{"enabled": {enabled}}}}}"#)).await.unwrap();
        assert_eq!(it.run(&["get", "backend", "fixed", "--output=jsonpath={.spec.enabled}"]).await.unwrap(), enabled);
    }
    it.patch("free", r#"{"spec": {"weight": 3}}"#).await.unwrap();
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/run starts it"]
async fn a_static_resource_still_gets_its_status_and_other_metadata() {
    let it = Protected::start().await;
    let status = r#"{"status": {"observedGeneration": 1}}"#;
    it.run(&["patch", "backend", "fixed", "--subresource=status", "--type=merge", "--patch", status]).await.unwrap();
    it.run(&["label", "backend", "fixed", "team=shop", EDITOR]).await.unwrap();
    // As it is, it may be applied again and again.
    it.kube.apply_in(&it.namespace, RESOURCES).await.unwrap();
    let server_side = ["apply", "--server-side", "--force-conflicts", "-f"];
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("resources.yaml");
    std::fs::write(&file, RESOURCES).unwrap();
    it.run(&[&server_side[..], &[file.to_str().unwrap()]].concat()).await.unwrap();
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/run starts it"]
async fn only_who_may_unlock_takes_the_label_of_a_static_resource_off() {
    let it = Protected::start().await;
    it.refused(&["label", "backend", "fixed", "weir.dev/static-", EDITOR], "may not be taken off by editor").await;
    it.refused(&["label", "backend", "fixed", "weir.dev/static=no", "--overwrite", EDITOR], "by editor").await;
    it.bind("unlock").await;
    it.run(&["label", "backend", "fixed", "weir.dev/static-", EDITOR]).await.unwrap();
    it.run(&["delete", "backend", "fixed", EDITOR]).await.unwrap();
}
