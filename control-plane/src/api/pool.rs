//! The kind Pool. Every field may be left out: it then comes from the Pool named by `inherit`, or has
//! the default named in its comment.
#![expect(unreachable_pub, reason = "KubeSchema copies each struct into a function, with its visibility")]
#![expect(clippy::duplicated_attributes, reason = "printer columns of equal type are no duplicates")]

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Fill;
use super::grpc::GrpcStatus;
use super::health::HealthSpec;
use super::plugin_type::BuiltInType;
use super::schema::{any, duration, free_map, size, statuses};
use super::status::PoolStatus;
use super::tls::TlsSpec;

/// Match rules and policy for a named set of backends.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "weir.dev",
    version = "v1alpha1",
    kind = "Pool",
    plural = "pools",
    shortname = "pool",
    category = "weir",
    namespaced,
    status = "PoolStatus",
    derive = "PartialEq",
    doc = "Match rules and policy for a named set of backends.",
    printcolumn(name = "Up/Total", type_ = "string", json_path = ".status.backends.summary"),
    printcolumn(name = "Method", type_ = "string", json_path = ".status.method"),
    printcolumn(name = "Priority", type_ = "integer", json_path = ".status.priority"),
    printcolumn(
        name = "Programmed",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Programmed')].status"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Proxies", type_ = "string", json_path = ".status.proxies.summary", priority = 1),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.status=='False')].message",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PoolSpec {
    /// A disabled pool is passed over in its chain; alone, it answers 503. Default: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// What clients and backends speak: HTTP, or TCP, whose bytes pass as they come. Default: HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<PoolProtocol>,
    /// Names of listeners. Default: every listener of the protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 63)))]
    pub listeners: Option<Vec<String>>,
    /// A request matches the pool if it matches one of these rules; not with protocol TCP. Default: every request.
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub rules: Option<Vec<MatchRule>>,
    /// Place in the chain of pools that hold an equal rule, lowest first. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// Share among pools of equal priority. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 65535))]
    pub weight: Option<u32>,
    /// Another Pool of this namespace whose values fill every field left out here; lists are taken whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub inherit: Option<String>,
    /// How a backend is chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balance: Option<BalanceSpec>,
    /// Plugins, in the order in which they run, which is the same in each phase of a request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub plugins: Option<Vec<PluginUse>>,
    /// Where a request may name the backend that it goes to, whatever its capacity and weight. Inherited as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direct: Option<DirectSpec>,
    /// Limits in time; 0s = none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<TimeoutsSpec>,
    /// What is tried again, and how often.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetrySpec>,
    /// Requests that wait because every backend has as many as its capacity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueSpec>,
    /// Value of Retry-After on each 503 and 504 that the proxy makes; 0s = none. Default: 10s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration")]
    pub retry_after: Option<String>,
    /// Idle upstream connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keepalive: Option<KeepaliveSpec>,
    /// How backends are judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthSpec>,
    /// What becomes of the upstream request when the client leaves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_client_abort: Option<ClientAbort>,
    /// Whether responses name pool, backend and attempts. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debug_headers: Option<bool>,
    /// Most bytes of a request body; 413 beyond, 0 = unlimited. Default: what the proxy's --max-body-size says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "size")]
    pub max_body_size: Option<String>,
    /// Free values that plugins see. A base fills the keys that are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "free_map")]
    pub config: Option<Map<String, Value>>,
    /// TLS with clients, on listeners that speak it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSpec>,
}

impl Fill for PoolSpec {
    fn fill(&mut self, base: &Self) {
        let Self {
            enabled,
            protocol,
            listeners,
            rules,
            priority,
            weight,
            inherit: _, // names a relation of this pool, and is no setting
            balance,
            plugins,
            direct,
            timeouts,
            retry,
            queue,
            retry_after,
            keepalive,
            health,
            on_client_abort,
            debug_headers,
            max_body_size,
            config,
            tls,
        } = self;
        enabled.fill(&base.enabled);
        protocol.fill(&base.protocol);
        listeners.fill(&base.listeners);
        rules.fill(&base.rules);
        priority.fill(&base.priority);
        weight.fill(&base.weight);
        balance.fill(&base.balance);
        plugins.fill(&base.plugins);
        direct.fill(&base.direct);
        timeouts.fill(&base.timeouts);
        retry.fill(&base.retry);
        queue.fill(&base.queue);
        retry_after.fill(&base.retry_after);
        keepalive.fill(&base.keepalive);
        health.fill(&base.health);
        on_client_abort.fill(&base.on_client_abort);
        debug_headers.fill(&base.debug_headers);
        max_body_size.fill(&base.max_body_size);
        config.fill(&base.config);
        tls.fill(&base.tls);
    }
}

/// What clients and backends speak: HTTP, or TCP, whose bytes pass as they come. Default: HTTP.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
pub enum PoolProtocol {
    /// Requests are looked at.
    #[default]
    Http,
    /// Bytes pass as they come.
    Tcp,
}

impl Fill for PoolProtocol {}

