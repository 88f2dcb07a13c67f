//! What the request path needs of a pool's configuration, prepared when it arrives.

use std::time::Duration;

use http::{HeaderValue, Method};
use weir_proto::model::{self, GrpcStatus, RetryOn, StatusMask};

/// Prepared settings of one pool.
#[derive(Debug)]
pub struct Policy {
    /// Value of `Retry-After`, if any.
    pub retry_after: Option<HeaderValue>,
    /// Value of `x-weir-pool`, with `debugHeaders`.
    pub debug_name: Option<HeaderValue>,
    /// Whether latencies are noted, as the method needs them.
    pub tracks_latency: bool,
    retry_connect: bool,
    retry_reset: bool,
    retry_timeout: bool,
    retry_methods: Vec<Method>,
    /// Response statuses that are tried again.
    pub retry_statuses: Vec<StatusMask>,
    /// Response statuses that count as failures of the endpoint.
    pub fail_statuses: Vec<StatusMask>,
    /// The same of gRPC.
    pub grpc: Option<GrpcPolicy>,
}

/// What statuses of gRPC mean.
#[derive(Debug)]
pub struct GrpcPolicy {
    /// Those that are tried again.
    pub retry: Vec<GrpcStatus>,
    /// Those that count as failures of the endpoint.
    pub fail: Vec<GrpcStatus>,
}

impl GrpcPolicy {
    /// `None` if they mean nothing.
    fn new(pool: &model::Pool) -> Option<Self> {
        let (retry, fail) = (&pool.retry.grpc_statuses, &pool.health.passive.grpc_statuses);
        let means_something = !retry.is_empty() || !fail.is_empty();
        means_something.then(|| Self { retry: retry.clone(), fail: fail.clone() })
    }
}

impl Policy {
    /// Prepares the settings of `pool`.
    #[must_use]
    pub fn new(pool: &model::Pool) -> Self {
        let on = |cause| pool.retry.causes.contains(&cause);
        Self {
            retry_after: retry_after(pool.retry_after),
            debug_name: pool.debug_headers.then(|| pool.name.to_string()).and_then(|n| HeaderValue::try_from(n).ok()),
            tracks_latency: pool.balance == model::Balance::PeakEwma,
            retry_connect: on(RetryOn::ConnectFailure),
            retry_reset: on(RetryOn::Reset),
            retry_timeout: on(RetryOn::Timeout),
            retry_methods: pool.retry.methods.iter().filter_map(|m| m.parse().ok()).collect(),
            retry_statuses: pool.retry.statuses.clone(),
            fail_statuses: pool.health.passive.statuses.clone(),
            grpc: GrpcPolicy::new(pool),
        }
    }

    /// Whether `cause` is tried again.
    #[must_use]
    pub fn retries(&self, cause: RetryOn) -> bool {
        match cause {
            RetryOn::ConnectFailure => self.retry_connect,
            RetryOn::Reset => self.retry_reset,
            RetryOn::Timeout => self.retry_timeout,
        }
    }

    /// Whether a request of this method may reach an upstream twice (RFC 9110, 9.2.2).
    #[must_use]
    pub fn repeatable(&self, method: &Method) -> bool {
        method.is_idempotent() || self.retry_methods.contains(method)
    }
}

/// Whole seconds, rounded up: a client must not come back too early.
fn retry_after(wait: Duration) -> Option<HeaderValue> {
    let seconds = wait.as_millis().div_ceil(1_000);
    (seconds > 0).then(|| HeaderValue::from(u64::try_from(seconds).unwrap_or(u64::MAX)))
}

/// Whether any mask of the list has `status`.
#[must_use]
pub fn any_matches(masks: &[StatusMask], status: u16) -> bool {
    masks.iter().any(|mask| mask.matches(status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a5_retry_after_is_in_whole_seconds_rounded_up_and_0_is_none() {
        assert_eq!(retry_after(Duration::ZERO), None);
        assert_eq!(retry_after(Duration::from_millis(1_200)), Some(HeaderValue::from(2)));
        assert_eq!(retry_after(Duration::from_secs(10)), Some(HeaderValue::from(10)));
    }

    #[test]
    fn f2_idempotent_and_listed_methods_may_be_repeated() {
        let mut pool = model::Pool::new("a/b".parse().unwrap());
        pool.retry.methods = vec!["PATCH".into()];
        let policy = Policy::new(&pool);
        assert!(
            policy.repeatable(&Method::GET) && policy.repeatable(&Method::DELETE) && policy.repeatable(&Method::PATCH)
        );
        assert!(!policy.repeatable(&Method::POST));
    }
}
