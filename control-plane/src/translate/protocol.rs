//! What goes with which protocol. A Pool of TCP does not look at what its clients send: a field that would have to
//! is refused, and not ignored. What the decoder knows as wrong (`match`, `plugins`, a hash of requests) is left to it.

use weir_proto::model::Invalid;

use crate::api::health::{HealthSpec, PassiveHealthSpec};
use crate::api::pool::{PoolProtocol, QueueSpec, RetrySpec, TimeoutsSpec};
use crate::api::{BackendSpec, PoolSpec, Protocol};

/// Refuses fields that do not go with the protocol of a Pool, whose `inherit` is already merged in.
pub(super) fn check_pool(spec: &PoolSpec) -> Result<(), Invalid> {
    if spec.protocol.unwrap_or_default() == PoolProtocol::Http {
        return Ok(());
    }
    match http_only(spec).into_iter().find(|(_, given)| *given) {
        Some((field, _)) => Err(Invalid::new(field, "does not go with protocol TCP")),
        None => Ok(()),
    }
}

/// Refuses fields of a Backend that do not go with the protocol of its Pool.
///
/// # Errors
/// Names the field.
pub fn check_backend(backend: &BackendSpec, pool: &PoolSpec) -> Result<(), Invalid> {
    match pool.protocol.unwrap_or_default() {
        PoolProtocol::Http if backend.proxy_protocol.is_some() => {
            Err(Invalid::new("spec.proxyProtocol", "goes with a Pool of protocol TCP only"))
        }
        PoolProtocol::Tcp if backend.protocol != Protocol::Http => {
            Err(Invalid::new("spec.protocol", "goes with a Pool of protocol HTTP only"))
        }
        PoolProtocol::Http | PoolProtocol::Tcp => Ok(()),
    }
}

/// Fields that only HTTP has, and whether they are there.
fn http_only(spec: &PoolSpec) -> Vec<(&'static str, bool)> {
    let PoolSpec {
        retry_after,
        keepalive,
        on_client_abort,
        debug_headers,
        max_body_size,
        config,
        direct,
        queue,
        timeouts,
        retry,
        health,
        // Those of both protocols, and those that the decoder judges.
        enabled: _,
        protocol: _,
        listeners: _,
        rules: _,
        priority: _,
        weight: _,
        inherit: _,
        balance: _,
        plugins: _,
        tls: _,
    } = spec;
    let mut fields = vec![
        ("retryAfter", retry_after.is_some()),
        ("keepalive", keepalive.is_some()),
        ("onClientAbort", on_client_abort.is_some()),
        ("debugHeaders", debug_headers.is_some()),
        ("maxBodySize", max_body_size.is_some()),
        ("config", config.is_some()),
        ("direct", direct.is_some()),
    ];
    fields.extend(queue.iter().map(of_queue));
    fields.extend(timeouts.iter().flat_map(of_timeouts));
    fields.extend(retry.iter().flat_map(of_retry));
    fields.extend(health.iter().flat_map(of_health));
    fields
}

fn of_timeouts(spec: &TimeoutsSpec) -> [(&'static str, bool); 3] {
    let TimeoutsSpec { connect: _, idle: _, read, write, request } = spec;
    [("timeouts.read", read.is_some()), ("timeouts.write", write.is_some()), ("timeouts.request", request.is_some())]
}

/// A connection that has waited too long is closed.
fn of_queue(spec: &QueueSpec) -> (&'static str, bool) {
    let QueueSpec { limit: _, timeout: _, when_unavailable: _, expired_status } = spec;
    ("queue.expiredStatus", expired_status.is_some())
}

/// A connection moves on after failures to connect alone, which cost no budget.
fn of_retry(spec: &RetrySpec) -> [(&'static str, bool); 7] {
    let RetrySpec { attempts: _, causes, statuses, grpc_statuses, methods, per_try, budget_percent, buffer_limit } =
        spec;
    [
        ("retry.causes", causes.is_some()),
        ("retry.statuses", statuses.is_some()),
        ("retry.grpcStatuses", grpc_statuses.is_some()),
        ("retry.methods", methods.is_some()),
        ("retry.perTry", per_try.is_some()),
        ("retry.budgetPercent", budget_percent.is_some()),
        ("retry.bufferLimit", buffer_limit.is_some()),
    ]
}

fn of_health(spec: &HealthSpec) -> [(&'static str, bool); 2] {
    let HealthSpec { panic_threshold: _, slow_start: _, active: _, sticky_offline: _, passive } = spec;
    let given = |is_given: fn(&PassiveHealthSpec) -> bool| passive.as_ref().is_some_and(is_given);
    [
        ("health.passive.statuses", given(|passive| passive.statuses.is_some())),
        ("health.passive.grpcStatuses", given(|passive| passive.grpc_statuses.is_some())),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pool_spec as spec;

    #[test]
    fn what_only_http_has_is_refused_for_tcp_and_named() {
        for (field, text) in [
            ("timeouts.read", "timeouts: {read: 1s}"),
            ("timeouts.write", "timeouts: {connect: 1s, write: 0s}"),
            ("timeouts.request", "timeouts: {request: 1s}"),
            ("retry.causes", "retry: {causes: [connect-failure]}"),
            ("retry.statuses", "retry: {statuses: ['502']}"),
            ("retry.grpcStatuses", "retry: {grpcStatuses: [UNAVAILABLE]}"),
            ("health.passive.grpcStatuses", "health: {passive: {grpcStatuses: [INTERNAL]}}"),
            ("retry.methods", "retry: {methods: [POST]}"),
            ("retry.perTry", "retry: {perTry: 1s}"),
            ("retry.budgetPercent", "retry: {budgetPercent: 1}"),
            ("retry.bufferLimit", "retry: {bufferLimit: 1Ki}"),
            ("retryAfter", "retryAfter: 1s"),
            ("keepalive", "keepalive: {maxIdle: 1}"),
            ("onClientAbort", "onClientAbort: Close"),
            ("debugHeaders", "debugHeaders: false"),
            ("config", "config: {a: 1}"),
            ("direct", "direct: {cookie: a}"),
            ("queue.expiredStatus", "queue: {expiredStatus: 503}"),
            ("health.passive.statuses", "health: {passive: {statuses: [5xx]}}"),
        ] {
            let error = check_pool(&spec(&format!("{{protocol: TCP, {text}}}"))).unwrap_err();
            assert_eq!(error, Invalid::new(field, "does not go with protocol TCP"));
            assert_eq!(check_pool(&spec(&format!("{{{text}}}"))), Ok(()), "{text} goes with HTTP");
        }
    }

    #[test]
    fn what_both_protocols_have_goes_with_tcp() {
        let both = "{protocol: TCP, enabled: true, listeners: [redis], priority: 1, weight: 2, \
                    balance: {method: Hash, hash: {source: Address}}, timeouts: {connect: 1s, idle: 1h}, \
                    retry: {attempts: 1}, queue: {limit: 1, timeout: 1s, whenUnavailable: true}, health: {passive: {maxFails: 1, failTimeout: 1s}, panicThreshold: 1}}";
        assert_eq!(check_pool(&spec(both)), Ok(()));
    }
}