/// All conditions of a rule must hold.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MatchRule {
    /// One of these hosts, without port; `*.example.com` stands for one or more labels before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 255)))]
    pub hosts: Vec<String>,
    /// The path, without query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathRule>,
    /// One of these methods, in upper case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 32)))]
    pub methods: Vec<String>,
    /// Each of these headers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub headers: Vec<ValueRule>,
    /// Each of these query parameters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub query: Vec<ValueRule>,
}

/// A condition on the path.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("self.type == 'Regex' || self.value.startsWith('/')").field_path(".value").message("must begin with '/'"),
    validation = Rule::new("self.type == 'Regex' || !has(self.order)").field_path(".order").message("goes with type Regex only"),
    validation = Rule::new("self.type == 'Regex' || !has(self.caseInsensitive)").field_path(".caseInsensitive").message("goes with type Regex only")
)]
pub struct PathRule {
    /// Exact: the whole path. Prefix: whole segments at its start. Regex: searched anywhere in it.
    #[serde(rename = "type")]
    pub kind: PathType,
    /// What to look for.
    #[schemars(length(min = 1, max = 4096))]
    pub value: String,
    /// Regex only: the lower goes first. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<i32>,
    /// Regex only: letters match in both cases. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case_insensitive: Option<bool>,
}

/// Ways to match a path.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathType {
    /// The whole path.
    Exact,
    /// Whole segments at its start.
    Prefix,
    /// Searched anywhere in it.
    Regex,
}

/// A condition on one header or query parameter.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("self.type == 'Present' || has(self.value)").field_path(".value").message("is needed for types Exact and Regex"),
    validation = Rule::new("self.type != 'Present' || !has(self.value)").field_path(".value").message("does not go with type Present")
)]
pub struct ValueRule {
    /// Name of the header or parameter.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// Exact: this value. Regex: searched in the value. Present: any value.
    #[serde(rename = "type")]
    pub kind: ValueType,
    /// What to look for; not with Present.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub value: Option<String>,
}

/// Ways to match a value.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueType {
    /// This value.
    Exact,
    /// A value in which the pattern is found.
    Regex,
    /// Any value.
    Present,
}

/// How a backend is chosen.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("!has(self.hash) || !has(self.method) || self.method == 'Hash'").field_path(".hash").message("goes with method Hash only")
)]
pub struct BalanceSpec {
    /// The method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<BalanceMethod>,
    /// What is hashed, with method Hash. Inherited as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<HashSpec>,
}

impl Fill for BalanceSpec {
    fn fill(&mut self, base: &Self) {
        let Self { method, hash } = self;
        method.fill(&base.method);
        // A pool that turns to another method leaves the base's hash behind.
        if *method == Some(BalanceMethod::Hash) {
            hash.fill(&base.hash);
        }
    }
}

/// How a backend is chosen: RoundRobin: in turn, by weight, spread out; Random: by chance and weight;
/// LeastConnections: fewest requests in flight per weight; LeastLoad: most free capacity; PowerOfTwo: the less busy
/// of two taken by chance; PeakEwma: the lower latency times load of two taken by chance; FirstAlive: always from the
/// first; Fill: the first with room; Rotate: starts at the number of the client's connection; Hash: the same key goes
/// to the same backend. Default: RoundRobin.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BalanceMethod {
    /// In turn, by weight, spread out.
    #[default]
    RoundRobin,
    /// By chance and weight.
    Random,
    /// Fewest requests in flight per weight.
    LeastConnections,
    /// Most free capacity.
    LeastLoad,
    /// The less busy of two taken by chance.
    PowerOfTwo,
    /// The lower latency times load of two taken by chance.
    PeakEwma,
    /// Always from the first.
    FirstAlive,
    /// The first with room.
    Fill,
    /// Starts at the number of the client's connection.
    Rotate,
    /// The same key goes to the same backend.
    Hash,
}

impl Fill for BalanceMethod {}

/// What is hashed.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("self.source == 'Address' || has(self.name)").field_path(".name").message("is needed for a header, cookie or query parameter"),
    validation = Rule::new("self.source != 'Address' || !has(self.name)").field_path(".name").message("does not go with source Address")
)]
pub struct HashSpec {
    /// Where the key comes from. A request without it is hashed by its address.
    pub source: HashSource,
    /// Name of the header, cookie or query parameter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub name: Option<String>,
}

impl Fill for HashSpec {}

/// Sources of a hash key.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashSource {
    /// The client's address.
    Address,
    /// A request header.
    Header,
    /// A cookie.
    Cookie,
    /// A query parameter.
    Query,
}

/// The use of a plugin.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("has(self.name) || has(self.type)").message("one of name and type must be there"),
    validation = Rule::new("!has(self.name) || !has(self.type)").field_path(".type").message("does not go with name: write one of them")
)]
pub struct PluginUse {
    /// A Plugin of this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub name: Option<String>,
    /// Instead of a name: a type that comes with Weir.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<BuiltInType>,
    /// The parameter. Of a Plugin, it overrides the Plugin's own: field by field if both are mappings (null
    /// takes a field out), else in whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any")]
    pub param: Option<Value>,
}

