//! Pools. The defaults are those of the model, [`model::Pool::new`].

use std::time::Duration;

use serde_json::Value;
use weir_proto::model::units::{millis, parse_duration, parse_size};
use weir_proto::model::{self, Invalid, Key};
use weir_proto::pb;
use weir_proto::pb::resource::Body;

use super::{checked, health, protocol};
use crate::api::grpc;
use crate::api::pool::{
    BalanceMethod, BalanceSpec, ClientAbort, DirectSpec, HashSource, HashSpec, KeepaliveSpec, MatchRule, PathRule,
    PathType, PoolProtocol, QueueSpec, RetryCause, RetrySpec, TimeoutsSpec, ValueRule, ValueType,
};
use crate::api::{Fill, PoolSpec};
use crate::status::InForce;

/// A specification whose gaps are filled from its base, itself already merged.
#[must_use]
pub fn merged(own: &PoolSpec, base: &PoolSpec) -> PoolSpec {
    let mut merged = own.clone();
    merged.fill(base);
    merged
}

/// What people want to know about a Pool whose `inherit` is already merged in.
#[must_use]
pub fn in_force(spec: &PoolSpec) -> InForce {
    let method = spec.balance.as_ref().and_then(|balance| balance.method);
    InForce::Pool { method: method.unwrap_or_default(), priority: spec.priority.unwrap_or_default() }
}

/// The message of a Pool whose `inherit` is already merged in, with its plugins and its certificates.
///
/// # Errors
/// Names the field that is wrong.
pub fn pool(key: &Key, spec: &PoolSpec, plugins: Vec<pb::PluginUse>, tls: Option<pb::Tls>) -> Result<Body, Invalid> {
    let message = protocol::check_pool(spec).and_then(|()| message(key, spec.clone())).map_err(|e| e.under("spec"))?;
    checked(key, Body::Pool(pb::Pool { plugins, tls, ..message }))
}

fn message(key: &Key, spec: PoolSpec) -> Result<pb::Pool, Invalid> {
    let PoolSpec {
        enabled,
        protocol,
        listeners,
        rules,
        priority,
        weight,
        inherit: _, // merged in by the caller
        balance,
        plugins: _, // need more than the specification: made complete by the caller
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
        tls: _, // as plugins
    } = spec;
    let default = model::Pool::new(key.name.clone());
    Ok(pb::Pool {
        enabled: enabled.unwrap_or(default.enabled),
        listeners: listeners.unwrap_or_default(),
        r#match: rules.unwrap_or_default().into_iter().map(rule).collect(),
        priority: priority.unwrap_or(default.priority),
        weight: weight.unwrap_or(default.weight),
        balance: Some(balance_message(balance.unwrap_or_default())),
        timeouts: Some(timeouts_message(timeouts.unwrap_or_default()).map_err(|e| e.under("timeouts"))?),
        retry: Some(retry_message(retry.unwrap_or_default()).map_err(|e| e.under("retry"))?),
        retry_after_ms: duration("retryAfter", retry_after, default.retry_after)?,
        keepalive: Some(keepalive_message(keepalive.unwrap_or_default()).map_err(|e| e.under("keepalive"))?),
        health: Some(health::message(health.unwrap_or_default()).map_err(|e| e.under("health"))?),
        on_client_abort: client_abort(on_client_abort.unwrap_or(ClientAbort::Close)).into(),
        debug_headers: debug_headers.unwrap_or(default.debug_headers),
        plugins: Vec::new(),
        config: config.map(|config| Value::Object(config).to_string()).unwrap_or_default(),
        queue: Some(queue_message(queue.unwrap_or_default()).map_err(|e| e.under("queue"))?),
        direct: direct.map(direct_message),
        protocol: protocol_message(protocol.unwrap_or_default()).into(),
        tls: None,
        max_body_size: match max_body_size {
            Some(text) => Some(parse_size(&text).map_err(|e| Invalid::new("maxBodySize", e))?),
            None => None,
        },
    })
}

