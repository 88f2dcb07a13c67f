//! `pb::Pool` and `model::Pool`.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{at_most, grpc_status, health, list, plugin, required, strings, tls, unknown};
use crate::model::matcher::{parse_header_name, parse_method};
use crate::model::plugin::param::Carrier;
use crate::model::pool::{MAX_QUEUE, MAX_WEIGHT};
use crate::model::units::millis;
use crate::model::{
    Balance, ClientAbort, HashKey, HostPattern, Invalid, Keepalive, PathMatch, Pattern, Pool, PoolProtocol, Queue,
    ResourceName, Retry, RetryOn, Rule, StatusMask, Timeouts, ValueMatch, ValueTest,
};
use crate::pb;

pub(super) fn decode(name: ResourceName, msg: pb::Pool) -> Result<Pool, Invalid> {
    let pb::Pool {
        enabled,
        listeners,
        r#match,
        priority,
        weight,
        balance,
        timeouts,
        retry,
        retry_after_ms,
        keepalive,
        health,
        on_client_abort,
        debug_headers,
        plugins,
        config,
        queue,
        direct,
        protocol,
        tls,
        max_body_size,
    } = msg;
    let pool = Pool {
        plugins: list("plugins", plugins, |msg| plugin::decode_use(&name, msg))?,
        config: decode_config(&config)?,
        queue: queue.map_or(Ok(Queue::default()), |queue| decode_queue(&queue)).map_err(|e| e.under("queue"))?,
        direct: direct.map(decode_direct).transpose().map_err(|e| e.under("direct"))?,
        tls: tls.map(tls::decode).transpose().map_err(|e| e.under("tls"))?,
        name,
        enabled,
        protocol: decode_protocol(protocol)?,
        listeners,
        rules: list("match", r#match, decode_rule)?,
        priority,
        weight: at_most("weight", weight, MAX_WEIGHT)?,
        balance: decode_balance(required("balance", balance)?).map_err(|e| e.under("balance"))?,
        timeouts: decode_timeouts(&required("timeouts", timeouts)?),
        retry: decode_retry(required("retry", retry)?).map_err(|e| e.under("retry"))?,
        retry_after: Duration::from_millis(retry_after_ms),
        keepalive: decode_keepalive(&required("keepalive", keepalive)?),
        health: health::decode(required("health", health)?).map_err(|e| e.under("health"))?,
        on_client_abort: decode_client_abort(on_client_abort)?,
        debug_headers,
        max_body_size,
    };
    check_protocol(&pool)?;
    tls::check_hosts(&pool).map_err(|e| e.under("tls"))?;
    Ok(pool)
}

/// Refuses what a pool cannot do with bytes that it does not look at.
fn check_protocol(pool: &Pool) -> Result<(), Invalid> {
    let by_request = matches!(&pool.balance, Balance::Hash(key) if *key != HashKey::Address);
    let wrong = [
        ("match", !pool.rules.is_empty()),
        ("plugins", !pool.plugins.is_empty()),
        ("direct", pool.direct.is_some()),
        ("tls", pool.tls.is_some()),
        ("maxBodySize", pool.max_body_size.is_some()),
        ("balance.hash.source", by_request),
    ];
    match wrong.into_iter().find(|(_, there)| *there && pool.protocol == PoolProtocol::Tcp) {
        Some((field, _)) => Err(Invalid::new(field, "does not go with protocol TCP")),
        None => Ok(()),
    }
}

pub(super) fn encode(pool: &Pool) -> pb::Pool {
    let Pool {
        name: _,
        enabled,
        protocol,
        listeners,
        rules,
        priority,
        weight,
        balance,
        timeouts,
        retry,
        retry_after,
        keepalive,
        health,
        on_client_abort,
        debug_headers,
        plugins,
        config,
        queue,
        direct,
        tls,
        max_body_size,
    } = pool;
    pb::Pool {
        enabled: *enabled,
        listeners: listeners.clone(),
        r#match: rules.iter().map(encode_rule).collect(),
        priority: *priority,
        weight: *weight,
        balance: Some(encode_balance(balance)),
        timeouts: Some(encode_timeouts(timeouts)),
        retry: Some(encode_retry(retry)),
        retry_after_ms: millis(*retry_after),
        keepalive: Some(encode_keepalive(keepalive)),
        health: Some(health::encode(health)),
        on_client_abort: match on_client_abort {
            ClientAbort::Close => pb::ClientAbort::Close,
            ClientAbort::Ignore => pb::ClientAbort::Ignore,
        }
        .into(),
        debug_headers: *debug_headers,
        plugins: plugins.iter().map(plugin::encode_use).collect(),
        config: if config.is_empty() { String::new() } else { Value::Object(config.clone()).to_string() },
        queue: Some(encode_queue(queue)),
        direct: direct.as_ref().map(encode_direct),
        protocol: encode_protocol(*protocol).into(),
        tls: tls.as_ref().map(tls::encode),
        max_body_size: *max_body_size,
    }
}

fn decode_protocol(number: i32) -> Result<PoolProtocol, Invalid> {
    match pb::PoolProtocol::try_from(number) {
        Ok(pb::PoolProtocol::Http | pb::PoolProtocol::Unspecified) => Ok(PoolProtocol::Http),
        Ok(pb::PoolProtocol::Tcp) => Ok(PoolProtocol::Tcp),
        Err(_) => Err(unknown("protocol", number)),
    }
}

fn encode_protocol(protocol: PoolProtocol) -> pb::PoolProtocol {
    match protocol {
        PoolProtocol::Http => pb::PoolProtocol::Http,
        PoolProtocol::Tcp => pb::PoolProtocol::Tcp,
    }
}

fn decode_queue(msg: &pb::Queue) -> Result<Queue, Invalid> {
    let pb::Queue { limit, timeout_ms, expired_status, when_unavailable } = *msg;
    let status = u16::try_from(expired_status).ok().filter(|status| (400..600).contains(status));
    Ok(Queue {
        limit: at_most("limit", limit, MAX_QUEUE)?,
        timeout: Duration::from_millis(timeout_ms),
        expired_status: status.ok_or_else(|| {
            Invalid::new("expiredStatus", format!("{expired_status} is no status of an error: 400 to 599"))
        })?,
        when_unavailable,
    })
}

fn encode_queue(queue: &Queue) -> pb::Queue {
    let Queue { limit, timeout, expired_status, when_unavailable } = queue;
    pb::Queue {
        limit: *limit,
        timeout_ms: millis(*timeout),
        expired_status: (*expired_status).into(),
        when_unavailable: *when_unavailable,
    }
}

fn decode_direct(msg: pb::Direct) -> Result<Carrier, Invalid> {
    match required("", msg.carrier)? {
        pb::direct::Carrier::Cookie(name) => Carrier::cookie(&name).map_err(|e| Invalid::new("cookie", e)),
        pb::direct::Carrier::Header(name) => Carrier::header(&name).map_err(|e| Invalid::new("header", e)),
    }
}

fn encode_direct(carrier: &Carrier) -> pb::Direct {
    let carrier = match carrier {
        Carrier::Cookie(name) => pb::direct::Carrier::Cookie(name.clone()),
        Carrier::Header(name) => pb::direct::Carrier::Header(name.as_str().to_owned()),
    };
    pb::Direct { carrier: Some(carrier) }
}

fn decode_config(text: &str) -> Result<Map<String, Value>, Invalid> {
    match plugin::decode_json(text, Value::Object(Map::new())) {
        Ok(Value::Object(config)) => Ok(config),
        Ok(_) => Err(Invalid::new("config", "must be an object")),
        Err(error) => Err(Invalid::new("config", error)),
    }
}

fn decode_rule(msg: pb::Rule) -> Result<Rule, Invalid> {
    let pb::Rule { hosts, path, methods, headers, query } = msg;
    let rule = Rule {
        hosts: strings("hosts", hosts, HostPattern::parse)?,
        path: path.map(decode_path).transpose().map_err(|e| e.under("path"))?,
        methods: strings("methods", methods, parse_method)?,
        headers: list("headers", headers, |m| decode_value(m, parse_header_name))?,
        query: list("query", query, |m| decode_value(m, |name| Ok(name.to_owned())))?,
    };
    rule.validate()?;
    Ok(rule)
}

fn encode_rule(rule: &Rule) -> pb::Rule {
    let Rule { hosts, path, methods, headers, query } = rule;
    pb::Rule {
        hosts: hosts.iter().map(ToString::to_string).collect(),
        path: path.as_ref().map(encode_path),
        methods: methods.clone(),
        headers: headers.iter().map(encode_value).collect(),
        query: query.iter().map(encode_value).collect(),
    }
}

fn decode_path(msg: pb::PathMatch) -> Result<PathMatch, Invalid> {
    let pb::PathMatch { r#type, value, order, case_insensitive } = msg;
    let path = match pb::PathType::try_from(r#type) {
        Ok(pb::PathType::Exact) => PathMatch::exact(&value),
        Ok(pb::PathType::Prefix) => PathMatch::prefix(&value),
        Ok(pb::PathType::Regex) => {
            Pattern::new(&value, case_insensitive).map(|pattern| PathMatch::Regex { pattern, order })
        }
        Ok(pb::PathType::Unspecified) | Err(_) => return Err(unknown("type", r#type)),
    };
    path.map_err(|e| Invalid::new("value", e))
}

fn encode_path(path: &PathMatch) -> pb::PathMatch {
    let plain = |kind: pb::PathType, value: &str| pb::PathMatch {
        r#type: kind.into(),
        value: value.to_owned(),
        order: 0,
        case_insensitive: false,
    };
    match path {
        PathMatch::Exact(value) => plain(pb::PathType::Exact, value),
        PathMatch::Prefix(value) if value.is_empty() => plain(pb::PathType::Prefix, "/"),
        PathMatch::Prefix(value) => plain(pb::PathType::Prefix, value),
        PathMatch::Regex { pattern, order } => pb::PathMatch {
            order: *order,
            case_insensitive: pattern.case_insensitive(),
            ..plain(pb::PathType::Regex, pattern.as_str())
        },
    }
}

fn decode_value(msg: pb::ValueMatch, name_of: impl Fn(&str) -> Result<String, String>) -> Result<ValueMatch, Invalid> {
    let pb::ValueMatch { name, r#type, value } = msg;
    let test = match pb::ValueType::try_from(r#type) {
        Ok(pb::ValueType::Exact) => ValueTest::Exact(value),
        Ok(pb::ValueType::Regex) => {
            ValueTest::Regex(Pattern::new(&value, false).map_err(|e| Invalid::new("value", e))?)
        }
        Ok(pb::ValueType::Present) => ValueTest::Present,
        Ok(pb::ValueType::Unspecified) | Err(_) => return Err(unknown("type", r#type)),
    };
    Ok(ValueMatch { name: name_of(&name).map_err(|e| Invalid::new("name", e))?, test })
}

fn encode_value(value: &ValueMatch) -> pb::ValueMatch {
    let (kind, text) = match &value.test {
        ValueTest::Exact(text) => (pb::ValueType::Exact, text.as_str()),
        ValueTest::Regex(pattern) => (pb::ValueType::Regex, pattern.as_str()),
        ValueTest::Present => (pb::ValueType::Present, ""),
    };
    pb::ValueMatch { name: value.name.clone(), r#type: kind.into(), value: text.to_owned() }
}

fn decode_balance(msg: pb::Balance) -> Result<Balance, Invalid> {
    let pb::Balance { method, hash } = msg;
    let balance = match pb::Method::try_from(method) {
        Ok(pb::Method::RoundRobin) => Balance::RoundRobin,
        Ok(pb::Method::Random) => Balance::Random,
        Ok(pb::Method::LeastConnections) => Balance::LeastConnections,
        Ok(pb::Method::LeastLoad) => Balance::LeastLoad,
        Ok(pb::Method::Fill) => Balance::Fill,
        Ok(pb::Method::PowerOfTwo) => Balance::PowerOfTwo,
        Ok(pb::Method::PeakEwma) => Balance::PeakEwma,
        Ok(pb::Method::FirstAlive) => Balance::FirstAlive,
        Ok(pb::Method::Rotate) => Balance::Rotate,
        Ok(pb::Method::Hash) => {
            Balance::Hash(decode_hash(required("hash", hash.clone())?).map_err(|e| e.under("hash"))?)
        }
        Ok(pb::Method::Unspecified) | Err(_) => return Err(unknown("method", method)),
    };
    match (&balance, hash) {
        (Balance::Hash(_), _) | (_, None) => Ok(balance),
        (_, Some(_)) => Err(Invalid::new("hash", "goes with method Hash only")),
    }
}

fn encode_balance(balance: &Balance) -> pb::Balance {
    let method = match balance {
        Balance::RoundRobin => pb::Method::RoundRobin,
        Balance::Random => pb::Method::Random,
        Balance::LeastConnections => pb::Method::LeastConnections,
        Balance::LeastLoad => pb::Method::LeastLoad,
        Balance::Fill => pb::Method::Fill,
        Balance::PowerOfTwo => pb::Method::PowerOfTwo,
        Balance::PeakEwma => pb::Method::PeakEwma,
        Balance::FirstAlive => pb::Method::FirstAlive,
        Balance::Rotate => pb::Method::Rotate,
        Balance::Hash(_) => pb::Method::Hash,
    };
    let hash = match balance {
        Balance::Hash(key) => Some(encode_hash(key)),
        _ => None,
    };
    pb::Balance { method: method.into(), hash }
}

fn decode_hash(msg: pb::HashKey) -> Result<HashKey, Invalid> {
    let pb::HashKey { source, name } = msg;
    let named = |name: String| {
        if name.is_empty() { Err(Invalid::new("name", "is missing")) } else { Ok(name) }
    };
    match pb::HashSource::try_from(source) {
        Ok(pb::HashSource::Address) => Ok(HashKey::Address),
        Ok(pb::HashSource::Header) => {
            parse_header_name(&name).map(HashKey::Header).map_err(|e| Invalid::new("name", e))
        }
        Ok(pb::HashSource::Cookie) => named(name).map(HashKey::Cookie),
        Ok(pb::HashSource::Query) => named(name).map(HashKey::Query),
        Ok(pb::HashSource::Unspecified) | Err(_) => Err(unknown("source", source)),
    }
}

fn encode_hash(key: &HashKey) -> pb::HashKey {
    let (source, name) = match key {
        HashKey::Address => (pb::HashSource::Address, ""),
        HashKey::Header(name) => (pb::HashSource::Header, name.as_str()),
        HashKey::Cookie(name) => (pb::HashSource::Cookie, name.as_str()),
        HashKey::Query(name) => (pb::HashSource::Query, name.as_str()),
    };
    pb::HashKey { source: source.into(), name: name.to_owned() }
}

fn decode_timeouts(msg: &pb::Timeouts) -> Timeouts {
    let pb::Timeouts { connect_ms, read_ms, write_ms, request_ms, idle_ms } = *msg;
    Timeouts {
        connect: Duration::from_millis(connect_ms),
        read: Duration::from_millis(read_ms),
        write: Duration::from_millis(write_ms),
        request: Duration::from_millis(request_ms),
        idle: Duration::from_millis(idle_ms),
    }
}

fn encode_timeouts(timeouts: &Timeouts) -> pb::Timeouts {
    let Timeouts { connect, read, write, request, idle } = timeouts;
    pb::Timeouts {
        connect_ms: millis(*connect),
        read_ms: millis(*read),
        write_ms: millis(*write),
        request_ms: millis(*request),
        idle_ms: millis(*idle),
    }
}

fn decode_retry(msg: pb::Retry) -> Result<Retry, Invalid> {
    let pb::Retry { attempts, causes, statuses, methods, per_try_ms, budget_percent, buffer_limit, grpc_statuses } =
        msg;
    let causes = list("causes", causes, |number| match pb::RetryOn::try_from(number) {
        Ok(pb::RetryOn::ConnectFailure) => Ok(RetryOn::ConnectFailure),
        Ok(pb::RetryOn::Reset) => Ok(RetryOn::Reset),
        Ok(pb::RetryOn::Timeout) => Ok(RetryOn::Timeout),
        Ok(pb::RetryOn::Unspecified) | Err(_) => Err(unknown("", number)),
    })?;
    Ok(Retry {
        attempts,
        causes,
        statuses: strings("statuses", statuses, StatusMask::parse)?,
        grpc_statuses: list("grpcStatuses", grpc_statuses, grpc_status)?,
        methods: strings("methods", methods, parse_method)?,
        per_try: Duration::from_millis(per_try_ms),
        budget_percent: at_most("budgetPercent", budget_percent, 1_000)?,
        buffer_limit,
    })
}

fn encode_retry(retry: &Retry) -> pb::Retry {
    let Retry { attempts, causes, statuses, grpc_statuses, methods, per_try, budget_percent, buffer_limit } = retry;
    let causes = causes.iter().map(|cause| match cause {
        RetryOn::ConnectFailure => pb::RetryOn::ConnectFailure.into(),
        RetryOn::Reset => pb::RetryOn::Reset.into(),
        RetryOn::Timeout => pb::RetryOn::Timeout.into(),
    });
    pb::Retry {
        attempts: *attempts,
        causes: causes.collect(),
        statuses: statuses.iter().map(ToString::to_string).collect(),
        methods: methods.clone(),
        per_try_ms: millis(*per_try),
        budget_percent: *budget_percent,
        buffer_limit: *buffer_limit,
        grpc_statuses: grpc_statuses.iter().map(|status| status.number().into()).collect(),
    }
}

fn decode_keepalive(msg: &pb::Keepalive) -> Keepalive {
    let pb::Keepalive { max_idle, idle_timeout_ms } = *msg;
    Keepalive { max_idle, idle_timeout: Duration::from_millis(idle_timeout_ms) }
}

fn encode_keepalive(keepalive: &Keepalive) -> pb::Keepalive {
    let Keepalive { max_idle, idle_timeout } = keepalive;
    pb::Keepalive { max_idle: *max_idle, idle_timeout_ms: millis(*idle_timeout) }
}

fn decode_client_abort(number: i32) -> Result<ClientAbort, Invalid> {
    match pb::ClientAbort::try_from(number) {
        Ok(pb::ClientAbort::Close) => Ok(ClientAbort::Close),
        Ok(pb::ClientAbort::Ignore) => Ok(ClientAbort::Ignore),
        Ok(pb::ClientAbort::Unspecified) | Err(_) => Err(unknown("onClientAbort", number)),
    }
}
