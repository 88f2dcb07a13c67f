//! The plugin types that come with Weir, one a file.

mod allow_addresses;
mod api_key;
mod basic_auth;
mod chance;
mod client;
mod compress;
mod cors;
mod external_auth;
mod fault;
mod fill;
mod hash;
mod headers;
mod jwt;
mod least_connections;
mod least_load;
mod metrics;
mod mirror;
mod random;
mod rate_limit;
mod redirect;
mod require;
mod respond;
mod rewrite;
mod score;
mod stickiness;
mod subset;
mod text;
mod weighted_score;

use std::sync::Arc;

use weir_proto::model::Param;

use super::Stage;

/// A stage with this parameter.
#[must_use]
pub fn stage(param: Param) -> Arc<dyn Stage> {
    match param {
        Param::Random => Arc::new(random::Random),
        Param::LeastConnections => Arc::new(least_connections::LeastConnections),
        Param::LeastLoad => Arc::new(least_load::LeastLoad),
        Param::Fill => Arc::new(fill::Fill),
        Param::Score(param) => Arc::new(score::Score(param.order)),
        Param::WeightedScore(param) => Arc::new(weighted_score::WeightedScore(param)),
        Param::Hash(key) => Arc::new(hash::Hash(key)),
        Param::Subset(param) => Arc::new(subset::Subset(param)),
        Param::Stickiness(param) => Arc::new(stickiness::Stickiness::new(param)),
        Param::RequestHeaders(edits) => Arc::new(headers::Headers::of_request(edits)),
        Param::ResponseHeaders(edits) => Arc::new(headers::Headers::of_response(edits)),
        Param::Rewrite(param) => Arc::new(rewrite::Rewrite::new(param)),
        Param::Redirect(param) => Arc::new(redirect::Redirect::new(param)),
        Param::Respond(param) => Arc::new(respond::Respond::new(param)),
        Param::Cors(param) => Arc::new(cors::Cors::new(param)),
        Param::AllowAddresses(param) => Arc::new(allow_addresses::AllowAddresses(param)),
        Param::Require(param) => Arc::new(require::Require::new(&param)),
        Param::Fault(param) => Arc::new(fault::Fault(param)),
        Param::RateLimit(param) => Arc::new(rate_limit::RateLimit::new(param)),
        Param::ApiKey(param) => Arc::new(api_key::ApiKey::new(param)),
        Param::BasicAuth(param) => Arc::new(basic_auth::BasicAuth::new(param)),
        Param::Jwt(param) => Arc::new(jwt::Jwt::new(param)),
        Param::ExternalAuth(param) => Arc::new(external_auth::ExternalAuth::new(param)),
        Param::Compress(param) => Arc::new(compress::Compress(Arc::new(param))),
        Param::Mirror(param) => Arc::new(mirror::Mirror::new(param)),
        Param::Metrics(param) => Arc::new(metrics::Metrics::new(param)),
    }
}
