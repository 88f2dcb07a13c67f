//! A namespace of one test.

use std::ops::Deref;
use std::process::Command;

use k8s_openapi::api::core::v1::Namespace as Object;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};

use super::Kube;

/// A fresh namespace with a name of its own, which it derefs to; deleted with everything in it when dropped.
#[derive(Debug)]
pub struct Namespace {
    kube: Kube,
    name: String,
}

impl Kube {
    /// Makes a namespace.
    ///
    /// # Panics
    /// If that fails.
    pub async fn namespace(&self) -> Namespace {
        self.labelled_namespace(&[]).await
    }

    /// Makes a namespace with these labels, for example that of a level of pod security.
    ///
    /// # Panics
    /// If that fails.
    pub async fn labelled_namespace(&self, labels: &[(&str, &str)]) -> Namespace {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let metadata =
            ObjectMeta { generate_name: Some("test-".to_owned()), labels: Some(labels), ..Default::default() };
        let object = Object { metadata, ..Default::default() };
        let made = Api::all(self.client()).create(&PostParams::default(), &object).await.expect("a namespace");
        Namespace { kube: self.clone(), name: made.metadata.name.expect("a generated name") }
    }
}

impl Deref for Namespace {
    type Target = str;

    fn deref(&self) -> &str {
        &self.name
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // A private cluster may be stopped already; then there is nothing left to delete.
        let _ = Command::new(self.kube.program("kubectl"))
            .args(["delete", "namespace", &self.name, "--wait=false"])
            .env("KUBECONFIG", self.kube.kubeconfig())
            .output();
    }
}
