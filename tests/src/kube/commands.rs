//! The commands of people: kubectl and helm.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, ensure};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::Kube;

impl Kube {
    /// Runs kubectl as administrator, and gives what it printed.
    ///
    /// # Errors
    /// With what it printed to standard error, if it failed.
    pub async fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.run("kubectl", arguments, "").await
    }

    /// `kubectl apply` of this text.
    ///
    /// # Errors
    /// As for [`Kube::kubectl`].
    pub async fn kubectl_apply(&self, manifests: &str) -> anyhow::Result<String> {
        self.run("kubectl", &["apply", "-f", "-"], manifests).await
    }

    /// `kubectl apply` of this text, for what names no namespace itself.
    ///
    /// # Errors
    /// As for [`Kube::kubectl`].
    pub async fn apply_in(&self, namespace: &str, manifests: &str) -> anyhow::Result<String> {
        self.run("kubectl", &["apply", "--namespace", namespace, "-f", "-"], manifests).await
    }

    /// Runs helm as administrator, and gives what it printed.
    ///
    /// # Errors
    /// As for [`Kube::kubectl`].
    pub async fn helm(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.run("helm", arguments, "").await
    }

    async fn run(&self, name: &str, arguments: &[&str], input: &str) -> anyhow::Result<String> {
        let mut child = self.command(name).args(arguments).spawn().with_context(|| name.to_owned())?;
        let mut stdin = child.stdin.take().context("piped")?;
        stdin.write_all(input.as_bytes()).await?;
        drop(stdin);
        let output = child.wait_with_output().await?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{name} {}: {errors}", arguments.join(" "));
        Ok(String::from_utf8(output.stdout)?)
    }

    fn command(&self, name: &str) -> Command {
        let home = self.place.dir.join("home");
        let mut command = Command::new(self.program(name));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        // Nothing of the user's own set-up is read or written.
        command.env("KUBECONFIG", self.kubeconfig()).env("KUBECACHEDIR", home.join("kubectl"));
        for (variable, folder) in
            [("HELM_CACHE_HOME", "cache"), ("HELM_CONFIG_HOME", "config"), ("HELM_DATA_HOME", "data")]
        {
            command.env(variable, home.join("helm").join(folder));
        }
        command
    }

    /// The file of one of the cluster's programs, such as `kubectl`.
    pub fn program(&self, name: &str) -> PathBuf {
        self.place.description.bin.join(name)
    }
}
