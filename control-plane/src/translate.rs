//! Resources to what proxies get. Pure: one function a kind, from a specification to a checked message or
//! the reasons against it.
//!
//! A specification becomes a wire message with every default in place, and the message is decoded as a
//! proxy would: what can be wrong with a value is known in one place only, `weir_proto::convert`.

mod backend;
mod backend_tls;
mod endpoints;
mod health;
mod plugin;
mod pool;
mod protocol;
mod tls;

pub use backend::backend;
pub use backend_tls::{backend_wants, client_certificate};
pub use endpoints::endpoints;
pub use plugin::{Want, metric, plugin, plugin_pools, plugin_use, plugin_wants, use_pools, use_wants};
pub use pool::{in_force, merged, pool};
use prost::Message;
pub use protocol::check_backend;
pub use tls::{Claim, claim, tls, tls_wants};
use weir_proto::convert::{self, Decoded};
use weir_proto::model::{Invalid, Key};
use weir_proto::pb::resource::Body;

/// Largest encoded body: a proxy takes messages of up to 4 MiB, and one resource should be far from it.
const MAX_BODY: usize = 1 << 20;

/// The same of a Plugin, whose code may fill a whole `ConfigMap`, which takes 1 MiB.
const MAX_PLUGIN: usize = 2 << 20;

/// Decodes a body as a proxy would, and gives its canonical form.
fn checked(key: &Key, body: Body) -> Result<Body, Invalid> {
    let canonical = match convert::decode(key, body)? {
        Decoded::Pool(pool) => Body::from(pool.as_ref()),
        Decoded::Backend(backend) => Body::from(backend.as_ref()),
        Decoded::Plugin(plugin) => Body::from(plugin.as_ref()),
        Decoded::Endpoints(endpoints) => Body::from(endpoints.as_ref()),
    };
    let (size, most) = match &canonical {
        Body::Pool(pool) => (pool.encoded_len(), MAX_BODY),
        Body::Backend(backend) => (backend.encoded_len(), MAX_BODY),
        Body::Plugin(plugin) => (plugin.encoded_len(), MAX_PLUGIN),
        Body::Endpoints(endpoints) => (endpoints.encoded_len(), MAX_BODY),
    };
    if size > most {
        return Err(Invalid::new("spec", format!("takes {size} bytes, the most is {most}")));
    }
    Ok(canonical)
}

#[cfg(test)]
mod tests {
    use weir_proto::model::Files;

    use super::*;
    use crate::source::{Given, Object, Spec};
    use crate::testing::{backend as given_backend, pool as given_pool};

    fn object(given: Given) -> Object {
        match given {
            Given::Object(object) => object,
            Given::Broken { findings, .. } => panic!("{findings:?}"),
        }
    }

    fn translated(given: Given) -> Result<Body, String> {
        let object = object(given);
        match &object.spec {
            Spec::Pool(spec) => pool(&object.key, spec, Vec::new(), None),
            Spec::Plugin(spec) => plugin(&object.key, spec, &Files::default()),
            Spec::Backend(spec) => backend(&object.key, spec, &Files::default()),
        }
        .map_err(|e| e.to_string())
    }

    #[test]
    fn an_empty_pool_has_every_default_of_the_model() {
        let default = weir_proto::model::Pool::new("default/a".parse().unwrap());
        assert_eq!(translated(given_pool("a", "{}")), Ok(Body::from(&default)));
    }

    #[test]
    fn what_a_schema_cannot_say_is_refused_with_its_field() {
        let error = |spec| translated(given_pool("a", spec)).unwrap_err();
        let regex = error("{match: [{}, {path: {type: Regex, value: 'a('}}]}");
        assert!(regex.starts_with("spec.match[1].path.value: ") && regex.contains("does not compile"), "{regex}");
        assert!(error("{match: [{hosts: ['a.*.b']}]}").starts_with("spec.match[0].hosts[0]: "));
        assert!(error("{retry: {methods: [get]}}").starts_with("spec.retry.methods[0]: "));
        assert!(error("{timeouts: {read: 9000h}}").starts_with("spec.timeouts.read: "));
        assert!(error("{retry: {bufferLimit: 99999999999999999Gi}}").starts_with("spec.retry.bufferLimit: "));
        assert!(error("{balance: {method: Hash}}").starts_with("spec.balance.hash: "));
        let address = translated(given_backend("x", "{pool: a, address: '300.1.1.1:80'}")).unwrap_err();
        assert!(address.starts_with("spec.address: "), "{address}");
    }

    #[test]
    fn a_resource_too_large_for_a_message_is_refused() {
        let labels: Vec<String> = (0..64).map(|i| format!("l{i}: {}", "x".repeat(20_000))).collect();
        let spec = format!("{{pool: a, address: 'h:1', labels: {{{}}}}}", labels.join(", "));
        assert!(translated(given_backend("x", &spec)).unwrap_err().contains("the most is 1048576"));
    }
}
