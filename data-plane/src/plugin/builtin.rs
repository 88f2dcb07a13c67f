//! The plugin types that come with Weir, one a file.

mod hash;
mod least_connections;
mod random;
mod score;
mod stickiness;
mod subset;
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
        Param::Score(param) => Arc::new(score::Score(param.order)),
        Param::WeightedScore(param) => Arc::new(weighted_score::WeightedScore(param)),
        Param::Hash(key) => Arc::new(hash::Hash(key)),
        Param::Subset(param) => Arc::new(subset::Subset(param)),
        Param::Stickiness(param) => Arc::new(stickiness::Stickiness::new(param)),
    }
}
