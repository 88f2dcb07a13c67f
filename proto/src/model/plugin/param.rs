//! Parameters of the built-in plugin types: the only place that knows their shapes and rules.
//!
//! Both planes read them with [`Param::parse`]: the control plane to refuse a wrong one, naming the field, the proxy to
//! make a stage of it. Unknown fields are refused. What the rules say of a single value is said where the value is read,
//! so that the path of the field comes with it; only what concerns several fields is checked after.

pub mod admission;
pub mod choice;
pub mod compress;
pub mod cors;
pub mod credentials;
pub mod external_auth;
pub mod files;
pub mod headers;
pub mod jwks;
pub mod jwt;
pub mod metrics;
pub mod mirror;
pub mod rate_limit;
pub mod rewrite;
mod scalar;
pub mod stickiness;
pub mod template;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{BuiltIn, Files};
use crate::model::{HashKey, Invalid};

pub use admission::{Abort, AllowAddresses, Delay, Fault, Require};
pub use choice::{Carrier, Order, Score, Subset, WeightedScore, WhenEmpty};
pub use compress::{Algorithm, Compress, MediaRange};
pub use cors::Cors;
pub use credentials::{ApiKey, BasicAuth, PasswordHash};
pub use external_auth::ExternalAuth;
pub use files::{Reference, references};
pub use headers::HeaderEdit;
pub use jwks::KeySet;
pub use jwt::{Jwt, KeySource};
pub use metrics::{Measure, MetricKind, Metrics};
pub use mirror::Mirror;
pub use rate_limit::{RateKey, RateLimit};
pub use rewrite::{PathRewrite, Redirect, RedirectTarget, Respond, Rewrite, Scheme};
pub use stickiness::{Encoding, SameSite, Stickiness};
pub use template::{Part, Template, Variable};

/// A parameter that its type can work with.
#[derive(Debug, Clone, PartialEq)]
pub enum Param {
    /// Of `Random`.
    Random,
    /// Of `LeastConnections`.
    LeastConnections,
    /// Of `LeastLoad`.
    LeastLoad,
    /// Of `Fill`.
    Fill,
    /// Of `Score`.
    Score(Score),
    /// Of `WeightedScore`.
    WeightedScore(WeightedScore),
    /// Of `Hash`.
    Hash(HashKey),
    /// Of `Subset`.
    Subset(Subset),
    /// Of `Stickiness`.
    Stickiness(Stickiness),
    /// Of `RequestHeaders`.
    RequestHeaders(Vec<HeaderEdit>),
    /// Of `ResponseHeaders`.
    ResponseHeaders(Vec<HeaderEdit>),
    /// Of `Rewrite`.
    Rewrite(Rewrite),
    /// Of `Redirect`.
    Redirect(Redirect),
    /// Of `Respond`.
    Respond(Respond),
    /// Of `Cors`.
    Cors(Cors),
    /// Of `AllowAddresses`.
    AllowAddresses(AllowAddresses),
    /// Of `Require`.
    Require(Require),
    /// Of `Fault`.
    Fault(Fault),
    /// Of `RateLimit`.
    RateLimit(RateLimit),
    /// Of `ApiKey`.
    ApiKey(ApiKey),
    /// Of `BasicAuth`.
    BasicAuth(BasicAuth),
    /// Of `Jwt`.
    Jwt(Jwt),
    /// Of `ExternalAuth`.
    ExternalAuth(ExternalAuth),
    /// Of `Compress`.
    Compress(Compress),
    /// Of `Mirror`.
    Mirror(Mirror),
    /// Of `Metrics`.
    Metrics(Metrics),
}

/// Of a type that needs none.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

