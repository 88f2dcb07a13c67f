//! What a service account may present to the API server.

use std::fs;
use std::path::PathBuf;

use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::PostParams;
use kube::config::Config;
use serde_json::json;

use super::Kube;

impl Kube {
    /// A token of a service account, as a pod would get it.
    ///
    /// # Panics
    /// If there is no such account.
    pub async fn token(&self, namespace: &str, account: &str) -> String {
        self.bound_token(namespace, account, None).await
    }

    /// A token that ends with the object it is bound to.
    ///
    /// # Panics
    /// If there is no such account or object.
    pub async fn bound_token(&self, namespace: &str, account: &str, to: Option<BoundObjectReference>) -> String {
        let spec = TokenRequestSpec { bound_object_ref: to, expiration_seconds: Some(3600), ..Default::default() };
        let request = TokenRequest { spec, ..Default::default() };
        let accounts = Api::<ServiceAccount>::namespaced(self.client(), namespace);
        let answer = accounts.create_token_request(account, &PostParams::default(), &request).await.expect("a token");
        answer.status.expect("a token").token
    }

    /// Writes a kubeconfig with a service account's rights, for programs.
    ///
    /// # Panics
    /// If there is no such account.
    pub async fn kubeconfig_of(&self, namespace: &str, account: &str) -> PathBuf {
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {
                "server": self.place.description.server, "certificate-authority": self.place.description.ca,
            }}],
            "users": [{"name": "test", "user": {"token": self.token(namespace, account).await}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": namespace}}],
        });
        let file = self.place.dir.join(format!("{namespace}-{account}.kubeconfig"));
        fs::write(&file, kubeconfig.to_string()).expect("a folder to write to");
        file
    }

    /// What a client with a service account's rights is made from.
    ///
    /// # Panics
    /// If there is no such account.
    pub async fn config_of(&self, namespace: &str, account: &str) -> Config {
        super::config(&self.kubeconfig_of(namespace, account).await).await
    }
}
