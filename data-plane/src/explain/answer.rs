//! What a dry run comes to. The JSON of `POST /api/v1/explain`, and what `weir explain` shows as a tree.

use serde::{Deserialize, Serialize};

/// Where a request would go, and why. One of `choice`, `answer` and `queued` is there.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The request as the matcher sees it.
    pub request: Seen,
    /// The rule that takes the request, and those that come nearest to it.
    pub rules: Vec<RuleSeen>,
    /// The pools of that rule, in the order in which this request asks them.
    pub chain: Vec<PoolSeen>,
    /// What plugins say, call by call.
    pub plugins: Vec<PluginCall>,
    /// The endpoints of each pool that was asked for one.
    pub candidates: Vec<CandidateSeen>,
    /// The endpoint that would get the request; where chance decides, the likeliest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub choice: Option<Choice>,
    /// What Weir itself would answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
    /// Where it would wait for an endpoint with room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queued: Option<Queued>,
    /// Whether it will come like this: chance decides nothing, and nothing was supposed.
    pub certain: bool,
    /// What was taken to be true, as nobody may be asked in a dry run.
    pub supposed: Vec<String>,
}

/// The request, in the one form in which all else sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    /// Its method.
    pub method: String,
    /// `http` or `https`, as the client sees it.
    pub scheme: String,
    /// Without port, in lower case.
    pub host: String,
    /// Normalised.
    pub path: String,
    /// Without question mark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// Who it is from, after what trusted proxies say.
    pub client: String,
    /// The listener that it comes by.
    pub listener: String,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleSeen {
    /// Host, path and further conditions.
    pub rule: String,
    /// Who has it.
    pub pools: Vec<String>,
    /// Whether it takes the request.
    pub matched: bool,
    /// Why not.
    pub misses: Vec<Missed>,
}

/// A condition that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Missed {
    /// `host`, `path`, `method`, `header`, `query`; `listener` of a rule of another one; `order` of one that holds, where a
    /// better one does, too.
    pub condition: String,
    /// Of the header or parameter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What the rule asks for.
    pub expected: String,
    /// What there is; null = nothing.
    pub found: Option<String>,
}

/// A pool of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolSeen {
    /// `namespace/name`.
    pub pool: String,
    /// Lowest first.
    pub priority: i32,
    /// Share among equal priorities.
    pub weight: u32,
    /// What becomes of the request there.
    pub outcome: Outcome,
    /// Why it is passed over; empty if it is not.
    pub reason: String,
}

/// What becomes of a request in a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It ends there.
    Taken,
    /// It goes on to the next pool.
    Passed,
    /// It has ended before.
    NotReached,
}

/// A call of a plugin's hook.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PluginCall {
    /// Where the request is.
    pub pool: String,
    /// `namespace/name`, or pool and type.
    pub plugin: String,
    /// `pre`, `balance` or `post`; `done` runs only after a response.
    pub hook: String,
    /// What it comes to.
    #[serde(flatten)]
    pub answer: Said,
    /// What it changes of request and response, in words.
    pub changes: Vec<String>,
    /// What it wrote to the log.
    pub log: Vec<String>,
}

/// What a hook says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Said {
    /// The request goes on.
    Continued,
    /// The request ends.
    Halted {
        /// Of the answer.
        status: u16,
        /// Of the answer.
        headers: Vec<(String, String)>,
    },
    /// Candidates are left.
    Kept {
        /// Their names.
        kept: Vec<String>,
        /// How many there were.
        of: usize,
    },
    /// It fails; its `failurePolicy` says what becomes of the request.
    Failed {
        /// The kind of failure, as in metrics.
        reason: String,
        /// What is wrong.
        text: String,
    },
}

/// An endpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CandidateSeen {
    /// Its pool.
    pub pool: String,
    /// Name of the Backend.
    pub backend: String,
    /// Where it listens.
    pub address: String,
    /// `Active`, `Standby` or `Backup`.
    pub role: String,
    /// Share.
    pub weight: u32,
    /// As in the state of the pool.
    pub state: String,
    /// Requests in flight.
    pub in_flight: u32,
    /// How many there may be; 0 = unlimited.
    pub capacity: u32,
    /// Whether this request may go there.
    pub kept: bool,
    /// With what probability it does.
    pub share: f64,
    /// Why: `chosen` or `possible`; `method`, `plugin`, `full`, `role`, `directed`; `disabled`, `weight`, `terminating`,
    /// `ejected`, `down`.
    pub reason: String,
    /// The same for people.
    pub detail: String,
}

/// Where a request would go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Choice {
    /// `namespace/name` of the pool.
    pub pool: String,
    /// Name of the Backend.
    pub backend: String,
    /// Of the endpoint.
    pub address: String,
    /// What decides, if several are left.
    pub method: String,
}

/// An answer without a backend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// The short reason, as in metrics and logs; none of a redirect to https.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// For people.
    pub detail: String,
    /// The pool that answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// The plugin that answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// Where it sends the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
}

/// A place in a queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Queued {
    /// Whose queue.
    pub pool: String,
    /// How many wait already.
    pub ahead: usize,
    /// How many may wait.
    pub limit: u32,
    /// How long, in seconds; 0 = as long as it takes.
    pub timeout: f64,
}
