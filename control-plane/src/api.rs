//! The resource types users write. The Rust types are the only source: schemas, defaults and CEL
//! rules of `deploy/crds` are generated from them, and file mode checks manifests against the same.
//!
//! Nothing here knows the wire or does I/O.

pub mod backend;
pub mod backend_tls;
pub mod condition;
mod fill;
pub mod grpc;
pub mod health;
pub mod plugin;
pub mod plugin_type;
pub mod pool;
mod schema;
pub mod status;
pub mod tls;

pub use backend::{Backend, BackendSpec, FastCgiSpec, Protocol};
pub use fill::Fill;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::core::CustomResourceExt;
pub use plugin::{Plugin, PluginSpec};
pub use pool::{Pool, PoolSpec};
pub(crate) use schema::ANYTHING;
pub use schema::schema;
use weir_proto::model::Kind;

/// The API group of every kind.
pub const GROUP: &str = "weir.dev";

/// The version of every kind.
pub const VERSION: &str = "v1alpha1";

/// `apiVersion` as written in a manifest.
pub const API_VERSION: &str = "weir.dev/v1alpha1";

/// The definition of one kind, as a cluster wants it; `None` if users do not write that kind.
#[must_use]
pub fn crd(kind: Kind) -> Option<CustomResourceDefinition> {
    let mut crd = match kind {
        Kind::Pool => Pool::crd(),
        Kind::Backend => Backend::crd(),
        Kind::Plugin => Plugin::crd(),
        Kind::Endpoints => return None,
    };
    schema::finish(&mut crd);
    Some(crd)
}

/// The definition of one kind as a YAML document; `None` if users do not write that kind.
///
/// # Panics
/// Never: a definition always has a YAML form.
#[must_use]
pub fn crd_yaml(kind: Kind) -> Option<String> {
    crd(kind).map(|crd| crate::yaml::to_string(&crd).expect("a definition has a YAML form"))
}

/// The definitions of all kinds as one YAML text, for `kubectl apply -f -`.
#[must_use]
pub fn crds_yaml() -> String {
    let documents = Kind::GIVEN.into_iter().filter_map(crd_yaml);
    documents.map(|document| format!("---\n{document}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `UPDATE=1 cargo test -p weir-control-plane` rewrites the files.
    #[test]
    fn the_crds_of_deploy_are_current() {
        for kind in Kind::GIVEN {
            let plural = format!("{}s", kind.as_str().to_lowercase());
            let path = format!("{}/../deploy/crds/{plural}.yaml", env!("CARGO_MANIFEST_DIR"));
            let text = crd_yaml(kind).unwrap();
            if std::env::var_os("UPDATE").is_some() {
                std::fs::write(&path, &text).unwrap();
            }
            let file = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(file == text, "{path} is out of date: run the tests with UPDATE=1");
        }
    }
}
