//! What is said about each resource: its conditions, and who is told.

mod board;
mod cluster;
mod document;
mod events;
mod health;
mod merged;
mod objects;
mod observed;
mod patcher;
mod reporter;
mod sink;
mod statuses;
mod wanted;
mod writer;

pub use board::Board;
pub(crate) use cluster::Cluster;
pub use health::{BackendHealth, EndpointHealth, EndpointState, PoolHealth};
pub use merged::Transition;
pub(crate) use merged::{EndpointDown, Merged, Told};
pub(crate) use objects::ObjectsSink;
pub use observed::{Observed, Seen};
pub(crate) use reporter::report;
use serde_json::{Value, json};
pub use sink::{Line, LineSink, StatusSink, Update};
pub(crate) use statuses::{Sources, Statuses};
use weir_proto::model::{Key, ResourceName};

use crate::api::condition::ConditionType;
use crate::api::pool::BalanceMethod;
use crate::api::status::UsedBy;
use crate::finding::Finding;

/// What a resource is judged to be, apart from the proxies.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// What is in force: of this version, or of the last good one; `None` = nothing.
    pub in_force: Option<InForce>,
    /// Where the endpoints of a Backend come from, as its user wrote it.
    pub address: Option<String>,
    /// The Pools that name a Plugin.
    pub used_by: Option<UsedBy>,
    /// `metadata.generation` that was judged.
    pub generation: Option<i64>,
    /// What is wrong with the resource itself; empty = accepted.
    pub invalid: Vec<Finding>,
    /// What it names and cannot have.
    pub reference: Option<(RefProblem, Finding)>,
}

/// What people want to know about the version in force, with what is inherited and every default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InForce {
    /// Of a Pool.
    Pool {
        /// The balancing method.
        method: BalanceMethod,
        /// The place in the chain.
        priority: i32,
    },
    /// Of a Backend.
    Backend {
        /// Its Pool.
        pool: ResourceName,
    },
    /// Of a Plugin.
    Plugin,
}

/// Why a reference does not resolve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefProblem {
    /// The Pool of a Backend, or one that a parameter names, does not exist.
    PoolNotFound,
    /// The Pool of a Backend never was in force.
    PoolRefused,
    /// The Pool named by `inherit` does not exist.
    BaseNotFound,
    /// The Pool named by `inherit` never was in force.
    BaseRefused,
    /// `inherit` leads back to where it began.
    InheritCircle,
    /// A Service is named where there is no cluster.
    NoCluster,
    /// The Service of a Backend does not exist.
    ServiceNotFound,
    /// The Service stands for a host, and has no endpoints.
    ServiceIsExternal,
    /// The Service has no such port.
    PortNotFound,
    /// The Plugin of a Pool does not exist.
    PluginNotFound,
    /// The Plugin of a Pool never was in force.
    PluginRefused,
    /// A Secret does not exist, or lacks a key.
    SecretNotFound,
    /// A ConfigMap does not exist, or lacks a key.
    ConfigMapNotFound,
    /// Another Pool's certificate, or clientCa, holds for a host. The Pool is in force all the same.
    CertificateConflict,
}

impl RefProblem {
    /// The reason of the condition.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PoolNotFound => "PoolNotFound",
            Self::PoolRefused => "PoolRefused",
            Self::BaseNotFound => "BaseNotFound",
            Self::BaseRefused => "BaseRefused",
            Self::InheritCircle => "InheritCircle",
            Self::NoCluster => "NoCluster",
            Self::ServiceNotFound => "ServiceNotFound",
            Self::ServiceIsExternal => "ServiceIsExternal",
            Self::PortNotFound => "PortNotFound",
            Self::PluginNotFound => "PluginNotFound",
            Self::PluginRefused => "PluginRefused",
            Self::SecretNotFound => "SecretNotFound",
            Self::ConfigMapNotFound => "ConfigMapNotFound",
            Self::CertificateConflict => "CertificateConflict",
        }
    }
}

impl Verdict {
    /// Whether nothing at all is wrong.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.invalid.is_empty() && self.reference.is_none()
    }

    /// All that is wrong.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.invalid.iter().chain(self.reference.iter().map(|(_, finding)| finding))
    }
}

/// How far the connected proxies are with the version in force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Programmed {
    /// Proxies that are connected.
    pub total: usize,
    /// Proxies that work with it.
    pub programmed: usize,
    /// Proxies that refused it, each with its reason.
    pub rejected: Vec<(String, String)>,
}

/// All that is said about a resource.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// What it is judged to be.
    pub verdict: Verdict,
    /// How far the proxies are with it.
    pub programmed: Programmed,
    /// How its endpoints are.
    pub health: Health,
}

/// How the endpoints of a resource are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// Of a Pool.
    Pool(PoolHealth),
    /// Of a Backend.
    Backend(BackendHealth),
    /// A Plugin has none.
    Plugin,
}

/// One condition, as in Kubernetes but without its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionState {
    /// Which one.
    pub kind: ConditionType,
    /// Whether it holds.
    pub holds: bool,
    /// One word.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

impl Programmed {
    /// Reason of the condition if a proxy refuses the version.
    pub(crate) const REJECTED: &str = "Rejected";
}

impl Status {
    /// Accepted, ResolvedRefs, Programmed.
    #[must_use]
    pub fn conditions(&self) -> [ConditionState; 3] {
        [accepted(&self.verdict), resolved(&self.verdict), programmed(&self.verdict, &self.programmed)]
    }
}

fn accepted(verdict: &Verdict) -> ConditionState {
    let holds = verdict.invalid.is_empty();
    let reason = if holds { "Accepted" } else { "Invalid" };
    ConditionState { kind: ConditionType::Accepted, holds, reason, message: messages(&verdict.invalid) }
}

fn resolved(verdict: &Verdict) -> ConditionState {
    let (holds, reason, message) = match &verdict.reference {
        None => (true, "ResolvedRefs", String::new()),
        Some((problem, finding)) => (false, problem.as_str(), messages([finding])),
    };
    ConditionState { kind: ConditionType::ResolvedRefs, holds, reason, message }
}

fn programmed(verdict: &Verdict, state: &Programmed) -> ConditionState {
    let Programmed { total, programmed, rejected } = state;
    let mut message = format!("on {programmed} of {total} proxies");
    let (holds, reason) = match rejected.first() {
        _ if verdict.in_force.is_none() => (false, "NotAccepted"),
        Some((node, why)) => {
            message = format!("{message}; refused by {node}: {why}");
            (false, Programmed::REJECTED)
        }
        None if *total == 0 => (false, "NoProxies"),
        None if programmed < total => (false, "Pending"),
        None => (true, "Programmed"),
    };
    ConditionState { kind: ConditionType::Programmed, holds, reason, message }
}

/// `field: message` of each finding.
fn messages<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> String {
    let bare = |f: &Finding| Finding { place: None, key: None, ..f.clone() }.to_string();
    findings.into_iter().map(bare).collect::<Vec<_>>().join("; ")
}

/// A resource with its conditions, for the admin interface.
pub(crate) fn to_json(key: &Key, status: &Status) -> Value {
    let condition = |c: ConditionState| json!({"type": c.kind.as_str(), "status": if c.holds { "True" } else { "False" }, "reason": c.reason, "message": c.message});
    json!({
        "kind": key.kind.as_str(),
        "namespace": key.name.namespace(),
        "name": key.name.name(),
        "inForce": status.verdict.in_force.is_some(),
        "conditions": status.conditions().map(condition),
        "findings": status.verdict.findings().collect::<Vec<_>>(),
    })
}