fn protocol_message(protocol: PoolProtocol) -> pb::PoolProtocol {
    match protocol {
        PoolProtocol::Http => pb::PoolProtocol::Http,
        PoolProtocol::Tcp => pb::PoolProtocol::Tcp,
    }
}

fn rule(rule: MatchRule) -> pb::Rule {
    let MatchRule { hosts, path, methods, headers, query } = rule;
    pb::Rule {
        hosts,
        path: path.map(path_message),
        methods,
        headers: headers.into_iter().map(value_message).collect(),
        query: query.into_iter().map(value_message).collect(),
    }
}

fn path_message(path: PathRule) -> pb::PathMatch {
    let PathRule { kind, value, order, case_insensitive } = path;
    let kind = match kind {
        PathType::Exact => pb::PathType::Exact,
        PathType::Prefix => pb::PathType::Prefix,
        PathType::Regex => pb::PathType::Regex,
    };
    pb::PathMatch {
        r#type: kind.into(),
        value,
        order: order.unwrap_or_default(),
        case_insensitive: case_insensitive.unwrap_or_default(),
    }
}

fn value_message(value: ValueRule) -> pb::ValueMatch {
    let ValueRule { name, kind, value } = value;
    let kind = match kind {
        ValueType::Exact => pb::ValueType::Exact,
        ValueType::Regex => pb::ValueType::Regex,
        ValueType::Present => pb::ValueType::Present,
    };
    pb::ValueMatch { name, r#type: kind.into(), value: value.unwrap_or_default() }
}

fn balance_message(balance: BalanceSpec) -> pb::Balance {
    let BalanceSpec { method, hash } = balance;
    let method = match method.unwrap_or_default() {
        BalanceMethod::RoundRobin => pb::Method::RoundRobin,
        BalanceMethod::Random => pb::Method::Random,
        BalanceMethod::LeastConnections => pb::Method::LeastConnections,
        BalanceMethod::LeastLoad => pb::Method::LeastLoad,
        BalanceMethod::Fill => pb::Method::Fill,
        BalanceMethod::PowerOfTwo => pb::Method::PowerOfTwo,
        BalanceMethod::PeakEwma => pb::Method::PeakEwma,
        BalanceMethod::FirstAlive => pb::Method::FirstAlive,
        BalanceMethod::Rotate => pb::Method::Rotate,
        BalanceMethod::Hash => pb::Method::Hash,
    };
    pb::Balance { method: method.into(), hash: hash.map(hash_message) }
}

fn hash_message(hash: HashSpec) -> pb::HashKey {
    let HashSpec { source, name } = hash;
    let source = match source {
        HashSource::Address => pb::HashSource::Address,
        HashSource::Header => pb::HashSource::Header,
        HashSource::Cookie => pb::HashSource::Cookie,
        HashSource::Query => pb::HashSource::Query,
    };
    pb::HashKey { source: source.into(), name: name.unwrap_or_default() }
}

fn timeouts_message(timeouts: TimeoutsSpec) -> Result<pb::Timeouts, Invalid> {
    let TimeoutsSpec { connect, read, write, request, idle } = timeouts;
    let default = model::Timeouts::default();
    Ok(pb::Timeouts {
        connect_ms: duration("connect", connect, default.connect)?,
        read_ms: duration("read", read, default.read)?,
        write_ms: duration("write", write, default.write)?,
        request_ms: duration("request", request, default.request)?,
        idle_ms: duration("idle", idle, default.idle)?,
    })
}

fn retry_message(retry: RetrySpec) -> Result<pb::Retry, Invalid> {
    let RetrySpec { attempts, causes, statuses, grpc_statuses, methods, per_try, budget_percent, buffer_limit } = retry;
    let default = model::Retry::default();
    Ok(pb::Retry {
        attempts: attempts.unwrap_or(default.attempts),
        causes: causes.map_or_else(all_causes, |given| given.into_iter().map(|cause| retry_on(cause).into()).collect()),
        statuses: statuses.unwrap_or_default(),
        grpc_statuses: grpc::numbers(grpc_statuses),
        methods: methods.unwrap_or_default(),
        per_try_ms: duration("perTry", per_try, default.per_try)?,
        budget_percent: budget_percent.unwrap_or(default.budget_percent),
        buffer_limit: match buffer_limit {
            Some(text) => parse_size(&text).map_err(|e| Invalid::new("bufferLimit", e))?,
            None => default.buffer_limit,
        },
    })
}

fn all_causes() -> Vec<i32> {
    [RetryCause::ConnectFailure, RetryCause::Reset, RetryCause::Timeout].map(|cause| retry_on(cause).into()).into()
}

fn retry_on(cause: RetryCause) -> pb::RetryOn {
    match cause {
        RetryCause::ConnectFailure => pb::RetryOn::ConnectFailure,
        RetryCause::Reset => pb::RetryOn::Reset,
        RetryCause::Timeout => pb::RetryOn::Timeout,
    }
}

fn queue_message(queue: QueueSpec) -> Result<pb::Queue, Invalid> {
    let QueueSpec { limit, timeout, expired_status, when_unavailable } = queue;
    let default = model::Queue::default();
    Ok(pb::Queue {
        limit: limit.unwrap_or(default.limit),
        timeout_ms: duration("timeout", timeout, default.timeout)?,
        expired_status: expired_status.unwrap_or(default.expired_status.into()),
        when_unavailable: when_unavailable.unwrap_or(default.when_unavailable),
    })
}

/// The rules of the schema let one of both through.
fn direct_message(direct: DirectSpec) -> pb::Direct {
    let DirectSpec { cookie, header } = direct;
    let carrier = cookie.map(pb::direct::Carrier::Cookie).or(header.map(pb::direct::Carrier::Header));
    pb::Direct { carrier }
}

fn keepalive_message(keepalive: KeepaliveSpec) -> Result<pb::Keepalive, Invalid> {
    let KeepaliveSpec { max_idle, idle_timeout } = keepalive;
    let default = model::Keepalive::default();
    Ok(pb::Keepalive {
        max_idle: max_idle.unwrap_or(default.max_idle),
        idle_timeout_ms: duration("idleTimeout", idle_timeout, default.idle_timeout)?,
    })
}

fn client_abort(what: ClientAbort) -> pb::ClientAbort {
    match what {
        ClientAbort::Close => pb::ClientAbort::Close,
        ClientAbort::Ignore => pb::ClientAbort::Ignore,
    }
}

pub(super) fn duration(field: &str, text: Option<String>, default: Duration) -> Result<u64, Invalid> {
    let parsed = text.map_or(Ok(default), |text| parse_duration(&text));
    parsed.map(millis).map_err(|e| Invalid::new(field, e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pool_spec as spec;

    #[test]
    fn inherit_fills_leaf_by_leaf_and_takes_lists_whole() {
        let base = spec("{priority: 7, timeouts: {read: 5s, write: 6s}, listeners: [a, b], retry: {causes: [reset]}}");
        let own = spec("{inherit: base, timeouts: {read: 1s}, listeners: [c]}");
        let expected = spec(
            "{inherit: base, priority: 7, timeouts: {read: 1s, write: 6s}, listeners: [c], retry: {causes: [reset]}}",
        );
        assert_eq!(merged(&own, &base), expected);
    }

    #[test]
    fn an_empty_list_is_a_value_of_its_own() {
        let base = spec("{match: [{methods: [GET]}], retry: {causes: [reset]}}");
        let merged = merged(&spec("{match: [], retry: {causes: []}}"), &base);
        assert_eq!((merged.rules, merged.retry.unwrap().causes), (Some(vec![]), Some(vec![])));
    }

    #[test]
    fn a_pool_that_turns_to_another_method_leaves_the_hash_behind() {
        let base = spec("{balance: {method: Hash, hash: {source: Cookie, name: id}}}");
        let other = merged(&spec("{balance: {method: Random}}"), &base);
        assert_eq!(other.balance, spec("{balance: {method: Random}}").balance);
        assert_eq!(merged(&spec("{}"), &base).balance, base.balance);
    }
}