impl Param {
    /// Reads the parameter of a type; `files` has what it refers to. Null is the same as no field at all.
    ///
    /// # Errors
    /// Names the field: `rate`, `headers[0].name`; the empty one is the parameter itself.
    pub fn parse(built_in: BuiltIn, param: &Value, files: &Files) -> Result<Self, Invalid> {
        Ok(match built_in {
            BuiltIn::Random => read::<Nothing>(param).map(|_| Self::Random)?,
            BuiltIn::LeastConnections => read::<Nothing>(param).map(|_| Self::LeastConnections)?,
            BuiltIn::LeastLoad => read::<Nothing>(param).map(|_| Self::LeastLoad)?,
            BuiltIn::Fill => read::<Nothing>(param).map(|_| Self::Fill)?,
            BuiltIn::Score => Self::Score(read(param)?),
            BuiltIn::WeightedScore => Self::WeightedScore(WeightedScore::parse(param)?),
            BuiltIn::Hash => Self::Hash(choice::parse_hash(param)?),
            BuiltIn::Subset => Self::Subset(Subset::parse(param)?),
            BuiltIn::Stickiness => Self::Stickiness(Stickiness::parse(param, files)?),
            BuiltIn::RequestHeaders => Self::RequestHeaders(headers::parse(param)?),
            BuiltIn::ResponseHeaders => Self::ResponseHeaders(headers::parse(param)?),
            BuiltIn::Rewrite => Self::Rewrite(Rewrite::parse(param)?),
            BuiltIn::Redirect => Self::Redirect(Redirect::parse(param)?),
            BuiltIn::Respond => Self::Respond(Respond::parse(param)?),
            BuiltIn::Cors => Self::Cors(Cors::parse(param)?),
            BuiltIn::AllowAddresses => Self::AllowAddresses(read(param)?),
            BuiltIn::Require => Self::Require(Require::parse(param)?),
            BuiltIn::Fault => Self::Fault(Fault::parse(param)?),
            BuiltIn::RateLimit => Self::RateLimit(RateLimit::parse(param)?),
            BuiltIn::ApiKey => Self::ApiKey(ApiKey::parse(param, files)?),
            BuiltIn::BasicAuth => Self::BasicAuth(BasicAuth::parse(param, files)?),
            BuiltIn::Jwt => Self::Jwt(Jwt::parse(param, files)?),
            BuiltIn::ExternalAuth => Self::ExternalAuth(ExternalAuth::parse(param)?),
            BuiltIn::Compress => Self::Compress(Compress::parse(param)?),
            BuiltIn::Mirror => Self::Mirror(read(param)?),
            BuiltIn::Metrics => Self::Metrics(Metrics::parse(param)?),
        })
    }
}

/// Reads a parameter field by field.
fn read<T: DeserializeOwned>(param: &Value) -> Result<T, Invalid> {
    let empty = Value::Object(serde_json::Map::new());
    let param = if param.is_null() { &empty } else { param };
    if !param.is_object() {
        return Err(Invalid::new("", "must be an object"));
    }
    serde_path_to_error::deserialize(param).map_err(|error| {
        let path = error.path().to_string();
        Invalid::new(if path == "." { String::new() } else { path }, error.into_inner().to_string())
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    /// What is wrong with a parameter, as people read it.
    pub(crate) fn refusal(built_in: BuiltIn, param: &Value) -> String {
        Param::parse(built_in, param, &Files::default()).unwrap_err().to_string()
    }

    pub(crate) fn parse(built_in: BuiltIn, param: &Value) -> Param {
        Param::parse(built_in, param, &Files::default()).unwrap()
    }

    /// Contents of the Secrets and ConfigMaps among these documents.
    fn contents(documents: &[Value]) -> Files {
        let entries = documents.iter().flat_map(|document| {
            let (folder, field) = match document["kind"].as_str() {
                Some("Secret") => ("secret", "stringData"),
                _ => ("configmap", "data"),
            };
            let name = document["metadata"]["name"].as_str().unwrap();
            let entries = document[field].as_object().into_iter().flatten();
            entries.map(move |(key, value)| (format!("{folder}/{name}/{key}"), value.as_str().unwrap().into()))
        });
        Files(entries.collect())
    }

    #[test]
    fn p1_there_is_an_example_of_each_type_and_each_is_right() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/examples/plugins/builtin");
        let mut shown = Vec::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            let documents = serde_yaml::Deserializer::from_str(&text).map(|d| Value::deserialize(d).unwrap());
            let documents: Vec<Value> = documents.collect();
            let files = contents(&documents);
            for plugin in documents.iter().filter(|document| document["kind"] == "Plugin") {
                let spec = &plugin["spec"];
                let built_in: BuiltIn = spec["type"].as_str().unwrap().parse().unwrap();
                Param::parse(built_in, &spec["param"], &files).unwrap_or_else(|e| panic!("{built_in}: {e}"));
                shown.push(built_in);
            }
        }
        shown.sort();
        let mut all = BuiltIn::ALL.to_vec();
        all.sort();
        assert_eq!(shown, all);
    }

    #[test]
    fn p1_types_without_parameter_take_none() {
        for built_in in [BuiltIn::Random, BuiltIn::LeastConnections, BuiltIn::LeastLoad, BuiltIn::Fill] {
            assert!(Param::parse(built_in, &Value::Null, &Files::default()).is_ok());
            assert!(Param::parse(built_in, &json!({}), &Files::default()).is_ok());
            let refused = refusal(built_in, &json!({"rate": 1}));
            assert!(refused.starts_with("rate: unknown field"), "{refused}");
        }
    }

    #[test]
    fn p1_a_parameter_of_another_shape_is_refused() {
        for param in [json!("text"), json!(5), json!(["a"])] {
            let refused = refusal(BuiltIn::Score, &param);
            assert!(refused.contains("must be an object"), "{refused}");
        }
    }
}