/// Where a request may name the backend that it goes to. An empty value names none.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("has(self.cookie) || has(self.header)").message("one of cookie and header must be there"),
    validation = Rule::new("!has(self.cookie) || !has(self.header)").field_path(".header").message("does not go with cookie: write one of them")
)]
pub struct DirectSpec {
    /// Name of a cookie.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub cookie: Option<String>,
    /// Instead of a cookie: name of a header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub header: Option<String>,
}

impl Fill for DirectSpec {}

/// Limits in time; 0s = none.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TimeoutsSpec {
    /// For a connection to be made. Default: 2s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration")]
    pub connect: Option<String>,
    /// For the response head, and between two reads of its body. Default: 60s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration")]
    pub read: Option<String>,
    /// For the upstream to take more of the request. Default: 10s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration")]
    pub write: Option<String>,
    /// For the whole request with all its tries, until the end of the response. Default: 0s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration")]
    pub request: Option<String>,
    /// For a connection of TCP, or an upgraded one (WebSocket), on which nothing moves. Default: 60s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration")]
    pub idle: Option<String>,
}

impl Fill for TimeoutsSpec {
    fn fill(&mut self, base: &Self) {
        let Self { connect, read, write, request, idle } = self;
        connect.fill(&base.connect);
        read.fill(&base.read);
        write.fill(&base.write);
        request.fill(&base.request);
        idle.fill(&base.idle);
    }
}

/// What is tried again, and how often.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RetrySpec {
    /// Tries after the first in this pool, whatever their cause. Default: 6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub attempts: Option<u32>,
    /// Causes. Default: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    pub causes: Option<Vec<RetryCause>>,
    /// Response statuses that are tried again, as masks: 502, 50x, 5xx. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "statuses")]
    pub statuses: Option<Vec<String>>,
    /// Statuses of gRPC that are tried again, if they come in the head of a response, such as UNAVAILABLE. Calls are POSTs:
    /// `methods` must have that. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub grpc_statuses: Option<Vec<GrpcStatus>>,
    /// Methods tried again after bytes were sent, besides the idempotent ones. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 32)))]
    pub methods: Option<Vec<String>>,
    /// Limit for one try until its response head; 0s = none. Default: 0s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration")]
    pub per_try: Option<String>,
    /// Most retries in percent of the pool's requests (10 a second are always allowed). Default: 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub budget_percent: Option<u32>,
    /// Most bytes of a request body kept for a replay. Default: 64Ki.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "size")]
    pub buffer_limit: Option<String>,
}

impl Fill for RetrySpec {
    fn fill(&mut self, base: &Self) {
        let Self { attempts, causes, statuses, grpc_statuses, methods, per_try, budget_percent, buffer_limit } = self;
        attempts.fill(&base.attempts);
        causes.fill(&base.causes);
        statuses.fill(&base.statuses);
        grpc_statuses.fill(&base.grpc_statuses);
        methods.fill(&base.methods);
        per_try.fill(&base.per_try);
        budget_percent.fill(&base.budget_percent);
        buffer_limit.fill(&base.buffer_limit);
    }
}

/// Causes of a retry.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum RetryCause {
    /// No connection, or not in time.
    ConnectFailure,
    /// The connection broke before the response head was complete.
    Reset,
    /// No response head in time.
    Timeout,
}

/// Requests that wait because every backend has as many as its capacity.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QueueSpec {
    /// How many may wait on one proxy; those that come then go to the next Pool of the chain, or are answered 503.
    /// Default: 128.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub limit: Option<u32>,
    /// How long; 0s = without a limit. Default: 60s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration")]
    pub timeout: Option<String>,
    /// Status of the answer when the time is over. Default: 504.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 400, max = 599))]
    pub expired_status: Option<u32>,
    /// Whether requests wait, too, while no backend of the chain is up. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when_unavailable: Option<bool>,
}

impl Fill for QueueSpec {
    fn fill(&mut self, base: &Self) {
        let Self { limit, timeout, expired_status, when_unavailable } = self;
        limit.fill(&base.limit);
        timeout.fill(&base.timeout);
        expired_status.fill(&base.expired_status);
        when_unavailable.fill(&base.when_unavailable);
    }
}

/// Idle upstream connections.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeepaliveSpec {
    /// Most idle connections per endpoint and worker; 0 = none. Default: 128.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 65535))]
    pub max_idle: Option<u32>,
    /// How long one stays idle; 0s = for ever. Default: 60s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration")]
    pub idle_timeout: Option<String>,
}

impl Fill for KeepaliveSpec {
    fn fill(&mut self, base: &Self) {
        let Self { max_idle, idle_timeout } = self;
        max_idle.fill(&base.max_idle);
        idle_timeout.fill(&base.idle_timeout);
    }
}

/// What becomes of the upstream request when the client leaves: Close cancels it, Ignore lets it go on to
/// its end. Default: Close.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAbort {
    /// It is cancelled.
    Close,
    /// It goes on to its end.
    Ignore,
}

impl Fill for ClientAbort {}
